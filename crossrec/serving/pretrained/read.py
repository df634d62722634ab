"""From a shared folder to a recommender that is ready to recommend."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from crossrec.data.catalog import Catalog
from crossrec.model.build import build_network
from crossrec.model.encoded_catalog import EncodedCatalog
from crossrec.model.growth import ContentVectors, content_names
from crossrec.model.modalities import TrainableEncoder
from crossrec.model.recommender import NeuralRecommender
from crossrec.model.relations import ItemRelations
from crossrec.runtime.checksums import damage
from crossrec.serving.items import ServedItems
from crossrec.serving.loaded import LoadedRecommender
from crossrec.serving.model import ServedModel
from crossrec.serving.pretrained.features import COUNTS, MODEL, hand_out, read, take
from crossrec.serving.pretrained.layout import CHECKED, FEATURES_FILE, ITEMS_FILE, USERS_FILE, Description
from crossrec.serving.pretrained.tables import read_items, read_users
from crossrec.serving.spaces import Spaces
from crossrec.serving.users import Users
from crossrec.training.checkpoint import WEIGHTS, load_tensors, read_state
from crossrec.types import InputError


def open_pretrained(folder: Path, device: torch.device, *, trust_code: bool = False) -> LoadedRecommender:
    """The recommender in a folder that ``save_pretrained`` wrote.

    Args:
        folder: of the recommender.
        device: where the network runs.
        trust_code: import classes outside the project that the folder names.

    Raises:
        InputError: a file is missing or doesn't fit the others, or weights of a pretrained part can't be had.
    """
    for name in (WEIGHTS, FEATURES_FILE, ITEMS_FILE):
        if not (folder / name).exists():
            raise InputError(
                f"{folder / name} does not exist: the folder is not whole; save or fetch it again"
            )
    fault = damage(folder, CHECKED)
    if fault is not None:
        raise InputError(f"{fault}; save or fetch the folder again")
    description = Description.read(folder, trust_code=trust_code)
    config, n_trained = description.experiment, description.n_trained
    catalog, tensors = read_items(folder / ITEMS_FILE), read(folder / FEATURES_FILE)
    if len(tensors[COUNTS]) != len(catalog):
        raise InputError(
            f"{folder}: {FEATURES_FILE} is of {len(tensors[COUNTS])} items, {ITEMS_FILE} of {len(catalog)}"
        )
    first = catalog if len(catalog) == n_trained else catalog.select(np.arange(n_trained))
    base = EncodedCatalog(first, config.data.cache_dir)
    hand_out(tensors, config, base, slice(0, n_trained))
    saved = read_state(folder / WEIGHTS)
    if saved.identity is not None and not np.array_equal(saved.identity.item_ids, first.item_ids):
        raise InputError(
            f"{folder}: {ITEMS_FILE} does not list the items of {WEIGHTS} in their order; save or fetch the "
            "folder again"
        )
    relations = ItemRelations.from_checkpoint(saved.tensors, config.model, folder / WEIGHTS)
    counts = tensors[COUNTS][:n_trained]
    network = build_network(config.model, base, counts, config.seed, relations=relations, saved=saved.tensors)
    load_tensors(network, saved.tensors, folder / WEIGHTS)
    for name, modality in network.items.modalities.items():
        if isinstance(modality, TrainableEncoder):
            known = tensors[f"{MODEL}.{name}.vectors"][:n_trained]
            modality.remember(torch.from_numpy(np.array(known)))
    recommender = NeuralRecommender(network.to(device), name=description.about.model)
    model = ServedModel(recommender, config.model, base)
    if len(catalog) > n_trained:
        _take_added(model, description, tensors, catalog)
    users = folder / USERS_FILE
    return LoadedRecommender(
        config,
        model,
        ServedItems(
            catalog, tensors[COUNTS], Spaces(config.spaces, model.contents, description.spaces), recommender
        ),
        Users(read_users(users, len(catalog)) if users.exists() else None),
        description.about,
    )


def _take_added(
    model: ServedModel, description: Description, tensors: dict[str, np.ndarray], catalog: Catalog
) -> None:
    """Puts the items that had been added before the folder was written behind those of the network."""
    rows = slice(description.n_trained, len(catalog))
    content = model.content_of(catalog.select(np.arange(rows.start, rows.stop)))
    hand_out(tensors, description.experiment, content, rows)
    encoded = {}
    for name in content_names(model.recommender.network):
        features = take(tensors, f"{MODEL}.{name}", rows)
        encoded[name] = ContentVectors(features.present_N, features.vectors_ND)
    model.append(encoded, content, catalog)

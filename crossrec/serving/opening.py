"""Open a run folder, a shared folder or a hub name as a recommender."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch

from crossrec.data.catalog import Catalog
from crossrec.data.interactions import UserLog
from crossrec.experiment.evaluate import load_recommender
from crossrec.experiment.prepared import PreparedExperiment, describe_model
from crossrec.experiment.run_folder import read_run
from crossrec.experiment.text_scorer import (
    SCORER_FILE,
    build_text_scorer,
    first_stage,
    load_text_scorer,
    text_scored,
)
from crossrec.model.build import build_network
from crossrec.model.encoded_catalog import EncodedCatalog
from crossrec.model.growth import content_names, remember_encoded
from crossrec.model.modalities.base import ContentVectors
from crossrec.model.modalities.layers import Modality, TrainableEncoder
from crossrec.model.recommender import NeuralRecommender
from crossrec.model.relations import ItemRelations
from crossrec.model.semantic_ids.recommender import recommender_of
from crossrec.model.text_scored import TextScoredRecommender
from crossrec.runtime.device import AUTO, pick_device
from crossrec.runtime.files import damage
from crossrec.serving.items import ItemSpaces, ServedItems
from crossrec.serving.model import ServedModel
from crossrec.serving.pretrained.files import (
    CHECKED,
    COUNTS,
    FEATURES_FILE,
    ITEMS_FILE,
    MODEL,
    REPO_ID,
    USERS_FILE,
    PretrainedConfig,
    features_at,
    is_pretrained,
    read_features,
    read_items,
    read_users,
    restore_features,
    saved_behaviour,
)
from crossrec.serving.state import ModelInfo, RecommenderState, read_metrics
from crossrec.training.checkpoint import WEIGHTS, load_tensors, read_state
from crossrec.types import InputError


def open_recommender(
    source: str | Path, *, overrides: Sequence[str] = (), device: str = AUTO, trust_code: bool = False
) -> RecommenderState:
    """Open a run folder, a shared folder or a hub name; arguments as in :func:`crossrec.load`."""
    folder, where = Path(source).expanduser(), pick_device(device)
    if not folder.is_dir():
        if REPO_ID.fullmatch(str(source)) is None:
            raise InputError(
                f"'{source}' is no folder, and no name on the hub, which is of the form user/name"
            )
        folder = download(str(source))
    if not is_pretrained(folder):
        return open_run(folder, overrides, where, trust_code=trust_code)
    if overrides:
        raise InputError(f"{folder} holds a shared recommender, whose configuration can't be overridden")
    return open_pretrained(folder, where, trust_code=trust_code)


def open_run(
    folder: Path, overrides: Sequence[str], device: torch.device, *, trust_code: bool = False
) -> RecommenderState:
    """Open the best weights of a run, with its data.

    Args:
        folder: run folder.
        overrides: changes to its configuration, such as ``data.root=elsewhere``.
        device: device of the network.
        trust_code: import classes outside the project that the folder names.

    Raises:
        ConfigError: if the folder holds no run, or an override doesn't fit.
        InputError: if the run has no weights yet, or its data can't be loaded.
    """
    config = read_run(folder, list(overrides), trust_code=trust_code)
    prepared = PreparedExperiment.of(config)
    recommender = load_recommender(prepared, measured=False)
    recommender.network.to(device)
    return state_of(prepared, text_scored(prepared, recommender))


def state_of(
    prepared: PreparedExperiment, recommender: NeuralRecommender | TextScoredRecommender
) -> RecommenderState:
    """Return the state of a trained recommender with the data of its experiment."""
    config, data = prepared.config, prepared.data
    first = first_stage(recommender)
    scorer = recommender.scorer if isinstance(recommender, TextScoredRecommender) else None
    remember_encoded(first.network)
    model = ServedModel(first, config.model, prepared.content, scorer)
    options = config.spaces.behaviour
    behaviour = None if options is None or not data.has_co_clicks else partial(data.behaviour, options)
    spaces = ItemSpaces.of_catalog(config.spaces, model.contents, behaviour)
    return RecommenderState(
        config,
        model,
        ServedItems(data.catalog, data.split.train_counts, spaces, first),
        UserLog(data.clicks),
        ModelInfo(
            data.name,
            data.note,
            data.split.protocol,
            describe_model(config),
            data.summary(),
            read_metrics(config.run_folder),
        ),
    )


def open_pretrained(folder: Path, device: torch.device, *, trust_code: bool = False) -> RecommenderState:
    """Open a folder that ``save_pretrained`` wrote.

    Args:
        folder: shared folder.
        device: device of the network.
        trust_code: import classes outside the project that the folder names.

    Raises:
        InputError: if a file is missing or inconsistent, or weights of a pretrained part are unavailable.
    """
    for name in (WEIGHTS, FEATURES_FILE, ITEMS_FILE):
        if not (folder / name).exists():
            raise InputError(
                f"{folder / name} does not exist: the folder is incomplete; save or fetch it again"
            )
    fault = damage(folder, CHECKED)
    if fault is not None:
        raise InputError(f"{fault}; save or fetch the folder again")
    description = PretrainedConfig.read(folder, trust_code=trust_code)
    config, n_trained = description.experiment, description.n_trained
    catalog, tensors = read_items(folder / ITEMS_FILE), read_features(folder / FEATURES_FILE)
    if len(tensors[COUNTS]) != len(catalog):
        raise InputError(
            f"{folder}: {FEATURES_FILE} is of {len(tensors[COUNTS])} items, {ITEMS_FILE} of {len(catalog)}"
        )
    first = catalog if len(catalog) == n_trained else catalog.select(np.arange(n_trained))
    base = EncodedCatalog(first, config.data.cache_dir)
    restore_features(tensors, config, base, slice(0, n_trained))
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
    recommender = recommender_of(network.to(device), name=description.about.model)
    scorer = None
    if config.text_scorer is not None:
        scorer = build_text_scorer(
            config.text_scorer, first, config.model.width, config.data.cache_dir, config.seed
        )
        load_text_scorer(scorer, folder / SCORER_FILE).to(device)
    model = ServedModel(recommender, config.model, base, scorer)
    if len(catalog) > n_trained:
        _append_added(model, description, tensors, catalog)
    users = folder / USERS_FILE
    return RecommenderState(
        config,
        model,
        ServedItems(
            catalog,
            tensors[COUNTS],
            ItemSpaces(config.spaces, model.contents, description.spaces, saved_behaviour(tensors)),
            recommender,
        ),
        UserLog(read_users(users, len(catalog)) if users.exists() else None),
        description.about,
    )


def _append_added(
    model: ServedModel, description: PretrainedConfig, tensors: dict[str, np.ndarray], catalog: Catalog
) -> None:
    """Append the items that had been added before the folder was written."""
    rows = slice(description.n_trained, len(catalog))
    content = model.content_of(catalog.select(np.arange(rows.start, rows.stop)))
    restore_features(tensors, description.experiment, content, rows)
    encoded, parts = {}, model.config.build_modalities()
    for name in content_names(model.recommender.network):
        modality = model.recommender.network.items.modalities[name]
        assert isinstance(modality, Modality)
        if isinstance(modality, TrainableEncoder):
            encoded[name] = ContentVectors.of(features_at(tensors, f"{MODEL}.{name}", rows))
        else:  # from the features set above, or from the columns of the catalogue
            encoded[name] = parts[name].encode(content, modality)
    model.append(encoded, content, catalog)


TIMEOUT_SECONDS = 10.0


def download(name: str, revision: str | None = None) -> Path:
    """Return the folder of a recommender on the hub, downloaded once and kept in the hub's cache.

    Args:
        name: ``user/name``.
        revision: branch, tag or commit; the newest when None.

    Raises:
        InputError: if it is not there, or the hub can't be reached and nothing was fetched earlier.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError, RepositoryNotFoundError

    try:
        return Path(snapshot_download(name, revision=revision, etag_timeout=TIMEOUT_SECONDS))
    except (HFValidationError, RepositoryNotFoundError) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(f"'{name}' is no folder here and no model on the hub: {reason}") from error
    except LocalEntryNotFoundError as error:
        raise InputError(
            f"'{name}' is no folder here, and the hub can't be reached, nor was it fetched from there earlier"
        ) from error

"""Addition of items to a trained network by their content, without changing what it learned."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from crossrec.model.config import ModelConfig
from crossrec.model.encoded_catalog import EncodedCatalog
from crossrec.model.modalities.base import ContentVectors
from crossrec.model.modalities.layers import Modality, TrainableEncoder
from crossrec.model.network import SequentialNetwork
from crossrec.model.recommender import ENCODE_CHUNK
from crossrec.runtime.progress import progress_bar
from crossrec.types import InputError


def content_names(network: SequentialNetwork) -> list[str]:
    """Return the modalities that a new item can have: all but learned embeddings."""
    return [name for name, modality in network.items.modalities.items() if not _module(modality).learned]


def encode_items(
    network: SequentialNetwork, config: ModelConfig, content: EncodedCatalog
) -> dict[str, ContentVectors]:
    """Encode the items of a catalogue with the network's encoders; frozen ones use the feature cache.

    Args:
        network: trained network.
        config: configuration of the network.
        content: content of K items.

    Raises:
        InputError: if the network reads ids alone, or an item has no modality that it reads.
    """
    names = content_names(network)
    if not names:
        raise InputError(
            "this model reads ids alone, so it can't score new items: train one with "
            "model.text, model.image or another modality of content"
        )
    parts = config.build_modalities()
    modules = network.items.modalities
    encoded = {name: parts[name].encode(content, _module(modules[name])) for name in names}
    known_K = np.logical_or.reduce([vectors.present_K for vectors in encoded.values()])
    if not known_K.all():
        item_id = content.catalog.item_ids[int(np.argmin(known_K))]
        raise InputError(f"item '{item_id}' has no modality that this model reads: {' or '.join(names)}")
    return encoded


def append_items(network: SequentialNetwork, encoded: Mapping[str, ContentVectors], count: int) -> None:
    """Append items to those of the network.

    Args:
        network: trained network, changed in place.
        encoded: name of each content modality -> its encoded K items.
        count: K.
    """
    for name, module in network.items.modalities.items():
        modality = _module(module)
        added = ContentVectors.nothing(count) if modality.learned else encoded[name]
        modality.append(added.present_K, added.vectors_KW)
    network.grow(count)


@torch.no_grad()
def remember_encoded(network: SequentialNetwork) -> None:
    """Encode all items once where the encoder was trained, so that no later look-up runs the encoder."""
    network.eval()
    device = next(network.parameters()).device
    for name, modality in network.items.modalities.items():
        if not isinstance(modality, TrainableEncoder):
            continue
        rows = torch.arange(network.n_items, device=device)
        blocks: list[Tensor] = []
        with progress_bar(f"{name} of the items", len(rows)) as advance:
            for block in rows.split(ENCODE_CHUNK):
                blocks.append(modality(block))
                advance(len(block))
        modality.remember(torch.cat(blocks))


def _module(modality: nn.Module) -> Modality:
    assert isinstance(modality, Modality)
    return modality

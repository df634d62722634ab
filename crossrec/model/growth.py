"""Addition of items to a trained network by their content, without changing what it learned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, cast

import numpy as np
import torch
from torch import Tensor

from crossrec.encoders.cache import Features
from crossrec.encoders.image import ImageEncoder
from crossrec.encoders.text import TextEncoder
from crossrec.model.config import ModelConfig
from crossrec.model.encoded_catalog import EncodedCatalog
from crossrec.model.modalities import ItemIdEmbedding, Modality, TrainableEncoder
from crossrec.model.network import SequentialNetwork
from crossrec.model.recommender import ENCODE_CHUNK
from crossrec.runtime.progress import progress_bar
from crossrec.types import InputError

TEXT, IMAGE = "text", "image"


@dataclass(frozen=True)
class ContentVectors:
    """Encoder output of one modality for K items.

    Args:
        present_K: (K,) bool, which items have the modality.
        vectors_KW: encoder output, arbitrary where not present.
    """

    present_K: np.ndarray
    vectors_KW: np.ndarray


class ContentEncoders(Protocol):
    """Configuration with a text encoder and an image encoder."""

    @property
    def text(self) -> TextEncoder.Options | None:
        """Text encoder."""

    @property
    def image(self) -> ImageEncoder.Options | None:
        """Image encoder."""


def encoder_config(name: str, config: ContentEncoders) -> TextEncoder.Options | ImageEncoder.Options:
    """Return the encoder of ``text`` or ``image``.

    Raises:
        ValueError: if the configuration has none.
    """
    found = config.text if name == TEXT else config.image
    if found is None:
        raise ValueError(f"no encoder of {name} is configured")
    return found


def content_features(name: str, config: ContentEncoders, content: EncodedCatalog) -> Features:
    """Encode a catalogue with the frozen encoder of ``text`` or ``image``.

    Args:
        name: name of the modality.
        config: configuration with the encoder.
        content: content of the items.
    """
    found = encoder_config(name, config)
    if name == TEXT:
        return content.text_features(cast("TextEncoder.Options", found))
    return content.image_features(cast("ImageEncoder.Options", found))


def content_names(network: SequentialNetwork) -> list[str]:
    """Return the modalities that a new item can have: all but the trained embedding."""
    return [
        name
        for name, modality in network.items.modalities.items()
        if not isinstance(modality, ItemIdEmbedding)
    ]


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
            "model.text or model.image"
        )
    encoded = {name: _encode(name, network, config, content) for name in names}
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
    nothing = ContentVectors(np.zeros(count, dtype=bool), np.zeros((count, 0), np.float32))
    for name, modality in network.items.modalities.items():
        assert isinstance(modality, Modality)
        added = nothing if isinstance(modality, ItemIdEmbedding) else encoded[name]
        modality.append(added.present_K, added.vectors_KW)
    network.n_items += count


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


def _encode(
    name: str, network: SequentialNetwork, config: ModelConfig, content: EncodedCatalog
) -> ContentVectors:
    modality = network.items.modalities[name]
    if isinstance(modality, TrainableEncoder):
        return _encode_anew(name, modality, content)
    features = content_features(name, config, content)
    return ContentVectors(features.present_N, np.asarray(features.vectors_ND))


@torch.no_grad()
def _encode_anew(name: str, modality: TrainableEncoder, content: EncodedCatalog) -> ContentVectors:
    present_K = content.catalog.has_text if name == TEXT else content.readable_pictures()
    vectors_KW = np.zeros((len(present_K), modality.width), np.float32)
    modality.eval()
    known = np.flatnonzero(present_K)
    for start in range(0, len(known), ENCODE_CHUNK):
        rows = known[start : start + ENCODE_CHUNK]
        if name == TEXT:
            inputs = content.tokens(cast("TextEncoder", modality.encoder), rows)
        else:
            inputs = content.pixels(cast("ImageEncoder", modality.encoder), rows)
        on_device = {key: value.to(modality.present.device) for key, value in inputs.items()}
        vectors_KW[rows] = modality.encoder(**on_device).float().cpu().numpy()
    return ContentVectors(present_K, vectors_KW)

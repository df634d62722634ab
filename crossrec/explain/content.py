"""Differentiable path from the scored item's raw text or picture to its score."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from crossrec.data.catalog import Catalog
from crossrec.encoders.base import EncoderPrecision
from crossrec.encoders.image import ImageEncoder
from crossrec.encoders.text import TextEncoder
from crossrec.explain.explanation import Unavailable
from crossrec.explain.score import Pair
from crossrec.model.config import ModelConfig
from crossrec.model.modalities.image import Image
from crossrec.model.modalities.layers import AdaptedFeatures, FrozenFeatures, Modality, TrainableEncoder
from crossrec.model.modalities.text import Text
from crossrec.types import InputError

TEXT, IMAGE = "text", "image"
BF16_ERROR = {TEXT: 0.03, IMAGE: 0.18}
"""Distance of encoder output in bf16 arithmetic from that in float32, as a share of its length. Measured: at
most 0.0075 with MiniLM, 0.115 with EfficientNet-Lite0; the nearest other product was at 0.15 and 0.25."""
FP32_ERROR = 2.0**-7
"""The same between two ways to float32 output: alone or in a batch, on one device or another (TF32)."""


class ItemContent:
    """Inputs of explanations besides the network: texts, pictures, and the encoders that read them.

    Encoders of frozen features are loaded on first use and kept.

    Args:
        catalog: catalogue of N items.
        config: configuration of the model.
        cache_dir: folder of converted weights.
    """

    def __init__(self, catalog: Catalog, config: ModelConfig, cache_dir: Path) -> None:
        self.catalog, self.config, self.cache_dir = catalog, config, cache_dir

    def encoder(self, name: str) -> TextEncoder | ImageEncoder | None:
        """Return the encoder of a modality's frozen features; None if the model has no such modality."""
        if name not in self._encoders:
            options = self.config.modalities.get(name)
            if not isinstance(options, Text.Options | Image.Options):
                return None
            self._encoders[name] = options.encoder_options().build(self.cache_dir)
        return self._encoders[name]

    @cached_property
    def _encoders(self) -> dict[str, TextEncoder | ImageEncoder]:
        return {}

    def column(self, name: str) -> str | None:
        """Return the column that a modality reads; None for the catalogue's own pictures."""
        found: str | None = getattr(self.config.modalities[name], "column", None)
        return found

    def names(self, pair: Pair, kind: str) -> list[str]:
        """Return the modalities of a type that the scored item has, in the model's order.

        Args:
            pair: history and item.
            kind: ``text`` or ``image``.

        Raises:
            Unavailable: if the model reads none of this type, or the scored item has none.
        """
        read = [name for name in self.config.of_type(kind) if name in pair.names]
        found = [name for name in read if bool(pair.present_KM[-1, pair.names.index(name)])]
        if not found:
            used_modality(pair, read[0] if read else kind, self)  # which raises, with the reason
        return found


def text_encoder(pair: Pair, content: ItemContent, name: str) -> TextEncoder:
    """Return the encoder that made a text's feature.

    Raises:
        Unavailable: if the model reads no such text, or the scored item has none.
    """
    modality = used_modality(pair, name, content)
    found = _encoder_of(modality, content, name)
    if not isinstance(found, TextEncoder):
        raise Unavailable(f"the text's encoder is a {type(found).__name__}, whose tokens are unknown")
    return found


def _encoder_of(modality: Modality, content: ItemContent, name: str) -> object:
    """Return the encoder in the network, if it was tuned, or else that of the frozen features."""
    if isinstance(modality, TrainableEncoder | AdaptedFeatures):
        return modality.encoder
    return content.encoder(name)


def image_encoder(pair: Pair, content: ItemContent, name: str) -> ImageEncoder:
    """Return the encoder that made a picture's feature.

    Raises:
        Unavailable: if the model reads no such picture, or the scored item has none.
    """
    modality = used_modality(pair, name, content)
    found = _encoder_of(modality, content, name)
    if not isinstance(found, ImageEncoder):
        raise Unavailable(f"the picture's encoder is a {type(found).__name__}, whose parts are unknown")
    return found


def used_modality(pair: Pair, name: str, content: ItemContent | None = None) -> Modality:
    """Return a modality that the scored item has.

    Args:
        pair: history and item.
        name: name of the modality.
        content: catalogue, for the item's id in the message.

    Raises:
        Unavailable: if the model does not read it, or the item lacks it.
    """
    if name not in pair.names:
        raise Unavailable(f"the model does not read the {name} of items")
    if not bool(pair.present_KM[-1, pair.names.index(name)]):
        raise Unavailable(f"item {item_name(pair, content)} has no {name} that the model read")
    modality = pair.network.items.modalities[name]
    assert isinstance(modality, Modality)
    return modality


def scores_of_raw(pair: Pair, name: str) -> Callable[[Tensor], Tensor]:
    """Return a function from encoder output (B, W) for the scored item to scores (B,).

    Whitening, projection, fusion with the item's other modalities and similarity are the model's. The history
    stays unchanged, even if it contains the item.

    Args:
        pair: history and item.
        name: name of the modality.
    """
    modality = used_modality(pair, name)
    changed_M1 = torch.tensor([[own == name] for own in pair.names], device=pair.features_KMD.device)

    def scores(raw_BW: Tensor) -> Tensor:
        projected_BD = pair.network.items.project[name](_taken(modality, raw_BW))
        return pair.scores_of_item(
            torch.where(changed_M1, projected_BD.unsqueeze(1), pair.features_KMD[-1].to(projected_BD.dtype))
        )

    return scores


@torch.no_grad()
def check_feature(pair: Pair, content: ItemContent, name: str, raw_W: Tensor) -> None:
    """Compare encoder output with the encoder output that the model was trained on, before any whitening.

    Args:
        pair: history and item.
        content: catalogue, for the item's id in the message.
        name: name of the modality.
        raw_W: (W,) encoder output.

    Raises:
        InputError: if they differ by more than rounding, so that an explanation would be of something
            else.
    """
    modality = used_modality(pair, name, content)
    if isinstance(modality, FrozenFeatures):
        stored = modality.raw(np.asarray([pair.item]))
        known_W, stored_error = (
            torch.from_numpy(stored[0].astype(np.float32)),
            float(np.finfo(stored.dtype).eps),
        )
    else:
        known_W, stored_error = (
            modality(torch.tensor([pair.item], device=pair.features_KMD.device))[0].float().cpu(),
            0.0,
        )
    options = content.config.modalities.get(name)
    exact = getattr(options, "precision", None) is EncoderPrecision.FP32
    kind = TEXT if isinstance(options, Text.Options) else IMAGE
    bound = stored_error + (FP32_ERROR if exact else BF16_ERROR[kind])
    distance = float((known_W - raw_W.float().cpu()).norm() / known_W.norm().clamp(min=1e-12))
    if not np.isfinite(distance) or distance > bound:
        raise InputError(
            f"the {name} of item {item_name(pair, content)} gives another feature than the model knows "
            f"(distance {distance:.3g} of its length, at most {bound:.2g} comes from rounding): {name}, "
            "encoder weights or preprocessing have changed since; compute the features again, or use "
            "what they were made from"
        )


def item_name(pair: Pair, content: ItemContent | None) -> str:
    """Return the original id of the scored item, or its row where no catalogue is at hand."""
    return str(pair.item) if content is None else f"'{content.catalog.item_ids[pair.item]}'"


def _taken(modality: Modality, raw_BW: Tensor) -> Tensor:
    """Return (B, W) encoder output as the model takes it: centred and whitened where features are frozen."""
    return modality.transform(raw_BW) if isinstance(modality, FrozenFeatures) else raw_BW.float()

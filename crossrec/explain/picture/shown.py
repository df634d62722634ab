"""A score as a function of the scored item's picture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from crossrec.encoders.image import ImageEncoder
from crossrec.explain.content import (
    IMAGE,
    ItemContent,
    check_feature,
    image_encoder,
    item_name,
    scores_of_raw,
)
from crossrec.explain.explanation import Unavailable
from crossrec.explain.score import Pair

if TYPE_CHECKING:
    from PIL.Image import Image

BATCH = 32
"""Pictures that the encoder sees at once."""


@dataclass(frozen=True)
class Shown:
    """A picture on its way to a score.

    Args:
        encoder: reads the picture.
        picture: as the catalogue has it.
        pixels_3SS: as the encoder takes it.
        raw_scores: from encoder output (B, W) to scores (B,).
    """

    encoder: ImageEncoder
    picture: Image
    pixels_3SS: Tensor
    raw_scores: Callable[[Tensor], Tensor]

    @classmethod
    def of(cls, pair: Pair, content: ItemContent) -> Shown:
        """Reads the scored item's picture, and checks that it is what the model knows.

        Raises:
            Unavailable: the model reads no pictures, or the item has none.
            InputError: the picture gives another feature than the model knows.
        """
        encoder = image_encoder(pair, content).eval()
        picture = content.catalog.image(pair.item)
        if picture is None:
            raise Unavailable(f"item {item_name(pair, content)} has no picture in this catalogue")
        device = pair.features_KMD.device
        encoder.to(device)
        pixels_3SS = encoder.preprocess(picture).to(device)
        shown = cls(encoder, picture, pixels_3SS, scores_of_raw(pair, IMAGE))
        # In the arithmetic that features are made with, which gradients don't go through.
        check_feature(pair, content, IMAGE, torch.from_numpy(encoder.encode([picture])[0]))
        return shown

    @property
    def backbone(self) -> Any:
        """The timm model; LoRA's layers are in it."""
        adapter = self.encoder.adapter()
        return self.encoder.backbone if adapter is None else adapter.get_base_model()

    @torch.no_grad()
    def scores(self, pixels_B3SS: Tensor) -> Tensor:
        """(B,) scores with other pictures in the item's place."""
        found = [self.raw_scores(self.encoder(chunk).float()) for chunk in pixels_B3SS.split(BATCH)]
        return torch.cat(found)

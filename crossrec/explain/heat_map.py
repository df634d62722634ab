"""A heat map on a picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from crossrec.explain.plain import plain
from crossrec.runtime.pictures import clean_picture

if TYPE_CHECKING:
    from PIL.Image import Image

MapMethod = Literal["layer_cam", "grad_cam", "attention"]

JSON_SIDE = 64
"""Longer side of the map in JSON: it has no detail that this would lose."""


@dataclass(frozen=True)
class HeatMap:
    """Where on a picture there is what raises a score.

    Args:
        map_HW: (H, W) float32 in [0, 1] on the picture's pixels, 1 where most of it is and 0 where least;
            all 0 where nothing on the picture raises the score.
        input_SS: the same on the encoder's square input.
        grid: rows and columns that the encoder tells apart.
        method: how it was found.
    """

    map_HW: np.ndarray
    input_SS: np.ndarray
    grid: tuple[int, int]
    method: MapMethod

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON: rows of the map, shrunk where it is large, and the picture's size."""
        height, width = self.map_HW.shape
        return {
            "method": self.method,
            "map": plain(self._shrunk().round(3)),
            "height": height,
            "width": width,
            "grid": list(self.grid),
        }

    def _shrunk(self) -> np.ndarray:
        from PIL import Image

        height, width = self.map_HW.shape
        scale = min(1.0, JSON_SIDE / max(height, width))
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        return np.asarray(Image.fromarray(self.map_HW).resize(size, Image.Resampling.BOX))

    def overlay(self, picture: Image, strength: float = 0.6) -> Image:
        """The picture with the map on it, from transparent to red and yellow.

        Args:
            picture: of (H, W) pixels.
            strength: how much of the picture the map covers where it is 1.
        """
        from PIL import Image

        heat = self.map_HW[..., None]
        colour = np.concatenate(
            [np.ones_like(heat), np.clip(2 * heat - 1, 0, 1), np.zeros_like(heat)], axis=2
        )
        cover = strength * heat
        base = np.asarray(clean_picture(picture), np.float32) / 255
        mixed = base * (1 - cover) + colour * cover
        return Image.fromarray((mixed * 255).round().astype(np.uint8))

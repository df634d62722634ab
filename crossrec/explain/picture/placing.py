"""Where an encoder's square input lies on the picture."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch.nn import functional as F

from crossrec.encoders.image import CropMode, ImageEncoder


def enlarged(grid_hw: np.ndarray, side: int) -> np.ndarray:
    """(S, S) map from one on a coarse grid, bilinear, from 0 to 1; zeros where the grid is even."""
    fine = F.interpolate(
        torch.from_numpy(np.ascontiguousarray(grid_hw, np.float32))[None, None],
        size=(side, side),
        mode="bilinear",
        align_corners=False,
    )[0, 0].numpy()
    fine = fine - fine.min()
    return fine / peak if (peak := fine.max()) > 0 else fine


def on_picture(input_SS: np.ndarray, encoder: ImageEncoder, width: int, height: int) -> np.ndarray:
    """(H, W) map on a picture's pixels; 0 where the encoder did not look.

    Args:
        input_SS: map on the encoder's input.
        encoder: whose preprocessing cut and scaled the picture.
        width: of the picture.
        height: of the picture.
    """
    covered_w, covered_h = covered(encoder, width, height)
    # grid_sample counts from -1 to 1 across the input; the covered part has the picture's centre.
    x_W = (2 * (np.arange(width) + 0.5) - width) / covered_w
    y_H = (2 * (np.arange(height) + 0.5) - height) / covered_h
    places = np.stack(np.meshgrid(x_W, y_H), axis=-1).astype(np.float32)
    found = F.grid_sample(
        torch.from_numpy(input_SS)[None, None],
        torch.from_numpy(places)[None],
        mode="bilinear",
        padding_mode="border",
        align_corners=False,
    )[0, 0].numpy()
    inside = (np.abs(places) <= 1).all(axis=-1)
    return np.where(inside, found, 0).astype(np.float32)


def covered(encoder: ImageEncoder, width: int, height: int) -> tuple[float, float]:
    """Width and height of what the encoder sees, in pixels of the picture around its centre.

    More than the picture's own where the encoder pads.
    """
    settings = encoder.settings
    side = int(settings["input_size"][-1])
    scaled = math.floor(side / float(settings["crop_pct"]))
    match CropMode(settings["crop_mode"]):
        case CropMode.SQUASH:
            return width * side / scaled, height * side / scaled
        case CropMode.CENTER:
            return side * min(width, height) / scaled, side * min(width, height) / scaled
        case CropMode.BORDER:
            return side * max(width, height) / scaled, side * max(width, height) / scaled

"""The heat map of a picture, and scores without some of its patches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from crossrec.explain.explanation import Unavailable
from crossrec.explain.heat_map import HeatMap, MapMethod
from crossrec.explain.picture.activation import grad_cam, layer_cam
from crossrec.explain.picture.placing import enlarged, on_picture
from crossrec.explain.picture.shown import Shown
from crossrec.explain.picture.transformer import patch_relevance

PATCHES = 8
"""Patches a side that deletion takes away."""

MAPS: dict[MapMethod, Callable[[Shown], np.ndarray]] = {
    "layer_cam": layer_cam,
    "grad_cam": grad_cam,
    "attention": patch_relevance,
}


def heat_map(shown: Shown, method: MapMethod | None = None) -> HeatMap:
    """Where on the picture there is what raises the item's score.

    Args:
        shown: a picture on its way to a score.
        method: None for LayerCAM where the backbone has a map of features (convolutional networks,
            hierarchical transformers), and gradient-weighted attention where it has tokens (vision
            transformers).

    Raises:
        Unavailable: the backbone has neither, or not what the method needs.
    """
    has_map = _has_feature_map(shown.backbone, shown.pixels_3SS)
    chosen = method or ("layer_cam" if has_map else "attention")
    if chosen != "attention" and not has_map:
        raise Unavailable(f"{chosen} needs a map of features, which {type(shown.backbone).__name__} lacks")
    coarse = MAPS[chosen](shown)
    input_SS = enlarged(coarse, shown.pixels_3SS.shape[-1])
    width, height = shown.picture.size
    grid = (int(coarse.shape[0]), int(coarse.shape[1]))
    return HeatMap(on_picture(input_SS, shown.encoder, width, height), input_SS, grid, chosen)


@torch.no_grad()
def _has_feature_map(backbone: Any, pixels_3SS: Tensor) -> bool:
    return bool(backbone.forward_features(pixels_3SS[None]).ndim == 4)


def patch_weights(heat: HeatMap) -> np.ndarray:
    """(PATCHES * PATCHES,) mean of the map over each patch of the encoder's input, row by row."""
    input_SS = torch.from_numpy(heat.input_SS)
    return F.adaptive_avg_pool2d(input_SS[None, None], PATCHES)[0, 0].flatten().numpy()


def scores_with_patches(shown: Shown, kept_VP: np.ndarray) -> np.ndarray:
    """(V,) float64 scores with patches of the picture painted over in its mean colour.

    Args:
        shown: a picture on its way to a score.
        kept_VP: (V, PATCHES * PATCHES) bool, row by row.
    """
    pixels = shown.pixels_3SS
    side = pixels.shape[-1]
    kept = torch.from_numpy(kept_VP.reshape(-1, 1, PATCHES, PATCHES)).float().to(pixels.device)
    # The patch of each pixel, as adaptive pooling divides them.
    kept_V1SS = F.interpolate(kept, size=(side, side), mode="nearest").bool()
    painted = torch.where(kept_V1SS, pixels, pixels.mean((1, 2), keepdim=True))
    return shown.scores(painted).double().cpu().numpy()

"""Which patches of a vision transformer raise a score."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from crossrec.explain.attention.recording import AttentionRecorder
from crossrec.explain.attention.rollout import gradient_rollout, rollout
from crossrec.explain.explanation import Unavailable
from crossrec.explain.picture.shown import Shown


def patch_relevance(shown: Shown, *, by_gradient: bool = True) -> np.ndarray:
    """Relevance of each patch, on the grid of patches.

    By gradient, attention counts where it raises the score (Chefer et al. 2021). Without, it is attention
    rollout (Abnar and Zuidema 2020), which knows nothing of the score. Both are read at the class token where
    the encoder pools by it, else as the mean over all patches.

    Args:
        shown: a picture read by a vision transformer with global attention.
        by_gradient: weigh attention by the score's gradient.

    Returns:
        (h, w) float32, at least 0.

    Raises:
        Unavailable: the backbone is no such transformer.
    """
    with torch.enable_grad():
        pixels = shown.pixels_3SS[None].clone().requires_grad_()
        # The encoder alone: what makes the score of its output may have attention too.
        with AttentionRecorder() as recorder:
            raw_1W = shown.encoder(pixels)
        score_1 = shown.raw_scores(raw_1W.float())
    grid = _grid(shown, recorder.weights)
    layers = [weights[0].detach() for weights in recorder.weights]
    if by_gradient:
        gradients = torch.autograd.grad(score_1.sum(), recorder.weights)
        total = gradient_rollout(layers, [gradient[0] for gradient in gradients])
        # What was there before any attention says nothing.
        total = total - torch.eye(len(total), device=total.device)
    else:
        total = rollout(layers)
    prefix = len(total) - grid[0] * grid[1]
    reader = total[0] if shown.backbone.global_pool == "token" else total[prefix:].mean(0)
    return reader[prefix:].clamp(min=0).reshape(grid).cpu().numpy()


def _grid(shown: Shown, weights: list[Tensor]) -> tuple[int, int]:
    """Rows and columns of patches that every attention map covers."""
    patches = getattr(shown.backbone, "patch_embed", None)
    grid = getattr(patches, "grid_size", None)
    prefix = getattr(shown.backbone, "num_prefix_tokens", 0)
    expected = None if grid is None else prefix + grid[0] * grid[1]
    shapes = {tuple(found.shape[-2:]) for found in weights}
    if grid is None or shapes != {(expected, expected)} or any(found.ndim != 4 for found in weights):
        raise Unavailable(
            f"{type(shown.backbone).__name__} has neither a map of features (for Grad-CAM) nor attention "
            "among all patches of the picture"
        )
    return int(grid[0]), int(grid[1])

"""Class activation maps: which places of a network's last map of features raise a score."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from crossrec.explain.picture.shown import Shown


def layer_cam(shown: Shown) -> np.ndarray:
    """ReLU(sum over channels c of ReLU(dScore / dA_c) A_c), place by place.

    Only channels that raise the score count. What the encoder pools is A, on the last map; features are
    centred afterwards, so that a channel which lowers the score is at work all over the picture and
    hides the others in :func:`grad_cam`.

    Args:
        shown: a picture read by a network with a map of features.

    Returns:
        (h, w) float32, at least 0.

    Source:
        Jiang et al.: LayerCAM: Exploring hierarchical class activation maps for localization (TIP 2021), with
        the score of an item in place of a class.
    """
    features_CHW, gradient_CHW = _map_and_gradient(shown)
    return (features_CHW * gradient_CHW.clamp(min=0)).sum(0).clamp(min=0).cpu().numpy()


def grad_cam(shown: Shown) -> np.ndarray:
    """ReLU(sum over channels c of alpha_c A_c), where alpha_c is the mean over places of dScore / dA_c.

    Args:
        shown: a picture read by a network with a map of features.

    Returns:
        (h, w) float32, at least 0.

    Source:
        Selvaraju et al.: Grad-CAM: Visual explanations from deep networks via gradient-based localization
        (ICCV 2017), equations 1 and 2, with the score of an item in place of a class.
    """
    features_CHW, gradient_CHW = _map_and_gradient(shown)
    weights_C = gradient_CHW.mean((1, 2))
    return torch.einsum("c,chw->hw", weights_C, features_CHW).clamp(min=0).cpu().numpy()


def _map_and_gradient(shown: Shown) -> tuple[Tensor, Tensor]:
    """(C, h, w) last map of features, and the score's gradient with respect to it."""
    backbone = shown.backbone
    with torch.enable_grad():
        pixels = shown.pixels_3SS[None].contiguous(memory_format=torch.channels_last).requires_grad_()
        features = backbone.forward_features(pixels)
        score_1 = shown.raw_scores(backbone.forward_head(features).float())
        (gradient,) = torch.autograd.grad(score_1.sum(), features)
    features, gradient = features.detach()[0].float(), gradient[0].float()
    if getattr(backbone, "output_fmt", "NCHW") == "NHWC":
        return features.permute(2, 0, 1), gradient.permute(2, 0, 1)
    return features, gradient

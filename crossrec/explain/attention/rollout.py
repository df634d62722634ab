"""Attention of several layers as one map."""

from __future__ import annotations

import torch
from torch import Tensor


def rollout(layers: list[Tensor]) -> Tensor:
    """How much of each input reaches each position through all layers, as attention alone has it.

    Heads are averaged, the residual connection is an identity of the same weight as attention, and the
    layers' maps are multiplied: R = A_S ... A_1 with A = (mean over heads + I) / 2. Rows sum to 1.

    Args:
        layers: (heads, L, L) attention weights a layer, first layer first; rows sum to 1.

    Returns:
        (L, L).

    Source:
        Abnar, Zuidema: Quantifying attention flow in transformers (ACL 2020).
    """
    length = layers[0].shape[-1]
    total_LL = torch.eye(length, dtype=layers[0].dtype, device=layers[0].device)
    for weights_HLL in layers:
        mixed_LL = (weights_HLL.mean(0) + torch.eye(length, device=total_LL.device)) / 2
        total_LL = mixed_LL @ total_LL
    return total_LL


def gradient_rollout(layers: list[Tensor], gradients: list[Tensor]) -> Tensor:
    """How much of each input reaches each position where that raises a score.

    R starts as I and becomes R + A R layer by layer, where A is the mean over heads of the positive part of
    attention times the score's gradient with respect to it.

    Args:
        layers: (heads, L, L) attention weights a layer.
        gradients: of the score with respect to them.

    Returns:
        (L, L).

    Source:
        Chefer, Gur, Wolf: Generic attention-model explainability for interpreting bi-modal and
        encoder-decoder transformers (ICCV 2021), section 3.
    """
    total_LL = torch.eye(layers[0].shape[-1], dtype=layers[0].dtype, device=layers[0].device)
    for weights_HLL, gradient_HLL in zip(layers, gradients, strict=True):
        positive_LL = (weights_HLL * gradient_HLL).clamp(min=0).mean(0)
        total_LL = total_LL + positive_LL @ total_LL
    return total_LL

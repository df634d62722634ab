"""Losses that compute their gradients in the same pass as their values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


@dataclass(frozen=True)
class Swept:
    """What one pass over the logits gives.

    Args:
        losses_T: weighted losses.
        slopes_T: derivatives of the weighted losses by the plain ones.
        gradients: of each vector; empty where none was asked for.
    """

    losses_T: Tensor
    slopes_T: Tensor
    gradients: tuple[Tensor, ...] = ()


class Sweep(Protocol):
    """One pass over the logits of some vectors."""

    def __call__(self, vectors: tuple[Tensor, ...], slopes_T: Tensor | None, gradients: bool) -> Swept:
        """Losses, and with ``gradients`` those of ``slopes_T @ losses`` (own slopes where None)."""
        ...


def fused_loss(sweep: Sweep, *vectors: Tensor) -> Tensor:
    """Losses with gradients for the vectors.

    Gradients are computed with the losses, under the guess that all losses will weigh the same in what
    is differentiated, as in a sum or a mean. Backward checks that; where it is wrong, the pass is done
    again with the true weights, so that the result is right either way.

    Args:
        sweep: the pass.
        vectors: what to differentiate by.

    Returns:
        (T,) losses.
    """
    if torch.is_grad_enabled() and any(v.requires_grad for v in vectors):
        losses_T: Tensor = _Fused.apply(sweep, *vectors)
        return losses_T
    return sweep(vectors, None, False).losses_T


class _Fused(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, sweep: Sweep, *vectors: Tensor) -> Tensor:
        with torch.autocast(vectors[0].device.type, enabled=False):
            swept = sweep(vectors, None, True)
        ctx.sweep = sweep
        ctx.save_for_backward(*vectors, *swept.gradients, swept.slopes_T)
        return swept.losses_T

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream_T: Tensor) -> tuple[Tensor | None, ...]:
        *saved, slopes_T = ctx.saved_tensors
        vectors, gradients = saved[: len(saved) // 2], saved[len(saved) // 2 :]
        # A sum's upstream is one number with stride 0, which needs no look at the values.
        if upstream_T.stride() == (0,) or bool((upstream_T == upstream_T[:1]).all()):
            factor = upstream_T[:1].sum()
            gradients = [gradient * factor for gradient in gradients]
        else:
            gradients = ctx.sweep(vectors, slopes_T * upstream_T, True).gradients
        return None, *(g.to(v.dtype) for g, v in zip(gradients, vectors, strict=True))

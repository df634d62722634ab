"""Fused losses: logits chunk by chunk in reused memory, and gradients in the same pass as the losses."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

SAFE_EXPONENT = {torch.float32: 80.0, torch.float64: 600.0}
"""Largest exponent in nats that sums and products stay finite with (e ** 88 and e ** 709 overflow)."""


@dataclass(frozen=True)
class LogitDtypes:
    """Dtypes of a pass.

    Args:
        product: dtype of matrix products: autocast's where it is on.
        total: dtype of everything summed.
    """

    product: torch.dtype
    total: torch.dtype

    @classmethod
    def from_vectors(cls, *vectors: Tensor) -> LogitDtypes:
        """Return the dtypes for these vectors under the current autocast."""
        product = vectors[0].dtype
        for vector in vectors[1:]:
            product = torch.promote_types(product, vector.dtype)
        device = vectors[0].device.type
        if product != torch.float64 and torch.is_autocast_enabled(device):
            product = torch.get_autocast_dtype(device)
        return cls(product, torch.promote_types(product, torch.float32))


class Scratch:
    """Reusable memory for one chunk of logits; its content is never used twice."""

    def __init__(self) -> None:
        self._kept: dict[torch.dtype, Tensor] = {}

    def __deepcopy__(self, memo: dict[int, Any]) -> Scratch:
        return Scratch()

    def __getstate__(self) -> dict[str, Any]:
        return {"_kept": {}}

    def take(self, rows: int, columns: int, like: Tensor, dtype: torch.dtype) -> Tensor:
        """Return (rows, columns) uninitialized numbers on the device of ``like``."""
        kept = self._kept.get(dtype)
        if kept is None or kept.device != like.device or kept.numel() < rows * columns:
            self._kept.pop(dtype, None)
            kept = self._kept[dtype] = torch.empty(rows * columns, dtype=dtype, device=like.device)
        return kept[: rows * columns].view(rows, columns)


class LogitProducts:
    """Products of rows and columns, chunk by chunk in reused memory: logits and both their gradients.

    Args:
        rows_TD: queries.
        columns_ND: item vectors.
        dtypes: dtypes of products and sums.
        scratch: reusable memory.
    """

    def __init__(self, rows_TD: Tensor, columns_ND: Tensor, dtypes: LogitDtypes, scratch: Scratch) -> None:
        self.total, self.product = dtypes.total, dtypes.product
        self.rows_TD, self.columns_ND = rows_TD.to(self.total), columns_ND.to(self.total)
        self.narrow_ND = columns_ND.to(self.product)
        self.scratch = scratch
        self.wide = self.total == self.product
        # exp2 is twice as fast as exp on a CPU; narrow products keep to e, lest scaling round once more.
        self.unit = math.log(2.0) if self.wide else 1.0
        self.scaled_TD = (self.rows_TD / self.unit).to(self.product)
        self.bounded = self._bounded()

    def _bounded(self) -> bool:
        """Return whether no exponential can overflow or underflow, so that no maximum need be subtracted."""
        if self.rows_TD.device.type != "cpu" or 0 in (len(self.rows_TD), len(self.columns_ND)):
            return False
        row = float(torch.linalg.vector_norm(self.rows_TD, dim=1).amax())
        column = float(torch.linalg.vector_norm(self.columns_ND, dim=1).amax())
        room = math.log(len(self.columns_ND)) + math.log1p(row) + math.log1p(column)
        return row * column + room < SAFE_EXPONENT[self.total]

    def logits(self, rows: slice) -> Tensor:
        """Compute the (C, N) logits of one chunk divided by ``unit``, in reused memory."""
        scaled_CD = self.scaled_TD[rows]
        shape = len(scaled_CD), len(self.narrow_ND)
        logits = self.scratch.take(*shape, self.rows_TD, self.total)
        if self.wide:
            return torch.mm(scaled_CD, self.narrow_ND.T, out=logits)
        narrow = self.scratch.take(*shape, self.rows_TD, self.product)
        return logits.copy_(torch.mm(scaled_CD, self.narrow_ND.T, out=narrow))

    def exponentiate(self, logits_CN: Tensor, peak_C: Tensor | None) -> Tensor:
        """Compute ``exp(logits - peak)`` in place, from logits divided by ``unit``."""
        if peak_C is not None:
            logits_CN.sub_(peak_C[:, None])
        return logits_CN.exp2_() if self.wide else logits_CN.exp_()

    def zeros(self) -> tuple[Tensor, Tensor]:
        """Return gradients of rows and columns to add to."""
        return torch.zeros_like(self.rows_TD), torch.zeros_like(self.columns_ND)

    def add_gradients(
        self,
        gradients: tuple[Tensor, Tensor],
        rows: slice,
        slopes_CN: Tensor,
        divisor_C: Tensor,
        weights_C: Tensor,
    ) -> None:
        """Add the gradients of the logits' derivatives, ``weights_C / divisor_C * slopes_CN``.

        Args:
            gradients: result of :meth:`zeros`.
            rows: the chunk.
            slopes_CN: numbers in reused memory; overwritten.
            divisor_C: brings the slopes to the size of probabilities.
            weights_C: weights of the rows; like the divisor, applied to the narrow side of a product.
        """
        row_gradient, column_gradient = gradients
        rows_CD, weights_C1 = self.rows_TD[rows], weights_C[:, None]
        if self.wide:
            weights_C1 = weights_C1 / divisor_C[:, None]
            torch.mm(slopes_CN, self.columns_ND, out=row_gradient[rows])
            column_gradient.addmm_(slopes_CN.T, rows_CD * weights_C1)
        else:
            # Narrow formats may not hold exponentials, only probabilities.
            slopes_CN.div_(divisor_C[:, None])
            shape = len(slopes_CN), len(self.narrow_ND)
            narrow = self.scratch.take(*shape, slopes_CN, self.product).copy_(slopes_CN)
            row_gradient[rows] = (narrow @ self.narrow_ND).to(self.total)
            column_gradient += narrow.T @ (rows_CD * weights_C1).to(self.product)
        row_gradient[rows] *= weights_C1


def chunks(n: int, size: int) -> list[slice]:
    """Return consecutive slices of at most ``size`` that cover ``range(n)``."""
    return [slice(start, min(start + size, n)) for start in range(0, n, size)]


@dataclass(frozen=True)
class PassResult:
    """Result of one pass over the logits.

    Args:
        losses_T: weighted losses.
        slopes_T: derivatives of the weighted losses by the plain ones.
        gradients: gradient of each vector; empty if not requested.
    """

    losses_T: Tensor
    slopes_T: Tensor
    gradients: tuple[Tensor, ...] = ()


class LossPass(Protocol):
    """One pass over the logits of some vectors."""

    def __call__(self, vectors: tuple[Tensor, ...], slopes_T: Tensor | None, gradients: bool) -> PassResult:
        """Compute losses, and with ``gradients`` those of ``slopes_T @ losses`` (own slopes if None)."""
        ...


def fused_loss(loss_pass: LossPass, *vectors: Tensor) -> Tensor:
    """Compute losses with gradients for the vectors.

    Gradients are computed with the losses, under the guess that all losses will weigh the same in what
    is differentiated, as in a sum or a mean. Backward checks that; where it is wrong, the pass is done
    again with the true weights, so that the result is right either way.

    Args:
        loss_pass: the pass.
        vectors: tensors to differentiate by.

    Returns:
        (T,) losses.
    """
    if torch.is_grad_enabled() and any(v.requires_grad for v in vectors):
        losses_T: Tensor = _Fused.apply(loss_pass, *vectors)
        return losses_T
    return loss_pass(vectors, None, False).losses_T


class _Fused(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, loss_pass: LossPass, *vectors: Tensor) -> Tensor:
        with torch.autocast(vectors[0].device.type, enabled=False):
            result = loss_pass(vectors, None, True)
        ctx.loss_pass = loss_pass
        ctx.save_for_backward(*vectors, *result.gradients, result.slopes_T)
        return result.losses_T

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
            gradients = ctx.loss_pass(vectors, slopes_T * upstream_T, True).gradients
        return None, *(g.to(v.dtype) for g, v in zip(gradients, vectors, strict=True))

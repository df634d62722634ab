"""Logits of queries and items, chunk by chunk in kept memory, and the way back from them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

SAFE_EXPONENT = {torch.float32: 80.0, torch.float64: 600.0}
"""Largest exponent in nats that sums and products stay finite with (e ** 88 and e ** 709 overflow)."""


@dataclass(frozen=True)
class Precision:
    """Number formats of a pass.

    Args:
        product: dtype of matrix products: autocast's where it is on.
        total: dtype of everything summed.
    """

    product: torch.dtype
    total: torch.dtype

    @classmethod
    def of(cls, *vectors: Tensor) -> Precision:
        """The formats for these vectors under the autocast that is on now."""
        product = vectors[0].dtype
        for vector in vectors[1:]:
            product = torch.promote_types(product, vector.dtype)
        device = vectors[0].device.type
        if product != torch.float64 and torch.is_autocast_enabled(device):
            product = torch.get_autocast_dtype(device)
        return cls(product, torch.promote_types(product, torch.float32))


class Scratch:
    """Memory for one chunk of logits, kept between calls; what it holds is never used twice."""

    def __init__(self) -> None:
        self._kept: dict[torch.dtype, Tensor] = {}

    def __deepcopy__(self, memo: dict[int, Any]) -> Scratch:
        return Scratch()

    def __getstate__(self) -> dict[str, Any]:
        return {"_kept": {}}

    def take(self, rows: int, columns: int, like: Tensor, dtype: torch.dtype) -> Tensor:
        """(rows, columns) uninitialised numbers on the device of ``like``."""
        kept = self._kept.get(dtype)
        if kept is None or kept.device != like.device or kept.numel() < rows * columns:
            self._kept.pop(dtype, None)
            kept = self._kept[dtype] = torch.empty(rows * columns, dtype=dtype, device=like.device)
        return kept[: rows * columns].view(rows, columns)


class LogitProducts:
    """Products of rows and columns, chunk by chunk in kept memory: logits and both their gradients.

    Args:
        rows_TD: queries.
        columns_ND: item vectors.
        precision: number formats.
        scratch: kept memory.
    """

    def __init__(self, rows_TD: Tensor, columns_ND: Tensor, precision: Precision, scratch: Scratch) -> None:
        self.total, self.product = precision.total, precision.product
        self.rows_TD, self.columns_ND = rows_TD.to(self.total), columns_ND.to(self.total)
        self.narrow_ND = columns_ND.to(self.product)
        self.scratch = scratch
        self.wide = self.total == self.product
        # exp2 is twice as fast as exp on a CPU; narrow products keep to e, lest scaling round once more.
        self.unit = math.log(2.0) if self.wide else 1.0
        self.scaled_TD = (self.rows_TD / self.unit).to(self.product)
        self.bounded = self._bounded()

    def _bounded(self) -> bool:
        """Whether no exponential can over- or underflow, so that no maximum need be subtracted."""
        if self.rows_TD.device.type != "cpu" or 0 in (len(self.rows_TD), len(self.columns_ND)):
            return False
        row = float(torch.linalg.vector_norm(self.rows_TD, dim=1).amax())
        column = float(torch.linalg.vector_norm(self.columns_ND, dim=1).amax())
        room = math.log(len(self.columns_ND)) + math.log1p(row) + math.log1p(column)
        return row * column + room < SAFE_EXPONENT[self.total]

    def logits(self, rows: slice) -> Tensor:
        """(C, N) logits of one chunk divided by ``unit``, in kept memory."""
        scaled_CD = self.scaled_TD[rows]
        shape = len(scaled_CD), len(self.narrow_ND)
        logits = self.scratch.take(*shape, self.rows_TD, self.total)
        if self.wide:
            return torch.mm(scaled_CD, self.narrow_ND.T, out=logits)
        narrow = self.scratch.take(*shape, self.rows_TD, self.product)
        return logits.copy_(torch.mm(scaled_CD, self.narrow_ND.T, out=narrow))

    def exponentiate(self, logits_CN: Tensor, peak_C: Tensor | None) -> Tensor:
        """``exp(logits - peak)`` in place, from logits divided by ``unit``."""
        if peak_C is not None:
            logits_CN.sub_(peak_C[:, None])
        return logits_CN.exp2_() if self.wide else logits_CN.exp_()

    def zeros(self) -> tuple[Tensor, Tensor]:
        """Gradients of rows and columns to add to."""
        return torch.zeros_like(self.rows_TD), torch.zeros_like(self.columns_ND)

    def add_gradients(
        self,
        gradients: tuple[Tensor, Tensor],
        rows: slice,
        slopes_CN: Tensor,
        divisor_C: Tensor,
        weights_C: Tensor,
    ) -> None:
        """Adds what ``weights_C / divisor_C * slopes_CN``, the derivatives by the logits, give.

        Args:
            gradients: what :meth:`zeros` gave.
            rows: the chunk.
            slopes_CN: in kept memory; overwritten.
            divisor_C: brings the slopes to the size of probabilities.
            weights_C: of the rows; like the divisor, it goes to the narrow side of a product.
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
    """Consecutive slices of at most ``size`` that cover ``range(n)``."""
    return [slice(start, min(start + size, n)) for start in range(0, n, size)]

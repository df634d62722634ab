"""Residuals of candidates against the items in a window, by incremental Cholesky decomposition."""

from __future__ import annotations

import torch
from torch import Tensor

from crossrec.rerank.spaces import PoolSimilarity

FLOOR = 1e-5
"""Squared residual that counts as 0 in single precision."""


class Residuals:
    """Squared residuals of C candidates after projection on the items in a window, in B lists.

    A candidate's similarities with itself are 1. Its residual is computed from similarities alone: row s of
    the factor holds every candidate's component along the s-th item's own residual, so that the squared
    residual is 1 less the sum of squared components. An item without a residual has no component.

    Args:
        similarity: similarity of the candidates, positive semidefinite.
        like_BC: tensor with shape, type and device.
        window: size of a window.
    """

    def __init__(self, similarity: PoolSimilarity, like_BC: Tensor, window: int) -> None:
        self._similarity = similarity
        self._factor_BSC = like_BC.new_zeros(len(like_BC), window, like_BC.shape[1])
        self._columns: list[Tensor] = []
        self.squared_BC = torch.ones_like(like_BC)

    def add(self, columns_B: Tensor) -> None:
        """Add the next items to the window."""
        self._keep(self._components(columns_B), columns_B)

    def slide(self, columns_B: Tensor) -> None:
        """Put the next items in the place of the oldest ones, whose components the other candidates regain.

        The next items' own residuals stay as they were when the items were chosen. The directions in the
        window are therefore orthogonal, and each candidate's component along one is that of its vector.
        """
        components_BC, oldest_BC = self._components(columns_B), self._oldest()
        self.squared_BC.addcmul_(oldest_BC, oldest_BC)
        self._keep(components_BC, columns_B)

    def _components(self, columns_B: Tensor) -> Tensor:
        """Return (B, C) components of the candidates along the residuals of these items."""
        used = min(len(self._columns), self._factor_BSC.shape[1])
        column_B1 = columns_B[:, None]
        own_B1 = self.squared_BC.gather(1, column_B1)
        component_BC = self._similarity.to(columns_B)
        if used:
            rows_BSC = self._factor_BSC[:, :used]
            of_chosen_B1S = rows_BSC.gather(2, column_B1[:, :, None].expand(-1, used, 1)).transpose(1, 2)
            component_BC = torch.baddbmm(component_BC[:, None], of_chosen_B1S, rows_BSC, alpha=-1)[:, 0]
        scale_B1 = torch.where(own_B1 > FLOOR, own_B1.clamp(min=FLOOR).rsqrt(), 0)
        component_BC = component_BC * scale_B1
        # Exact on the diagonal, also for an item without a vector.
        return component_BC.scatter_(1, column_B1, own_B1 * scale_B1)

    def _keep(self, component_BC: Tensor, columns_B: Tensor) -> None:
        self.squared_BC.addcmul_(component_BC, component_BC, value=-1)
        self._factor_BSC[:, self._place(len(self._columns))] = component_BC
        self._columns.append(columns_B[:, None])

    @property
    def full(self) -> bool:
        """Whether the window holds as many items as it can."""
        return len(self._columns) >= self._factor_BSC.shape[1]

    def forget(self) -> None:
        """Remove the oldest item as if it had never been added: the others regain what they lost to it.

        Givens rotations move the oldest row's part of the later rows into them; the rest of it is outside the
        window's span.
        """
        out_BC = self._oldest().clone()
        self._oldest().zero_()
        newest = len(self._columns)
        for number in range(newest - self._factor_BSC.shape[1] + 1, newest):
            row_BC = self._factor_BSC[:, self._place(number)]
            pivot_B1, owed_B1 = (rows.gather(1, self._columns[number]) for rows in (row_BC, out_BC))
            length_B1 = torch.hypot(pivot_B1, owed_B1)
            cosine_B1 = torch.where(length_B1 > 0, pivot_B1 / length_B1, 1)
            sine_B1 = torch.where(length_B1 > 0, owed_B1 / length_B1, 0)
            turned_BC = cosine_B1 * row_BC + sine_B1 * out_BC
            out_BC = cosine_B1 * out_BC - sine_B1 * row_BC
            self._factor_BSC[:, self._place(number)] = turned_BC
        self.squared_BC.addcmul_(out_BC, out_BC)

    def _oldest(self) -> Tensor:
        return self._factor_BSC[:, self._place(len(self._columns))]

    def _place(self, number: int) -> int:
        return number % self._factor_BSC.shape[1]

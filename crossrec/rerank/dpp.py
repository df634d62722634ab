"""Greedy MAP inference of a determinantal point process (DPP)."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor

from crossrec.data.item_table import ItemTable
from crossrec.rerank.greedy import GreedyReranker, SimilarityTradeOff
from crossrec.rerank.residual import FLOOR, Residuals
from crossrec.rerank.spaces import PoolSimilarity


class GreedyDPP(GreedyReranker):
    """Greedy MAP inference of a determinantal point process: takes the candidate i with the highest

    ``(1 - diversity) * relevance_i + diversity * log(det S_{chosen + i} / det S_chosen)``

    S holds the similarities among items, 1 on its diagonal; ``window`` keeps only the last chosen items in
    it. The ratio is i's squared residual after projection on the chosen items, at most 1. The most relevant
    candidate comes first. Unknown candidates are similar to none. Ties go to the better ranked.

    ``diversity`` is 1 - theta of the source, section 5, whose objective it is. The source's greedy ends when
    no candidate adds anything (copies of chosen items, or more places than S has rank). Here such a
    candidate's ratio counts as ``FLOOR``: it costs 11.5 * diversity of relevance, and when only such
    candidates are left, they follow by relevance. For a kernel diag(q) S diag(q) with the qualities
    q = exp(alpha * relevance), the same lists come from alpha = (1 - diversity) / (2 * diversity).

    Source:
        Chen, Zhang, Zhou: Fast greedy MAP inference for determinantal point process to improve
        recommendation diversity (NeurIPS 2018), algorithms 1 and 2.

    Args:
        options: diversity, relevance, space and window.
        items: features of the catalogue's items.
    """

    class Options(SimilarityTradeOff):
        """Determinantal point process (DPP): a set of items that spans a large volume, by greedy inference.

        Args:
            window: number of last chosen items that count; all when None.
        """

        window: int | None = Field(default=None, ge=1)

    def __init__(self, options: Options, items: ItemTable) -> None:
        super().__init__(options, items)
        self.ceiling = 0.0
        self._window = options.window

    def gain(self, similarity: PoolSimilarity, like_BC: Tensor, k: int) -> _LogVolume:
        """Return the logarithms of the factors by which candidates change the determinant."""
        return _LogVolume(Residuals(similarity, like_BC, max(1, min(self._window or k, k))))


class _LogVolume:
    """Logarithm of the factor by which a candidate changes the determinant."""

    def __init__(self, residuals: Residuals) -> None:
        self._residuals = residuals

    def now(self) -> Tensor:
        return torch.log(self._residuals.squared_BC.clamp(FLOOR, 1))

    def choose(self, columns_B: Tensor) -> None:
        if self._residuals.full:
            self._residuals.forget()
        self._residuals.add(columns_B)

"""Greedy inference of a determinantal point process."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from crossrec.rerank.base import Pool
from crossrec.rerank.greedy import rerank_greedily
from crossrec.rerank.residual import FLOOR, Residuals
from crossrec.rerank.spaces import PoolSimilarity, Space

if TYPE_CHECKING:
    from crossrec.rerank.similarity_config import DPPConfig


class GreedyDPP:
    """Greedily takes the candidate i with the highest

    ``(1 - diversity) * relevance_i + diversity * log(det S_{chosen + i} / det S_chosen)``

    S holds the similarities among items, 1 on its diagonal; ``window`` keeps only the last chosen items in
    it. The ratio is what of i can't be put together from the chosen items, at most 1. The most relevant
    candidate comes first. A candidate of which nothing is known is like no other. Ties go to the better
    ranked.

    ``diversity`` is 1 - theta of the source, section 5, whose objective it is. The greedy ends there when no
    candidate adds anything (copies of chosen items, or more places than S has rank). Here such a candidate's
    ratio counts as ``FLOOR``: it costs 11.5 * diversity of relevance, and when only such are left, they
    follow by relevance. For a kernel diag(q) S diag(q) with the qualities q = exp(alpha * relevance), the
    same lists come from alpha = (1 - diversity) / (2 * diversity).

    Source:
        Chen, Zhang, Zhou: Fast greedy MAP inference for determinantal point process to improve
        recommendation diversity (NeurIPS 2018), algorithms 1 and 2.

    Args:
        options: the configuration.
        space: similarity of items.
    """

    def __init__(self, options: DPPConfig, space: Space) -> None:
        self._options = options
        self._space = space

    def rerank(self, pool: Pool, k: int) -> Pool:
        """A pool of width min(k, C), the chosen candidates in the order in which they were chosen."""
        return rerank_greedily(pool, k, self._options, self._space, self._volume, ceiling=0.0)

    def _volume(self, similarity: PoolSimilarity, like_BC: Tensor, k: int) -> _LogVolume:
        window = max(1, min(self._options.window or k, k))
        return _LogVolume(Residuals(similarity, like_BC, window))


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

"""Max-sum dispersion."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from crossrec.rerank.base import Pool
from crossrec.rerank.greedy import rerank_greedily
from crossrec.rerank.spaces import PoolSimilarity, Space

if TYPE_CHECKING:
    from crossrec.rerank.similarity_config import MaxSumConfig


class MaxSumDispersion:
    """Greedily takes the candidate i with the highest

    ``(1 - diversity) * relevance_i + diversity * 2 / (k - 1) * sum_{j chosen} (1 - similarity_ij)``

    the growth of k times a list's value, ``(1 - diversity) * mean relevance + diversity * mean pairwise
    distance``. The most relevant candidate comes first; later places weigh distance more, and a shorter k
    need not give the beginning of the list for a longer one. Candidates of which nothing is known have
    distance 1 from all. Ties go to the better ranked.

    It is the source's greedy for ``sum of relevance + lambda * sum of pairwise distances`` with lambda =
    diversity / ((1 - diversity) (k - 1)): that greedy halves the growth of the first sum (half the sum is
    its potential), and so reaches half of the best value where distances are a metric, as those of
    categories are.

    Source:
        Gollapudi, Sharma: An axiomatic approach for result diversification (WWW 2009); the greedy: Borodin,
        Lee, Ye: Max-sum diversification, monotone submodular functions and dynamic updates (PODS 2012).

    Args:
        options: the configuration.
        space: similarity of items.
    """

    def __init__(self, options: MaxSumConfig, space: Space) -> None:
        self._options = options
        self._space = space

    def rerank(self, pool: Pool, k: int) -> Pool:
        """A pool of width min(k, C), the chosen candidates in the order in which they were chosen."""
        return rerank_greedily(pool, k, self._options, self._space, _Dispersion, ceiling=torch.inf)


class _Dispersion:
    """Scaled sum of the distances from the chosen items."""

    def __init__(self, similarity: PoolSimilarity, like_BC: Tensor, k: int) -> None:
        self._similarity = similarity
        self._scale = 2 / max(k - 1, 1)
        self._sum_BC = torch.zeros_like(like_BC)

    def now(self) -> Tensor:
        return self._sum_BC

    def choose(self, columns_B: Tensor) -> None:
        similarity_BC = self._similarity.to(columns_B)
        self._sum_BC.sub_(similarity_BC, alpha=self._scale).add_(self._scale)

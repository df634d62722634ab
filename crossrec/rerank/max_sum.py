"""Max-sum dispersion."""

from __future__ import annotations

import torch
from torch import Tensor

from crossrec.rerank.greedy import GreedyReranker, SimilarityTradeOff
from crossrec.rerank.spaces import PoolSimilarity


class MaxSumDispersion(GreedyReranker):
    """Max-sum dispersion: greedily takes the candidate i with the highest

    ``(1 - diversity) * relevance_i + diversity * 2 / (k - 1) * sum_{j chosen} (1 - similarity_ij)``

    the growth of k times a list's value, ``(1 - diversity) * mean relevance + diversity * mean pairwise
    distance``. The most relevant candidate comes first; later places weigh distance more, and the list for a
    shorter k need not be the beginning of the list for a longer one. Unknown candidates have distance 1 from
    all. Ties go to the better ranked.

    It is the source's greedy for ``sum of relevance + lambda * sum of pairwise distances`` with lambda =
    diversity / ((1 - diversity) (k - 1)): that greedy halves the growth of the first sum (half the sum is
    its potential), and so reaches half of the best value if distances are a metric, as those of categories
    are.

    Source:
        Gollapudi, Sharma: An axiomatic approach for result diversification (WWW 2009); the greedy: Borodin,
        Lee, Ye: Max-sum diversification, monotone submodular functions and dynamic updates (PODS 2012).

    Args:
        options: diversity, relevance and space.
        items: features of the catalogue's items.
    """

    class Options(SimilarityTradeOff):
        """Max-sum dispersion: a large sum of distances from the items already chosen."""

    def gain(self, similarity: PoolSimilarity, like_BC: Tensor, k: int) -> _Dispersion:
        """Return the scaled sums of distances from the chosen items."""
        return _Dispersion(similarity, like_BC, k)


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

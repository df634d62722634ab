"""Maximal marginal relevance."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from crossrec.rerank.base import Pool
from crossrec.rerank.greedy import rerank_greedily
from crossrec.rerank.spaces import PoolSimilarity, Space

if TYPE_CHECKING:
    from crossrec.rerank.similarity_config import MMRConfig


class MMR:
    """Greedily takes the candidate i with the highest

    ``(1 - diversity) * relevance_i - diversity * max(0, max_{j chosen} similarity_ij)``

    so that the most relevant candidate comes first. Candidates of which nothing is known are like no other.
    Ties go to the better ranked.

    ``diversity`` is 1 - lambda of the source. The 0, which is what the empty list has, is not in the source,
    whose similarities are not negative: an item opposed to all others is no better than an unrelated one.

    Source:
        Carbonell, Goldstein: The use of MMR, diversity-based reranking for reordering documents and
        producing summaries (SIGIR 1998).

    Args:
        options: the configuration.
        space: similarity of items.
    """

    def __init__(self, options: MMRConfig, space: Space) -> None:
        self._options = options
        self._space = space

    def rerank(self, pool: Pool, k: int) -> Pool:
        """A pool of width min(k, C), the chosen candidates in the order in which they were chosen."""
        return rerank_greedily(pool, k, self._options, self._space, _Redundancy, ceiling=0.0)


class _Redundancy:
    """Minus the similarity with the most similar chosen item."""

    def __init__(self, similarity: PoolSimilarity, like_BC: Tensor, k: int) -> None:
        self._similarity = similarity
        self._minus_greatest_BC = torch.zeros_like(like_BC)

    def now(self) -> Tensor:
        return self._minus_greatest_BC

    def choose(self, columns_B: Tensor) -> None:
        similarity_BC = self._similarity.to(columns_B)
        torch.minimum(self._minus_greatest_BC, similarity_BC.neg_(), out=self._minus_greatest_BC)

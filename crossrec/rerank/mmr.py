"""Maximal marginal relevance (MMR)."""

from __future__ import annotations

import torch
from torch import Tensor

from crossrec.data.item_table import ItemTable
from crossrec.rerank.greedy import GreedyReranker, SimilarityTradeOff
from crossrec.rerank.spaces import PoolSimilarity


class MMR(GreedyReranker):
    """Maximal marginal relevance: greedily takes the candidate i with the highest

    ``(1 - diversity) * relevance_i - diversity * max(0, max_{j chosen} similarity_ij)``

    so that the most relevant candidate comes first. Unknown candidates are similar to none. Ties go to the
    better ranked.

    ``diversity`` runs from 0 (relevance alone) to 1 (diversity alone). The source's lambda, its weight of
    relevance, is 1 - ``diversity``. The maximum with 0, the value for an
    empty list, is not in the source, whose similarities are not negative: an item opposite to all others is
    no better than an unrelated one.

    Source:
        Carbonell, Goldstein: The use of MMR, diversity-based reranking for reordering documents and
        producing summaries (SIGIR 1998).

    Args:
        options: diversity, relevance and space.
        items: features of the catalogue's items.
    """

    class Options(SimilarityTradeOff):
        """Maximal marginal relevance (MMR): little similarity to the most similar item already chosen."""

    def __init__(self, options: Options, items: ItemTable) -> None:
        super().__init__(options, items)
        self.ceiling = 0.0

    def gain(self, similarity: PoolSimilarity, like_BC: Tensor, k: int) -> _Redundancy:
        """Return minus the greatest similarity to the chosen items."""
        return _Redundancy(similarity, like_BC)


class _Redundancy:
    """Minus the similarity with the most similar chosen item."""

    def __init__(self, similarity: PoolSimilarity, like_BC: Tensor) -> None:
        self._similarity = similarity
        self._minus_greatest_BC = torch.zeros_like(like_BC)

    def now(self) -> Tensor:
        return self._minus_greatest_BC

    def choose(self, columns_B: Tensor) -> None:
        similarity_BC = self._similarity.to(columns_B)
        torch.minimum(self._minus_greatest_BC, similarity_BC.neg_(), out=self._minus_greatest_BC)

"""Retrieval from a table of each item's neighbours, in time that doesn't grow with the catalogue."""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

import numpy as np
import torch
from scipy.sparse import csr_matrix
from torch import Tensor

from crossrec.runtime.ranking.candidates import pick_candidates
from crossrec.runtime.ranking.sparse import best_positive
from crossrec.types import Sequences, TopK

Learn = Callable[[Sequences], csr_matrix]
"""From training clicks to (N, N) similarities, a few neighbours a row."""


class NeighbourRetriever:
    """Scores the neighbours of a history's items by summed similarity, and touches no other item.

    It is item-kNN that never makes a row of N scores when it recommends: what is looked at are the history's
    clicks times their neighbours. Items that are nobody's neighbour score -inf.

    Args:
        n_items: N.
        learn: makes the table.
        name: what tables call it.

    Source:
        Sarwar et al.: Item-based collaborative filtering recommendation algorithms (WWW 2001).
    """

    def __init__(self, n_items: int, learn: Learn, name: str = "neighbours") -> None:
        self._n_items = n_items
        self._learn = learn
        self.name = name
        self._table_NN: csr_matrix | None = None

    @property
    def n_items(self) -> int:
        """N."""
        return self._n_items

    def fit(self, train: Sequences) -> Self:
        """Makes the table."""
        self._table_NN = csr_matrix(self._learn(train), dtype=np.float32)
        return self

    def score(self, histories: Sequences, candidates: np.ndarray | None = None) -> Tensor:
        """(B, N) float32 summed similarities, or (B, K) for candidates; -inf where there is none."""
        scores_BN = torch.from_numpy(self._found(histories).toarray())
        scores_BN = scores_BN.masked_fill_(scores_BN <= 0, -torch.inf)
        return scores_BN if candidates is None else pick_candidates(scores_BN, candidates)

    def recommend(self, histories: Sequences, k: int, exclude: Sequences | None = None) -> TopK:
        """The k most similar items, ties broken by the lower item index."""
        return best_positive(self._found(histories), k, exclude)

    def _found(self, histories: Sequences) -> csr_matrix:
        if self._table_NN is None:
            raise RuntimeError(f"{self.name} has not been fitted: call fit(train) first")
        ones = np.ones(len(histories.items), np.float32)
        clicks_BN = csr_matrix(
            (ones, histories.items, histories.offsets), shape=(len(histories), self.n_items)
        )
        return clicks_BN @ self._table_NN

"""Retrieval from a table of each item's neighbours, in time that doesn't grow with the catalogue."""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

import numpy as np
import torch
from scipy.sparse import csr_matrix
from torch import Tensor

from crossrec.ensemble.picking import check_candidates
from crossrec.types import ABSENT, Sequences, TopK

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
        if candidates is not None:
            check_candidates(candidates, len(histories), self.n_items)
        scores_BN = torch.from_numpy(self._found(histories).toarray())
        scores_BN = scores_BN.masked_fill_(scores_BN <= 0, -torch.inf)
        if candidates is None:
            return scores_BN
        ids_BK = torch.from_numpy(np.maximum(candidates, 0))
        return scores_BN.gather(1, ids_BK).masked_fill(torch.from_numpy(candidates == ABSENT), -torch.inf)

    def recommend(self, histories: Sequences, k: int, exclude: Sequences | None = None) -> TopK:
        """The k most similar items, ties broken by the lower item index."""
        found = self._found(histories)
        lengths = np.diff(found.indptr)
        width = max(int(lengths.max(initial=0)), k)
        here_BW = np.arange(width) < lengths[:, None]
        ids_BW = np.full(here_BW.shape, ABSENT, np.int64)
        scores_BW = np.full(here_BW.shape, -np.inf, np.float32)
        ids_BW[here_BW], scores_BW[here_BW] = found.indices, found.data
        out_BW = scores_BW <= 0
        if exclude is not None:
            out_BW |= exclude.contains(ids_BW)
        ids_BW[out_BW], scores_BW[out_BW] = ABSENT, -np.inf
        return _best(ids_BW, scores_BW, k)

    def _found(self, histories: Sequences) -> csr_matrix:
        if self._table_NN is None:
            raise RuntimeError(f"{self.name} has not been fitted: call fit(train) first")
        ones = np.ones(len(histories.items), np.float32)
        clicks_BN = csr_matrix(
            (ones, histories.items, histories.offsets), shape=(len(histories), self.n_items)
        )
        return clicks_BN @ self._table_NN


def _best(ids_BW: np.ndarray, scores_BW: np.ndarray, k: int) -> TopK:
    """The k best columns of each row; one integer a place sorts by score, then by the lower index."""
    # The bits of floats above 0 sort as integers; what is out has the key 0.
    bits_BW = np.where(ids_BW == ABSENT, np.float32(0), scores_BW).view(np.int32).astype(np.int64)
    keys_BW = (bits_BW << 32) | np.where(ids_BW == ABSENT, 0, (1 << 32) - 1 - ids_BW)
    if keys_BW.shape[1] > k:
        keys_BW = np.partition(keys_BW, keys_BW.shape[1] - k, axis=1)[:, -k:]
    keys_BK = -np.sort(-keys_BW, axis=1)
    there_BK = keys_BK > 0
    scores_BK = (keys_BK >> 32).astype(np.int32).view(np.float32)
    ids_BK = (1 << 32) - 1 - (keys_BK & ((1 << 32) - 1))
    return TopK(np.where(there_BK, ids_BK, ABSENT), np.where(there_BK, scores_BK, -np.inf).astype(np.float32))

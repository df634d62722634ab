"""Exact lists of the items that may be listed, in arithmetic that new items don't change."""

from __future__ import annotations

from typing import Self

import numpy as np
import torch
from torch import Tensor

from crossrec.model.recommender import NeuralRecommender
from crossrec.runtime.ranking import recommend_by_score
from crossrec.runtime.ranking.candidates import pick_candidates
from crossrec.types import Sequences, TopK

TILE = 4096
"""Items whose scores are one matrix product."""


class ItemTiles:
    """Scores by matrix products of a fixed size, the last one filled up with zeros.

    How a product is rounded hangs on its size. With a fixed one, an item's scores are the same bit for bit
    before and after others are added.

    Args:
        recommender: gives queries and item vectors.
    """

    def __init__(self, recommender: NeuralRecommender) -> None:
        self.recommender = recommender
        self._items: Tensor | None = None
        self._padded_PD: Tensor | None = None

    @property
    def n_items(self) -> int:
        """N."""
        return self.recommender.n_items

    @torch.no_grad()
    def score(self, histories: Sequences) -> Tensor:
        """(B, N) float32 scores, in memory of their own."""
        queries_BD, padded_PD = self.recommender.queries(histories), self._padded()
        scores_BP = queries_BD.new_empty(len(queries_BD), len(padded_PD))
        for start in range(0, len(padded_PD), TILE):
            tile = slice(start, start + TILE)
            torch.mm(queries_BD, padded_PD[tile].T, out=scores_BP[:, tile])
        return scores_BP[:, : self.n_items]

    def _padded(self) -> Tensor:
        """(P, D) item vectors, P a multiple of ``TILE``."""
        vectors_ND = self.recommender.item_vectors()
        if self._padded_PD is None or self._items is not vectors_ND:
            rows = -(-len(vectors_ND) // TILE) * TILE
            self._padded_PD = vectors_ND.new_zeros(rows, vectors_ND.shape[1])
            self._padded_PD[: len(vectors_ND)] = vectors_ND
            self._items = vectors_ND
        return self._padded_PD


class AllowedItems:
    """A recommender that lists allowed items only, so that its lists are full where there are enough.

    Args:
        tiles: scores all items.
        allowed_N: (N,) bool; all items when None.
    """

    def __init__(self, tiles: ItemTiles, allowed_N: Tensor | None) -> None:
        self._tiles = tiles
        self._barred_N = None if allowed_N is None else ~allowed_N

    @property
    def n_items(self) -> int:
        """N, of the whole catalogue."""
        return self._tiles.n_items

    def fit(self, train: Sequences) -> Self:
        """Is trained already.

        Raises:
            RuntimeError: always.
        """
        raise RuntimeError("this recommender was loaded for use; train through crossrec.experiment")

    def score(self, histories: Sequences, candidates: np.ndarray | None = None) -> Tensor:
        """(B, N) float32 scores, or (B, K) for candidates; -inf for items that are not allowed."""
        scores_BN = self._tiles.score(histories)
        if self._barred_N is not None:
            scores_BN[:, self._barred_N] = -torch.inf
        return scores_BN if candidates is None else pick_candidates(scores_BN, candidates)

    def recommend(self, histories: Sequences, k: int, exclude: Sequences | None = None) -> TopK:
        """The best k allowed items for each history, ties broken by the lower index."""
        return recommend_by_score(self, histories, k, exclude)

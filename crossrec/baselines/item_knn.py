"""Item-based nearest neighbours; the library ``implicit`` finds all but Pearson's."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Literal, Self

import numpy as np
import torch
from pydantic import Field
from scipy.sparse import csr_matrix, spmatrix

from crossrec.baselines.base import SparseBaseline, TunableOptions, history_matrix
from crossrec.baselines.similarity import pearson_neighbours
from crossrec.data.item_table import ItemTable
from crossrec.types import Sequences

Similarity = Literal["cosine", "bm25", "tfidf", "pearson"]

LABELS: dict[Similarity, str] = {
    "cosine": "cosine",
    "bm25": "BM25",
    "tfidf": "TF-IDF",
    "pearson": "Pearson",
}

Weighting = Callable[[spmatrix], spmatrix]


class ItemKNN(SparseBaseline):
    """Item-based nearest neighbours: similarities to the history's items, summed.

    An item that is no item's neighbour scores -inf rather than 0, so a list may run out of items; an empty
    history gets an empty list.

    Args:
        options: similarity, neighbours, weighting.
        context: the catalogue.

    Source:
        Sarwar et al. 2001, "Item-based collaborative filtering recommendation algorithms"; Robertson
        and Zaragoza 2009, "The probabilistic relevance framework: BM25 and beyond".
    """

    class Options(TunableOptions):
        """Items whose users resemble those of the history's items.

        Args:
            similarity: weighting of the user-by-item counts before the dot product, or Pearson's correlation
                of the items' counts over all users.
            neighbours: number of most similar items kept for each item, including itself.
            k1: saturation of repeated clicks, BM25 only.
            b: strength of the normalisation by popularity, 0 to 1, BM25 only.
            recency: weight of a history click relative to the next younger one, 1 for no decay.
        """

        similarity: Similarity = "bm25"
        neighbours: int = Field(default=100, ge=1, le=100_000)
        k1: float = Field(default=1.2, gt=0)
        b: float = Field(default=0.75, ge=0, le=1)
        recency: float = Field(default=1.0, gt=0, le=1)

        def grid(self) -> list[Self]:
            """Return the options that tuning tries, all of this similarity."""
            bm25 = [(1.2, 0.25), (1.2, 0.5), (1.2, 0.75), (10.0, 0.75)]
            weightings = bm25 if self.similarity == "bm25" else [(self.k1, self.b)]
            neighbours, recency = (10, 20, 50, 100, 200, 500), (1.0, 0.9, 0.7)
            return [
                self.model_copy(update={"neighbours": n, "k1": k1, "b": b, "recency": r})
                for (k1, b), n, r in product(weightings, neighbours, recency)
            ]

    def __init__(self, options: Options, items: ItemTable) -> None:
        super().__init__(items.n_items, f"item-kNN {LABELS[options.similarity]}")
        self.options = options

    def _learn(self, train: Sequences, clicks_UN: csr_matrix) -> None:
        if self.options.similarity == "pearson":
            items_NU = clicks_UN.T.tocsr()
            self._similarity_NN = pearson_neighbours(items_NU, items_NU, self.options.neighbours)
            return
        from implicit.nearest_neighbours import ItemItemRecommender

        model = ItemItemRecommender(self.options.neighbours, num_threads=torch.get_num_threads())
        model.fit(self._weighted(clicks_UN.T).T.tocsr(), show_progress=False)
        self._similarity_NN = csr_matrix(model.similarity, dtype=np.float32)

    @property
    def similarity(self) -> csr_matrix:
        """(N, N) float32 similarities, of each row its ``neighbours`` largest."""
        self._require_fitted()
        return self._similarity_NN

    def _weighted(self, clicks_NU: spmatrix) -> spmatrix:
        from implicit.nearest_neighbours import bm25_weight, normalize, tfidf_weight

        weightings: dict[Similarity, Weighting] = {
            "cosine": normalize,
            "bm25": lambda clicks: bm25_weight(clicks, self.options.k1, self.options.b),
            "tfidf": lambda clicks: normalize(tfidf_weight(clicks)),
        }
        with np.errstate(invalid="ignore"):
            weighted_NU = weightings[self.options.similarity](clicks_NU)
        # A user of almost every item has weight 0, and the norm of an item with such users only is 0 / 0.
        np.nan_to_num(weighted_NU.data, copy=False, nan=0.0)
        return weighted_NU

    def _sparse_scores(self, histories: Sequences) -> csr_matrix:
        history_BN = history_matrix(histories, self.n_items, self.options.recency).astype(np.float32)
        return history_BN @ self._similarity_NN

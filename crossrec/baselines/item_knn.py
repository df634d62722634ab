"""Item-based nearest neighbours; the library ``implicit`` finds all but Pearson's."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from implicit.nearest_neighbours import ItemItemRecommender, bm25_weight, normalize, tfidf_weight
from scipy.sparse import csr_matrix, spmatrix

from crossrec.baselines.base import SparseBaseline, history_matrix
from crossrec.baselines.context import BaselineContext
from crossrec.baselines.neighbour_config import ItemKNNConfig, Similarity
from crossrec.baselines.similarity import pearson_neighbours
from crossrec.types import Sequences

LABELS: dict[Similarity, str] = {
    "cosine": "cosine",
    "bm25": "BM25",
    "tfidf": "TF-IDF",
    "pearson": "Pearson",
}
Weighting = Callable[[spmatrix], spmatrix]


class ItemKNN(SparseBaseline):
    """Scores an item by its similarity to the history's items, summed over their nearest neighbours.

    An item that is nobody's neighbour scores -inf rather than 0, so a list may run out of items; an
    empty history gets an empty list.

    Args:
        context: the catalogue.
        config: similarity, neighbours, weighting.

    Source:
        Sarwar et al. 2001, "Item-based collaborative filtering recommendation algorithms"; Robertson
        and Zaragoza 2009, "The probabilistic relevance framework: BM25 and beyond".
    """

    def __init__(self, context: BaselineContext, config: ItemKNNConfig) -> None:
        super().__init__(context.n_items, f"item-kNN {LABELS[config.similarity]}")
        self.config = config

    def _learn(self, train: Sequences, clicks_UN: csr_matrix) -> None:
        if self.config.similarity == "pearson":
            items_NU = clicks_UN.T.tocsr()
            self._similarity_NN = pearson_neighbours(items_NU, items_NU, self.config.neighbours)
            return
        model = ItemItemRecommender(self.config.neighbours, num_threads=torch.get_num_threads())
        model.fit(self._weighted(clicks_UN.T).T.tocsr(), show_progress=False)
        self._similarity_NN = csr_matrix(model.similarity, dtype=np.float32)

    def _weighted(self, clicks_NU: spmatrix) -> spmatrix:
        weightings: dict[Similarity, Weighting] = {
            "cosine": normalize,
            "bm25": lambda clicks: bm25_weight(clicks, self.config.k1, self.config.b),
            "tfidf": lambda clicks: normalize(tfidf_weight(clicks)),
        }
        with np.errstate(invalid="ignore"):
            weighted_NU = weightings[self.config.similarity](clicks_NU)
        # A user of almost every item weighs 0, and the norm of an item of such users only is 0 / 0.
        np.nan_to_num(weighted_NU.data, copy=False, nan=0.0)
        return weighted_NU

    def _sparse_scores(self, histories: Sequences) -> csr_matrix:
        history_BN = history_matrix(histories, self.n_items, self.config.recency).astype(np.float32)
        return history_BN @ self._similarity_NN

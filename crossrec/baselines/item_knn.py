"""Item-based nearest neighbours on the library ``implicit``."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from implicit.nearest_neighbours import ItemItemRecommender, bm25_weight, normalize, tfidf_weight
from scipy.sparse import csr_matrix, spmatrix

from crossrec.baselines.base import Baseline, history_matrix
from crossrec.baselines.config import ItemKNNConfig, Similarity
from crossrec.types import Sequences

LABELS: dict[Similarity, str] = {"cosine": "cosine", "bm25": "BM25", "tfidf": "TF-IDF"}


class ItemKNN(Baseline):
    """Scores an item by its similarity to the history's items, summed over their nearest neighbours.

    An item that is nobody's neighbour scores -inf rather than 0, so a list may run out of items; an
    empty history gets an empty list.

    Args:
        n_items: N, items in the catalogue.
        config: similarity, neighbours, weighting.

    Source:
        Sarwar et al. 2001, "Item-based collaborative filtering recommendation algorithms"; Robertson
        and Zaragoza 2009, "The probabilistic relevance framework: BM25 and beyond".
    """

    def __init__(self, n_items: int, config: ItemKNNConfig) -> None:
        super().__init__(n_items, f"item-kNN {LABELS[config.similarity]}")
        self.config = config

    def _learn(self, clicks_UN: csr_matrix) -> None:
        model = ItemItemRecommender(self.config.neighbours, num_threads=torch.get_num_threads())
        model.fit(self._weighted(clicks_UN.T).T.tocsr(), show_progress=False)
        self._similarity_NN = csr_matrix(model.similarity, dtype=np.float32)

    def _weighted(self, clicks_NU: spmatrix) -> spmatrix:
        weightings: dict[Similarity, Callable[[spmatrix], spmatrix]] = {
            "cosine": normalize,
            "bm25": lambda clicks: bm25_weight(clicks, self.config.k1, self.config.b),
            "tfidf": lambda clicks: normalize(tfidf_weight(clicks)),
        }
        with np.errstate(invalid="ignore"):
            weighted_NU = weightings[self.config.similarity](clicks_NU)
        # A user of almost every item weighs 0, and the norm of an item of such users only is 0 / 0.
        np.nan_to_num(weighted_NU.data, copy=False, nan=0.0)
        return weighted_NU

    def _score(self, histories: Sequences) -> torch.Tensor:
        history_BN = history_matrix(histories, self.n_items, self.config.recency).astype(np.float32)
        scores_BN = torch.from_numpy((history_BN @ self._similarity_NN).toarray())
        return scores_BN.masked_fill_(scores_BN <= 0, -torch.inf)

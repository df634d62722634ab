"""Item-based nearest neighbours on the library ``implicit``."""

from __future__ import annotations

import numpy as np
import torch
from implicit.nearest_neighbours import (
    BM25Recommender,
    CosineRecommender,
    ItemItemRecommender,
    TFIDFRecommender,
)
from scipy.sparse import csr_matrix

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
        model = self._model()
        # A user of every item, or an item of such users only, has weight 0: its norm divides 0 by 0.
        with np.errstate(invalid="ignore"):
            model.fit(clicks_UN, show_progress=False)
        similarity_NN = csr_matrix(model.similarity, dtype=np.float32)
        np.nan_to_num(similarity_NN.data, copy=False, nan=0.0)
        self._similarity_NN = similarity_NN

    def _model(self) -> ItemItemRecommender:
        config, threads = self.config, torch.get_num_threads()
        models = {
            "cosine": lambda: CosineRecommender(config.neighbours, num_threads=threads),
            "bm25": lambda: BM25Recommender(config.neighbours, config.k1, config.b, num_threads=threads),
            "tfidf": lambda: TFIDFRecommender(config.neighbours, num_threads=threads),
        }
        return models[config.similarity]()

    def _score(self, histories: Sequences) -> torch.Tensor:
        history_BN = history_matrix(histories, self.n_items, self.config.recency).astype(np.float32)
        scores_BN = torch.from_numpy((history_BN @ self._similarity_NN).toarray())
        return scores_BN.masked_fill_(scores_BN <= 0, -torch.inf)

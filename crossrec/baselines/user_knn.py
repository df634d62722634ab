"""User-based nearest neighbours: the training users whose clicks resemble a history."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_matrix

from crossrec.baselines.base import SparseBaseline, history_matrix
from crossrec.baselines.context import BaselineContext
from crossrec.baselines.neighbour_config import UserKNNConfig, UserSimilarity
from crossrec.baselines.similarity import cosine_neighbours, pearson_neighbours
from crossrec.types import Sequences

LABELS: dict[UserSimilarity, str] = {"cosine": "cosine", "pearson": "Pearson"}


class UserKNN(SparseBaseline):
    """Scores an item by the similarities of the nearest training users who clicked it, summed.

    Users are histories, so a history is compared with every training user by its items alone. A history
    that begins as a training user's row does has that row among its neighbours, as the nearest: it
    votes for items of the history only, which are not recommended again, so it costs one neighbour.
    An item that no neighbour clicked scores -inf, and an empty history gets an empty list.

    Args:
        context: the catalogue.
        config: similarity, neighbours, weighting.

    Source:
        Herlocker et al. 1999, "An algorithmic framework for performing collaborative filtering". Clicks
        take the place of ratings, and the sum is not divided by the similarities' sum, which would put
        an item that one neighbour clicked above one that all did.
    """

    def __init__(self, context: BaselineContext, config: UserKNNConfig) -> None:
        super().__init__(context.n_items, f"user-kNN {LABELS[config.similarity]}")
        self.config = config

    def _learn(self, train: Sequences, clicks_UN: csr_matrix) -> None:
        self._clicks_UN = csr_matrix(clicks_UN[np.diff(clicks_UN.indptr) > 0], dtype=np.float32)
        self._clicks_UN.data[:] = 1

    def _sparse_scores(self, histories: Sequences) -> csr_matrix:
        history_BN = history_matrix(histories, self.n_items, self.config.recency)
        find = cosine_neighbours if self.config.similarity == "cosine" else pearson_neighbours
        similarity_BU = find(history_BN, self._clicks_UN, self.config.neighbours)
        if self.config.power != 1:
            similarity_BU.data **= np.float32(self.config.power)
        return similarity_BU @ self._clicks_UN

"""User-based nearest neighbours."""

from __future__ import annotations

from itertools import product
from typing import Literal, Self

import numpy as np
from pydantic import Field
from scipy.sparse import csr_matrix

from crossrec.baselines.base import SparseBaseline, TunableOptions, distinct_matrix, history_matrix
from crossrec.baselines.similarity import cosine_neighbours, pearson_neighbours
from crossrec.data.item_table import ItemTable
from crossrec.types import Sequences

UserSimilarity = Literal["cosine", "pearson"]

LABELS: dict[UserSimilarity, str] = {"cosine": "cosine", "pearson": "Pearson"}


class UserKNN(SparseBaseline):
    """User-based nearest neighbours: sums, per item, the similarities of the users who clicked it.

    Users are histories, so a history is compared with every training user by its items alone. A history
    that begins like a training user's row has that row as its nearest neighbour: it adds scores to the
    history's items only, which are not recommended again, so it costs one neighbour.
    An item that no neighbour clicked scores -inf, and an empty history gets an empty list.

    Args:
        options: similarity, neighbours, weighting.
        context: the catalogue.

    Source:
        Herlocker et al. 1999, "An algorithmic framework for performing collaborative filtering". Clicks
        take the place of ratings, and the sum is not divided by the similarities' sum, which would put
        an item that one neighbour clicked above one that all did.
    """

    class Options(TunableOptions):
        """Training users whose clicks resemble the history.

        Args:
            similarity: similarity of the history's and the training user's clicks.
            neighbours: number of most similar training users.
            recency: weight of a history click relative to the next younger one, 1 for no decay.
            power: exponent of the similarities as weights; large exponents count only the nearest users.
        """

        similarity: UserSimilarity = "cosine"
        neighbours: int = Field(default=100, ge=1, le=100_000)
        recency: float = Field(default=1.0, gt=0, le=1)
        power: float = Field(default=1.0, gt=0, le=10)

        def grid(self) -> list[Self]:
            """Return the options that tuning tries, all of this similarity."""
            return [
                self.model_copy(update={"neighbours": neighbours, "recency": recency, "power": power})
                for neighbours, recency, power in product(
                    (20, 50, 100, 200, 500), (1.0, 0.9, 0.7), (1.0, 2.0)
                )
            ]

    def __init__(self, options: Options, items: ItemTable) -> None:
        super().__init__(items.n_items, f"user-kNN {LABELS[options.similarity]}")
        self.options = options

    def _learn(self, train: Sequences, clicks_UN: csr_matrix) -> None:
        distinct_UN = distinct_matrix(train, self.n_items)
        self._clicks_UN = csr_matrix(distinct_UN[np.diff(distinct_UN.indptr) > 0], dtype=np.float32)

    def _sparse_scores(self, histories: Sequences) -> csr_matrix:
        history_BN = history_matrix(histories, self.n_items, self.options.recency)
        find = cosine_neighbours if self.options.similarity == "cosine" else pearson_neighbours
        similarity_BU = find(history_BN, self._clicks_UN, self.options.neighbours)
        if self.options.power != 1:
            similarity_BU.data **= np.float32(self.options.power)
        return similarity_BU @ self._clicks_UN

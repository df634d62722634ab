"""Configurations of the neighbour methods."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from crossrec.baselines.context import BaselineContext, as_context
from crossrec.config import Config

if TYPE_CHECKING:
    from crossrec.baselines.base import Baseline

Similarity = Literal["cosine", "bm25", "tfidf", "pearson"]
UserSimilarity = Literal["cosine", "pearson"]


class ItemKNNConfig(Config):
    """Items whose users resemble those of the history's items.

    Args:
        similarity: how the user-by-item counts are weighted before the dot product, or Pearson's
            correlation of the items' counts over all users.
        neighbours: most similar items kept for each item, the item itself among them.
        k1: saturation of repeated clicks, BM25 only.
        b: how strongly popular items are damped, 0 to 1, BM25 only.
        recency: weight of a history click relative to the next younger one, 1 for no decay.
    """

    type: Literal["item_knn"] = "item_knn"
    similarity: Similarity = "bm25"
    neighbours: int = Field(default=100, ge=1, le=100_000)
    k1: float = Field(default=1.2, gt=0)
    b: float = Field(default=0.75, ge=0, le=1)
    recency: float = Field(default=1.0, gt=0, le=1)

    def grid(self) -> list[ItemKNNConfig]:
        """The configurations that tuning tries, all of this similarity."""
        bm25 = [(1.2, 0.25), (1.2, 0.5), (1.2, 0.75), (10.0, 0.75)]
        weightings = bm25 if self.similarity == "bm25" else [(self.k1, self.b)]
        neighbours, recency = (10, 20, 50, 100, 200, 500), (1.0, 0.9, 0.7)
        return [
            self.model_copy(update={"neighbours": n, "k1": k1, "b": b, "recency": r})
            for (k1, b), n, r in product(weightings, neighbours, recency)
        ]

    def build(self, context: BaselineContext | int) -> Baseline:
        """An unfitted recommender for a catalogue, or for a number of items of which nothing is known."""
        from crossrec.baselines.item_knn import ItemKNN

        return ItemKNN(as_context(context), self)


class UserKNNConfig(Config):
    """Training users whose clicks resemble the history.

    Args:
        similarity: of the history's and the training user's clicks.
        neighbours: most similar training users that vote.
        recency: weight of a history click relative to the next younger one, 1 for no decay.
        power: to which a neighbour's similarity is raised before it weighs its vote; large powers
            listen to the nearest alone.
    """

    type: Literal["user_knn"] = "user_knn"
    similarity: UserSimilarity = "cosine"
    neighbours: int = Field(default=100, ge=1, le=100_000)
    recency: float = Field(default=1.0, gt=0, le=1)
    power: float = Field(default=1.0, gt=0, le=10)

    def grid(self) -> list[UserKNNConfig]:
        """The configurations that tuning tries, all of this similarity."""
        return [
            self.model_copy(update={"neighbours": neighbours, "recency": recency, "power": power})
            for neighbours, recency, power in product((20, 50, 100, 200, 500), (1.0, 0.9, 0.7), (1.0, 2.0))
        ]

    def build(self, context: BaselineContext | int) -> Baseline:
        """An unfitted recommender for a catalogue, or for a number of items of which nothing is known."""
        from crossrec.baselines.user_knn import UserKNN

        return UserKNN(as_context(context), self)

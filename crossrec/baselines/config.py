"""Configurations of the baselines, with the grid that each is tuned over."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from crossrec.config import Config, Family

if TYPE_CHECKING:
    from crossrec.baselines.base import Baseline

Similarity = Literal["cosine", "bm25", "tfidf"]


class PopularityConfig(Config):
    """The same list for everybody: items by their number of training clicks."""

    type: Literal["popularity"] = "popularity"

    def grid(self) -> list[PopularityConfig]:
        """The configurations that tuning tries: popularity has nothing to tune."""
        return [self]

    def build(self, n_items: int) -> Baseline:
        """An unfitted recommender for a catalogue of ``n_items``."""
        from crossrec.baselines.popularity import Popularity

        return Popularity(n_items)


class ItemKNNConfig(Config):
    """Items whose users resemble those of the history's items.

    Args:
        similarity: how the user-by-item counts are weighted before the dot product.
        neighbours: most similar items kept for each item, the item itself among them.
        k1: saturation of repeated clicks, BM25 only.
        b: how strongly popular items are damped, 0 to 1, BM25 only.
        recency: weight of a history click relative to the next younger one, 1 for no decay.
    """

    type: Literal["item_knn"] = "item_knn"
    similarity: Similarity = "bm25"
    neighbours: int = Field(default=100, ge=1)
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

    def build(self, n_items: int) -> Baseline:
        """An unfitted recommender for a catalogue of ``n_items``."""
        from crossrec.baselines.item_knn import ItemKNN

        return ItemKNN(n_items, self)


class ALSConfig(Config):
    """Matrix factorisation of implicit feedback by alternating least squares.

    Args:
        factors: width of user and item vectors.
        regularization: weight of the squared norms.
        alpha: confidence that one click adds.
        iterations: sweeps over users and items.
        seed: seed of the initial vectors.
    """

    type: Literal["als"] = "als"
    factors: int = Field(default=64, ge=1)
    regularization: float = Field(default=0.01, ge=0)
    alpha: float = Field(default=1.0, gt=0)
    iterations: int = Field(default=15, ge=1)
    seed: int = Field(default=0, ge=0)

    def grid(self) -> list[ALSConfig]:
        """The configurations that tuning tries, all with this seed and number of iterations."""
        return [
            self.model_copy(update={"factors": factors, "regularization": regularization, "alpha": alpha})
            for factors, regularization, alpha in product(
                (16, 32, 64), (0.01, 0.1, 1.0, 10.0), (1.0, 5.0, 20.0)
            )
        ]

    def build(self, n_items: int) -> Baseline:
        """An unfitted recommender for a catalogue of ``n_items``."""
        from crossrec.baselines.als import ALS

        return ALS(n_items, self)


BaselineConfig = Annotated[PopularityConfig | ItemKNNConfig | ALSConfig, Family()]
"""Any baseline, told apart by ``type``."""

"""Configurations of the baselines that know what items are about, or count several signs of taste."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from crossrec.baselines.context import BaselineContext, as_context
from crossrec.config import Config

if TYPE_CHECKING:
    from crossrec.baselines.base import Baseline

ContentSpace = Literal["tfidf", "bm25", "text", "image", "categories"]


class ContentConfig(Config):
    """Items whose content resembles that of the history.

    Args:
        space: ``tfidf`` and ``bm25`` compare the words of the texts, ``text`` and ``image`` the frozen
            encoders' vectors, ``categories`` the items' categories.
        recency: weight of a history click relative to the next younger one, 1 for a plain mean.
        k1: saturation of repeated words, BM25 only.
        b: how strongly long texts are damped, 0 to 1, BM25 only.
        min_items: a word counts if at least so many items have it.
    """

    type: Literal["content"] = "content"
    space: ContentSpace = "tfidf"
    recency: float = Field(default=0.9, gt=0, le=1)
    k1: float = Field(default=1.2, gt=0)
    b: float = Field(default=0.75, ge=0, le=1)
    min_items: int = Field(default=2, ge=1)

    @property
    def needs(self) -> tuple[str, ...]:
        """Item features that it needs, by their names in :meth:`BaselineContext.require`."""
        return ("texts",) if self.space in ("tfidf", "bm25") else (self.space,)

    def grid(self) -> list[ContentConfig]:
        """The configurations that tuning tries, all in this space."""
        damping = (0.25, 0.75) if self.space == "bm25" else (self.b,)
        return [
            self.model_copy(update={"recency": recency, "b": b})
            for recency, b in product((1.0, 0.95, 0.9, 0.7, 0.5), damping)
        ]

    def build(self, context: BaselineContext | int) -> Baseline:
        """An unfitted recommender for a catalogue, or for a number of items of which nothing is known."""
        from crossrec.baselines.content import ContentBased

        return ContentBased(as_context(context), self)


class FeatureModelConfig(Config):
    """Predicts the next click from a few features of history and candidate by a linear model.

    Args:
        loss: ``logistic`` for logistic regression, ``squared`` for linear regression on 0 and 1.
        negatives: unclicked items for each click that the weights are learned from.
        regularization: weight of the squared weights, relative to the mean loss.
        neighbours: of the item-kNN features.
        recency: weight of a history click relative to the next younger one.
        half_life_days: of the recent-popularity feature, which exists only where clicks have times.
        max_users: users whose last training click teaches the weights.
        seed: seed of negatives and users.
    """

    type: Literal["feature_model"] = "feature_model"
    loss: Literal["logistic", "squared"] = "logistic"
    negatives: int = Field(default=20, ge=1, le=1_000_000)
    regularization: float = Field(default=1e-4, gt=0, le=1_000_000_000)
    neighbours: int = Field(default=100, ge=1, le=100_000)
    recency: float = Field(default=0.9, gt=0, le=1)
    half_life_days: float = Field(default=90.0, gt=0)
    max_users: int = Field(default=20_000, ge=1)
    seed: int = Field(default=0, ge=0)

    def grid(self) -> list[FeatureModelConfig]:
        """The configurations that tuning tries, all with this loss."""
        return [
            self.model_copy(update={"neighbours": neighbours, "recency": recency})
            for neighbours, recency in product((50, 200, 500), (1.0, 0.9, 0.7))
        ]

    def build(self, context: BaselineContext | int) -> Baseline:
        """An unfitted recommender for a catalogue, or for a number of items of which nothing is known."""
        from crossrec.baselines.feature_model import FeatureModel

        return FeatureModel(as_context(context), self)

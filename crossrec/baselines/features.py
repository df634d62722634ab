"""What a linear model may know of a history and a candidate: each feature is a simple baseline's score."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from crossrec.baselines.base import Baseline
from crossrec.baselines.content_config import ContentConfig, ContentSpace, FeatureModelConfig
from crossrec.baselines.context import BaselineContext
from crossrec.baselines.neighbour_config import ItemKNNConfig
from crossrec.baselines.popularity import has_times
from crossrec.baselines.popularity_config import PopularityConfig, RecentPopularityConfig
from crossrec.types import Sequences

LAST_ONLY = 1e-4
"""Recency with which a history's last click outweighs all others."""


@dataclass(frozen=True)
class Feature:
    """One number for each history and candidate.

    Args:
        name: for tables of weights.
        source: whose score it is.
        counts: whether the score counts something, and its logarithm is taken.
    """

    name: str
    source: Baseline
    counts: bool

    def values(self, histories: Sequences) -> torch.Tensor:
        """(B, N) float32, 0 where the source does not score a candidate."""
        scores_BN = self.source.score(histories)
        scores_BN.masked_fill_(torch.isneginf(scores_BN), 0.0)
        return scores_BN.log1p_() if self.counts else scores_BN


def build_features(context: BaselineContext, config: FeatureModelConfig, train: Sequences) -> list[Feature]:
    """All features that catalogue and log allow, fitted on ``train``.

    Popularity, recent popularity (where clicks have times), item-kNN with the whole history and with
    its last click, and the likeness of categories, words, text and image vectors.
    """
    features = [
        Feature("popularity", PopularityConfig().build(context), counts=True),
        *_neighbours(context, config),
        *_content(context, config),
    ]
    if has_times(train):
        recent = RecentPopularityConfig(half_life_days=config.half_life_days)
        features.append(Feature("recent popularity", recent.build(context), counts=True))
    for feature in features:
        feature.source.fit(train)
    return features


def _neighbours(context: BaselineContext, config: FeatureModelConfig) -> list[Feature]:
    near = ItemKNNConfig(similarity="cosine", neighbours=config.neighbours, recency=config.recency)
    last = near.model_copy(update={"recency": LAST_ONLY})
    return [
        Feature("item-kNN", near.build(context), counts=True),
        Feature("item-kNN of the last click", last.build(context), counts=True),
    ]


def _content(context: BaselineContext, config: FeatureModelConfig) -> list[Feature]:
    available: dict[ContentSpace, bool] = {
        "categories": context.categories is not None,
        "tfidf": context.texts is not None,
        "text": "text" in context.vectors,
        "image": "image" in context.vectors,
    }
    return [
        Feature(space, ContentConfig(space=space, recency=config.recency).build(context), counts=False)
        for space, there in available.items()
        if there
    ]

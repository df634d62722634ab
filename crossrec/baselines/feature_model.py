"""Logistic or linear regression on features of history and candidate."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Literal, Self

import numpy as np
import torch
from pydantic import Field
from scipy.optimize import minimize
from scipy.sparse import csr_matrix

from crossrec.baselines.base import Baseline, TunableOptions
from crossrec.baselines.content import ContentBased, ContentSpace
from crossrec.baselines.item_knn import ItemKNN
from crossrec.baselines.negatives import UnclickedSampler
from crossrec.baselines.popularity import Popularity, RecentPopularity, has_times
from crossrec.data.item_table import CATEGORY, ItemTable
from crossrec.types import InputError, Sequences

ROWS = 256
"""Number of histories whose features are in memory at a time."""

LAST_ONLY = 1e-4
"""Recency with which a history's last click outweighs all others."""


class FeatureModel(Baseline):
    """Linear model of the next click: a weighted sum of features (:func:`build_features`).

    The weights are learned from each user's last training click against drawn unclicked items, with
    features that were fitted on the clicks before it; then the features are fitted on all training clicks.
    Scores are logits (or linear predictions). An empty history is ranked by popularity.

    Args:
        options: loss, negatives, settings of the features.
        context: the catalogue; all features that it supports are used.

    Raises:
        InputError: in ``fit``, if no user has two different training clicks.

    Source:
        Richardson et al. 2007, "Predicting clicks: estimating the click-through rate for new ads".
    """

    class Options(TunableOptions):
        """Linear model of the next click on a few features of history and candidate.

        Args:
            loss: ``logistic`` for logistic regression, ``squared`` for linear regression on 0 and 1.
            negatives: number of unclicked items for each click in learning the weights.
            regularization: weight of the squared weights, relative to the mean loss.
            neighbours: number of neighbours of the item-kNN features.
            recency: weight of a history click relative to the next younger one.
            half_life_days: half-life of the recent-popularity feature, which needs click times.
            max_users: maximum number of users whose last training click is used to learn the weights.
            seed: seed of negatives and users.
        """

        loss: Literal["logistic", "squared"] = "logistic"
        negatives: int = Field(default=20, ge=1, le=1_000_000)
        regularization: float = Field(default=1e-4, gt=0, le=1_000_000_000)
        neighbours: int = Field(default=100, ge=1, le=100_000)
        recency: float = Field(default=0.9, gt=0, le=1)
        half_life_days: float = Field(default=90.0, gt=0)
        max_users: int = Field(default=20_000, ge=1)
        seed: int = Field(default=0, ge=0)

        def grid(self) -> list[Self]:
            """Return the options that tuning tries, all with this loss."""
            return [
                self.model_copy(update={"neighbours": neighbours, "recency": recency})
                for neighbours, recency in product((50, 200, 500), (1.0, 0.9, 0.7))
            ]

    def __init__(self, options: Options, items: ItemTable) -> None:
        label = {"logistic": "logistic", "squared": "linear"}[options.loss]
        super().__init__(items.n_items, f"{label} on features")
        self.items, self.options = items, options

    @property
    def weights(self) -> dict[str, float]:
        """Weight of each feature in the score, by name."""
        self._require_fitted()
        names = [feature.name for feature in self._features]
        return dict(zip(names, self._model.weights_F.tolist(), strict=True))

    def _learn(self, train: Sequences, clicks_UN: csr_matrix) -> None:
        rng = np.random.default_rng(self.options.seed)
        users, targets = _last_new_clicks(train)
        if not len(users):
            raise InputError(
                f"{self.name} learns from users with two different training clicks, but there is none; "
                "lower data.split.n_last, or raise data.cleaning.k_users"
            )
        chosen = np.sort(rng.permutation(len(users))[: self.options.max_users])
        users, targets = users[chosen], targets[chosen]
        ends = train.lengths.copy()
        ends[users] -= 1
        before = train.take(np.arange(len(train)), ends)
        rows = np.repeat(np.arange(len(users)), self.options.negatives)
        sampler = UnclickedSampler(train.take(users), self.n_items, self.options.seed)
        negatives = sampler.draw(rows).reshape(len(users), -1)
        candidates_UK = np.concatenate([targets[:, None], negatives], axis=1)
        teachers = build_features(self.items, self.options, before)
        samples_SF = _sampled(teachers, before.take(users), candidates_UK)
        clicked_S = (np.arange(candidates_UK.shape[1]) == 0).astype(np.float64)
        fit = fit_logistic if self.options.loss == "logistic" else fit_least_squares
        self._model: LinearModel = fit(
            samples_SF, np.tile(clicked_S, len(users)), self.options.regularization
        )
        self._features = build_features(self.items, self.options, train)

    def _score(self, histories: Sequences) -> torch.Tensor:
        scores_BN = torch.full((len(histories), self.n_items), self._model.constant)
        for feature, weight in zip(self._features, self._model.weights_F.tolist(), strict=True):
            scores_BN.add_(feature.values(histories), alpha=weight)
        return scores_BN


def _last_new_clicks(train: Sequences) -> tuple[np.ndarray, np.ndarray]:
    """Return users whose last training click is on an item new to them, and that item."""
    users = np.flatnonzero(train.lengths >= 2)
    targets = np.asarray(train.items)[np.asarray(train.offsets)[users + 1] - 1].astype(np.int64)
    before = train.take(users, train.lengths[users] - 1)
    new = ~before.contains(targets[:, None])[:, 0]
    return users[new], targets[new]


def _sampled(features: list[Feature], histories: Sequences, candidates_BK: np.ndarray) -> np.ndarray:
    """Return (B * K, F) float32 features of the candidates, some histories at a time."""
    parts = []
    for start in range(0, len(histories), ROWS):
        rows = np.arange(start, min(start + ROWS, len(histories)))
        ids_BK = torch.from_numpy(candidates_BK[rows])
        values = [feature.values(histories.take(rows)).gather(1, ids_BK).flatten() for feature in features]
        parts.append(torch.stack(values, dim=1).numpy())
    return np.concatenate(parts)


@dataclass(frozen=True)
class Feature:
    """One number for each history and candidate.

    Args:
        name: name in tables of weights.
        source: recommender whose score it is.
        counts: whether the score is a count, whose logarithm is used.
    """

    name: str
    source: Baseline
    counts: bool

    def values(self, histories: Sequences) -> torch.Tensor:
        """Return (B, N) float32, 0 where the source does not score a candidate."""
        scores_BN = self.source.score(histories)
        scores_BN.masked_fill_(torch.isneginf(scores_BN), 0.0)
        return scores_BN.log1p_() if self.counts else scores_BN


def build_features(items: ItemTable, options: FeatureModel.Options, train: Sequences) -> list[Feature]:
    """Return all features that catalogue and log allow, fitted on ``train``.

    Features are popularity, recent popularity (if clicks have times), item-kNN with the whole history and
    with its last click, and the similarity of categories, words, text and image vectors.
    """
    features = [
        Feature("popularity", Popularity.Options().build(items), counts=True),
        *_neighbours(items, options),
        *_content(items, options),
    ]
    if has_times(train):
        recent = RecentPopularity.Options(half_life_days=options.half_life_days)
        features.append(Feature("recent popularity", recent.build(items), counts=True))
    for feature in features:
        feature.source.fit(train)
    return features


def _neighbours(items: ItemTable, options: FeatureModel.Options) -> list[Feature]:
    near = ItemKNN.Options(similarity="cosine", neighbours=options.neighbours, recency=options.recency)
    last = near.model_copy(update={"recency": LAST_ONLY})
    return [
        Feature("item-kNN", near.build(items), counts=True),
        Feature("item-kNN of the last click", last.build(items), counts=True),
    ]


def _content(items: ItemTable, options: FeatureModel.Options) -> list[Feature]:
    available: dict[ContentSpace, bool] = {
        "categories": CATEGORY in items.spaces,
        "tfidf": items.texts is not None,
        "text": "text" in items.spaces,
        "image": "image" in items.spaces,
    }
    return [
        Feature(space, ContentBased.Options(space=space, recency=options.recency).build(items), counts=False)
        for space, there in available.items()
        if there
    ]


@dataclass(frozen=True)
class LinearModel:
    """Weights of the features, and a constant.

    Args:
        weights_F: weights per unit of the raw features.
        constant: constant added to every score.
    """

    weights_F: np.ndarray
    constant: float


def fit_logistic(features_SF: np.ndarray, clicked_S: np.ndarray, regularization: float) -> LinearModel:
    """Minimize the mean logistic loss plus half the regularisation times the squared weights.

    Features are standardised first, so that the penalty is the same for all; the constant has none.

    Args:
        features_SF: features of S samples.
        clicked_S: labels, 0 or 1.
        regularization: weight of the squared weights of standardised features.
    """
    scaled_SF, mean_F, spread_F = _standardised(features_SF)
    signs_S = np.where(clicked_S > 0, 1.0, -1.0)

    def loss(point: np.ndarray) -> tuple[float, np.ndarray]:
        margin_S = signs_S * (scaled_SF @ point[:-1] + point[-1])
        slope_S = -signs_S * _sigmoid(-margin_S) / len(signs_S)
        value = np.logaddexp(0, -margin_S).mean() + regularization / 2 * point[:-1] @ point[:-1]
        gradient = np.append(scaled_SF.T @ slope_S + regularization * point[:-1], slope_S.sum())
        return float(value), gradient

    found = minimize(
        loss,
        np.zeros(features_SF.shape[1] + 1),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": 500, "gtol": 1e-7, "ftol": 1e-12},
    )
    return _unscaled(found.x[:-1], float(found.x[-1]), mean_F, spread_F)


def fit_least_squares(features_SF: np.ndarray, clicked_S: np.ndarray, regularization: float) -> LinearModel:
    """Minimize half the mean squared error plus half the regularisation times the squared weights.

    Args:
        features_SF: features of S samples.
        clicked_S: labels, 0 or 1.
        regularization: weight of the squared weights of standardised features.
    """
    scaled_SF, mean_F, spread_F = _standardised(features_SF)
    gram_FF = scaled_SF.T @ scaled_SF / len(scaled_SF) + regularization * np.eye(scaled_SF.shape[1])
    centred_S = clicked_S - clicked_S.mean()
    weights_F = np.linalg.solve(gram_FF, scaled_SF.T @ centred_S / len(scaled_SF))
    return _unscaled(weights_F, float(clicked_S.mean()), mean_F, spread_F)


def _standardised(features_SF: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    features_SF = features_SF.astype(np.float64)
    mean_F, spread_F = features_SF.mean(0), features_SF.std(0)
    spread_F = np.where(spread_F > 1e-9, spread_F, np.inf)  # a constant feature gets the weight 0
    return (features_SF - mean_F) / spread_F, mean_F, spread_F


def _unscaled(
    weights_F: np.ndarray, constant: float, mean_F: np.ndarray, spread_F: np.ndarray
) -> LinearModel:
    raw_F = weights_F / spread_F
    return LinearModel(raw_F, constant - float(raw_F @ mean_F))


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return np.exp(-np.logaddexp(0, -x))

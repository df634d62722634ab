"""Predicts the next click by logistic or linear regression on features of history and candidate."""

from __future__ import annotations

import numpy as np
import torch
from scipy.sparse import csr_matrix

from crossrec.baselines.base import Baseline
from crossrec.baselines.content_config import FeatureModelConfig
from crossrec.baselines.context import BaselineContext
from crossrec.baselines.features import Feature, build_features
from crossrec.baselines.linear import LinearModel, fit_least_squares, fit_logistic
from crossrec.baselines.negatives import UnclickedSampler
from crossrec.types import InputError, Sequences

ROWS = 256
"""Histories whose features exist at a time."""


class FeatureModel(Baseline):
    """Adds up weighted features (:func:`build_features`); the weights say what makes a click likely.

    The weights are learned from each user's last training click against drawn unclicked items, with
    features that were fitted on the clicks before it; then the features are fitted on all training clicks.
    Scores are logits (or linear predictions). An empty history is ranked by popularity.

    Args:
        context: the catalogue; features that it allows are used.
        config: loss, negatives, settings of the features.

    Raises:
        InputError: when fitting, no user has two different training clicks.

    Source:
        Richardson et al. 2007, "Predicting clicks: estimating the click-through rate for new ads".
    """

    def __init__(self, context: BaselineContext, config: FeatureModelConfig) -> None:
        label = {"logistic": "logistic", "squared": "linear"}[config.loss]
        super().__init__(context.n_items, f"{label} on features")
        self.context, self.config = context, config

    @property
    def weights(self) -> dict[str, float]:
        """Weight of each feature in the score, by name."""
        self._require_fitted()
        names = [feature.name for feature in self._features]
        return dict(zip(names, self._model.weights_F.tolist(), strict=True))

    def _learn(self, train: Sequences, clicks_UN: csr_matrix) -> None:
        rng = np.random.default_rng(self.config.seed)
        users, targets = _last_new_clicks(train)
        if not len(users):
            raise InputError(
                f"{self.name} learns from users with two different training clicks, but there is none; "
                "lower data.split.n_last, or raise data.cleaning.k_users"
            )
        chosen = np.sort(rng.permutation(len(users))[: self.config.max_users])
        users, targets = users[chosen], targets[chosen]
        ends = train.lengths.copy()
        ends[users] -= 1
        before = train.take(np.arange(len(train)), ends)
        rows = np.repeat(np.arange(len(users)), self.config.negatives)
        sampler = UnclickedSampler(train.take(users), self.n_items, self.config.seed)
        negatives = sampler.draw(rows).reshape(len(users), -1)
        candidates_UK = np.concatenate([targets[:, None], negatives], axis=1)
        teachers = build_features(self.context, self.config, before)
        samples_SF = _sampled(teachers, before.take(users), candidates_UK)
        clicked_S = (np.arange(candidates_UK.shape[1]) == 0).astype(np.float64)
        fit = fit_logistic if self.config.loss == "logistic" else fit_least_squares
        self._model: LinearModel = fit(samples_SF, np.tile(clicked_S, len(users)), self.config.regularization)
        self._features = build_features(self.context, self.config, train)

    def _score(self, histories: Sequences) -> torch.Tensor:
        scores_BN = torch.full((len(histories), self.n_items), self._model.constant)
        for feature, weight in zip(self._features, self._model.weights_F.tolist(), strict=True):
            scores_BN.add_(feature.values(histories), alpha=weight)
        return scores_BN


def _last_new_clicks(train: Sequences) -> tuple[np.ndarray, np.ndarray]:
    """Users whose last training click is on an item new to them, and that item."""
    users = np.flatnonzero(train.lengths >= 2)
    targets = np.asarray(train.items)[np.asarray(train.offsets)[users + 1] - 1].astype(np.int64)
    before = train.take(users, train.lengths[users] - 1)
    new = ~before.contains(targets[:, None])[:, 0]
    return users[new], targets[new]


def _sampled(features: list[Feature], histories: Sequences, candidates_BK: np.ndarray) -> np.ndarray:
    """(B * K, F) float32 features of the candidates, some histories at a time."""
    parts = []
    for start in range(0, len(histories), ROWS):
        rows = np.arange(start, min(start + ROWS, len(histories)))
        ids_BK = torch.from_numpy(candidates_BK[rows])
        values = [feature.values(histories.take(rows)).gather(1, ids_BK).flatten() for feature in features]
        parts.append(torch.stack(values, dim=1).numpy())
    return np.concatenate(parts)

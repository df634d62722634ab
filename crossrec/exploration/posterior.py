"""Bayesian linear regression that forgets."""

from __future__ import annotations

import numpy as np


class LinearPosterior:
    """Normal distribution of weights w of a linear model, y = w . x + noise.

    Observations add x x^T to the precision and x y to the moment. Forgetting draws both towards the prior, as
    if earlier observations counted less.

    Source:
        Bishop: Pattern Recognition and Machine Learning (2006), section 3.3.1; Li et al.: A contextual-bandit
        approach to personalized news article recommendation (WWW 2010), algorithm 1, is the same regression.

    Args:
        mean: (D,) prior mean.
        precision: prior precision of every weight, in units of the noise's.
    """

    def __init__(self, mean: np.ndarray, precision: float) -> None:
        self._prior_precision = precision * np.eye(len(mean))
        self._prior_moment = precision * np.asarray(mean, float)
        self._precision, self._moment = self._prior_precision.copy(), self._prior_moment.copy()

    def observe(self, features_TD: np.ndarray, targets_T: np.ndarray, weights_T: np.ndarray) -> None:
        """Takes observations in.

        Args:
            features_TD: one row an observation.
            targets_T: what was observed.
            weights_T: precision of each observation, in units of the noise's.
        """
        weighted_TD = features_TD * weights_T[:, None]
        self._precision += weighted_TD.T @ features_TD
        self._moment += weighted_TD.T @ targets_T

    def forget(self, kept: float) -> None:
        """Keeps only this share of what was observed."""
        self._precision = kept * self._precision + (1 - kept) * self._prior_precision
        self._moment = kept * self._moment + (1 - kept) * self._prior_moment

    @property
    def mean(self) -> np.ndarray:
        """(D,)."""
        return np.linalg.solve(self._precision, self._moment)

    def deviation(self, features: np.ndarray) -> np.ndarray:
        """(...,) standard deviation of w . x in units of the noise's, for features (..., D)."""
        # |L^-1 x| with L L^T the precision.
        half = np.linalg.inv(np.linalg.cholesky(self._precision))
        return np.linalg.norm(features @ half.T, axis=-1)

    def sample(self, normal_BD: np.ndarray, scale: float) -> np.ndarray:
        """(B, D) weights, drawn with standard normal numbers; ``scale`` is the noise's standard deviation."""
        half = np.linalg.inv(np.linalg.cholesky(self._precision))
        return self.mean + scale * normal_BD @ half

"""Linear and logistic regression of a few features on 0 and 1."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize


@dataclass(frozen=True)
class LinearModel:
    """A weight for each feature, and a constant.

    Args:
        weights_F: per unit of the raw feature.
        constant: added to every score.
    """

    weights_F: np.ndarray
    constant: float


def fit_logistic(features_SF: np.ndarray, clicked_S: np.ndarray, regularization: float) -> LinearModel:
    """Minimises the mean logistic loss plus half the regularisation times the squared weights.

    Features are standardised first, so that the penalty treats them alike; the constant is free.

    Args:
        features_SF: S samples.
        clicked_S: 0 or 1.
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
    """Minimises half the mean squared error plus half the regularisation times the squared weights.

    Args:
        features_SF: S samples.
        clicked_S: 0 or 1.
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

"""What another policy would have earned, estimated from logged lists and their chances.

The value of a policy is the expected reward of a list, the sum over its places. A list's places are weighed
one by one: that is right where what a place earns hangs on its own item and position alone, as in the
position-based click model, and saves the product of K weights.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from crossrec.exploration.logged import Logged

Interval = Literal["asymptotic", "bootstrap"]
NORMAL_975 = 1.959963984540054

Statistic = Callable[[np.ndarray], np.ndarray]
"""(R, G) how often each group counts -> (R,) values."""


@dataclass(frozen=True)
class Settings:
    """How estimates are made.

    Args:
        cap: greatest weight; None cuts nothing. Cutting lowers the variance and biases the estimate.
        interval: by the central limit theorem, or percentiles of resampled groups.
        resamples: of the bootstrap.
        seed: of the bootstrap.
    """

    cap: float | None = None
    interval: Interval = "asymptotic"
    resamples: int = 1000
    seed: int = 0


@dataclass(frozen=True)
class Estimate:
    """The estimated value of a policy, in rewards a list.

    Args:
        value: the estimate.
        ci95: its 95 % interval.
        n: logged lists.
        effective: lists that would say as much if all weighed the same, at the worst place.
        greatest_weight: before any cut.
        warnings: what speaks against trusting it.
    """

    value: float
    ci95: tuple[float, float]
    n: int
    effective: float
    greatest_weight: float
    warnings: tuple[str, ...]


def inverse_propensity(logged: Logged, target_TK: np.ndarray, settings: Settings | None = None) -> Estimate:
    """IPS: mean over lists of sum_r w_tr * reward_tr, with w = target / logged chance. Unbiased without a
    cap.

    Args:
        logged: the log.
        target_TK: chance with which the target policy puts the logged item at its place.
        settings: cap and interval.

    Source:
        Horvitz, Thompson (1952); for lists by place: Li et al.: Offline evaluation of ranking policies with
        click models (KDD 2018), the item-position estimator.
    """
    settings = settings or Settings()
    gains_T = (logged.weights(target_TK, settings.cap) * logged.rewards_TK).sum(1)
    return _of_means(logged, target_TK, settings, gains_T)


def doubly_robust(
    logged: Logged,
    target_TK: np.ndarray,
    predicted_TK: np.ndarray,
    expected_T: np.ndarray,
    settings: Settings | None = None,
) -> Estimate:
    """DR: a model's prediction, corrected by weighed residuals. Right if either the model or the chances are.

    Args:
        logged: the log.
        target_TK: chance with which the target policy puts the logged item at its place.
        predicted_TK: the model's reward of the logged item at its place.
        expected_T: (T,) the model's expected reward of the target policy's list.
        settings: cap and interval.

    Source:
        Dudík, Langford, Li: Doubly robust policy evaluation and learning (ICML 2011), equation 2, summed over
        places.
    """
    settings = settings or Settings()
    predicted_TK = np.asarray(predicted_TK, float).reshape(logged.rewards_TK.shape)
    residuals_TK = logged.weights(target_TK, settings.cap) * (logged.rewards_TK - predicted_TK)
    return _of_means(logged, target_TK, settings, expected_T + residuals_TK.sum(1))


def self_normalised(logged: Logged, target_TK: np.ndarray, settings: Settings | None = None) -> Estimate:
    """SNIPS: sum_r (sum_t w_tr reward_tr) / (sum_t w_tr). Slightly biased, bounded, and usually less
    variable.

    Args:
        logged: the log.
        target_TK: chance with which the target policy puts the logged item at its place.
        settings: cap and interval.

    Source:
        Swaminathan, Joachims: The self-normalized estimator for counterfactual learning (NeurIPS 2015), for
        each place; the interval is that of a ratio (delta method).
    """
    settings = settings or Settings()
    weights_TK = logged.weights(target_TK, settings.cap)
    group_T = logged.groups()
    weight_GK, gain_GK = _sums(weights_TK, group_T), _sums(weights_TK * logged.rewards_TK, group_T)

    def value(counts_RG: np.ndarray) -> np.ndarray:
        return _ratio(counts_RG @ gain_GK, counts_RG @ weight_GK).sum(1)

    by_place_K = _ratio(gain_GK.sum(0), weight_GK.sum(0))
    influence_G = (gain_GK - weight_GK * by_place_K) @ _ratio(np.ones_like(by_place_K), weight_GK.sum(0))
    error = float(np.sqrt((influence_G**2).sum()))
    return _estimate(logged, target_TK, settings, value, error)


def _of_means(logged: Logged, target_TK: np.ndarray, settings: Settings, values_T: np.ndarray) -> Estimate:
    group_T = logged.groups()
    sum_G, size_G = _sums(values_T[:, None], group_T)[:, 0], np.bincount(group_T).astype(float)

    def value(counts_RG: np.ndarray) -> np.ndarray:
        return _ratio(counts_RG @ sum_G, counts_RG @ size_G)

    residual_G = sum_G - size_G * values_T.mean()
    error = float(np.sqrt((residual_G**2).sum()) / len(logged))
    return _estimate(logged, target_TK, settings, value, error)


def _estimate(
    logged: Logged, target_TK: np.ndarray, settings: Settings, value: Statistic, error: float
) -> Estimate:
    n_groups = int(logged.groups().max()) + 1
    found = float(value(np.ones((1, n_groups)))[0])
    if settings.interval == "asymptotic":
        low, high = found - NORMAL_975 * error, found + NORMAL_975 * error
    else:
        generator = np.random.default_rng(settings.seed)
        # A few resamples at a time: all of them at once would be resamples times groups.
        rounds = [
            value(generator.multinomial(n_groups, np.full(n_groups, 1 / n_groups), 16).astype(float))
            for _ in range(-(-settings.resamples // 16))
        ]
        low, high = np.percentile(np.concatenate(rounds)[: settings.resamples], [2.5, 97.5]).tolist()
    weights_TK = logged.weights(target_TK, None)
    return Estimate(
        value=found,
        ci95=(low, high),
        n=len(logged),
        effective=logged.effective(logged.weights(target_TK, settings.cap)),
        greatest_weight=float(weights_TK.max()),
        warnings=logged.warnings(target_TK, settings.cap),
    )


def _sums(values_TK: np.ndarray, group_T: np.ndarray) -> np.ndarray:
    """(G, K) sums over the rows of each group."""
    sums_GK = np.zeros((int(group_T.max()) + 1, values_TK.shape[1]))
    np.add.at(sums_GK, group_T, values_TK)
    return sums_GK


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    return np.divide(above, below, out=np.zeros(np.broadcast(above, below).shape), where=below > 0)

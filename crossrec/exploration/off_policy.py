"""Off-policy evaluation: the value of another policy, estimated from logged lists with propensities.

The value of a policy is the expected reward of a list, the sum over its places. Places are weighted one by
one: that is right if a place's reward depends on its own item and position alone, as in the position-based
click model, and avoids the product of K weights.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from crossrec.types import InputError

TINY = 1e-3
"""A logged propensity below this gives a warning: one such click weighs as much as a thousand others."""


FEW = 0.05
"""Share of effective observations below which an estimate depends on few rows."""


FAR = 4.0
"""Number of standard errors that the mean weight may differ from 1."""


@dataclass(frozen=True)
class LoggedLists:
    """Rewards of T lists of K places that a logging policy showed; K is 1 for single slots.

    Args:
        rewards_TK: reward of each place, such as 1 for a click.
        propensities_TK: probability, in (0, 1], with which the logging policy put the item there.
        users_T: (T,) user of each list, if users saw several: intervals then treat users as independent, not
            lists. None treats lists as independent.

    Raises:
        InputError: if shapes don't fit, or a propensity is outside (0, 1].
    """

    rewards_TK: np.ndarray
    propensities_TK: np.ndarray
    users_T: np.ndarray | None = None

    def __post_init__(self) -> None:
        """Check shapes and propensities."""
        for name in ("rewards_TK", "propensities_TK"):
            values = np.asarray(getattr(self, name), float)
            object.__setattr__(self, name, values[:, None] if values.ndim == 1 else values)
        chance = self.propensities_TK
        if self.rewards_TK.shape != chance.shape or not chance.size:
            raise InputError(f"rewards {self.rewards_TK.shape} don't fit propensities {chance.shape}")
        wrong = ~((chance > 0) & (chance <= 1))
        if wrong.any():
            row, place = (int(i) for i in np.argwhere(wrong)[0])
            raise InputError(
                f"row {row}, place {place + 1}: logged propensity {chance[row, place]:g} is outside (0, 1]; "
                "leave out lists whose chance is not known"
            )
        if self.users_T is not None and len(self.users_T) != len(chance):
            raise InputError(f"{len(self.users_T)} users for {len(chance)} lists")

    def __len__(self) -> int:
        return len(self.rewards_TK)

    def weights(self, target_TK: np.ndarray, cap: float | None) -> np.ndarray:
        """Return (T, K) probabilities under the target policy over the logged ones, clipped at ``cap``.

        Raises:
            InputError: if the shapes don't fit.
        """
        return np.minimum(self._raw(target_TK), np.inf if cap is None else cap)

    def groups(self) -> np.ndarray:
        """Return the (T,) number of the independent group of each row, from 0 without gaps."""
        if self.users_T is None:
            return np.arange(len(self))
        return np.unique(self.users_T, return_inverse=True)[1]

    def effective(self, weights_TK: np.ndarray) -> float:
        """Return the effective sample size, (sum w)^2 / sum w^2, at the worst place.

        Source:
            Kish: Survey sampling (1965); Owen: Monte Carlo theory, methods and examples (2013), section 9.3.
        """
        squares_K = (weights_TK**2).sum(0)
        return float(
            np.divide(weights_TK.sum(0) ** 2, squares_K, where=squares_K > 0, out=squares_K * 0).min()
        )

    def warnings(self, target_TK: np.ndarray, cap: float | None) -> tuple[str, ...]:
        """Return reasons not to trust an estimate, one sentence each."""
        raw_TK, found = self._raw(target_TK), []
        tiny = int((self.propensities_TK < TINY).sum())
        if tiny:
            least = float(self.propensities_TK.min())
            found.append(f"{tiny} logged propensities are below {TINY:g}, the smallest is {least:.2g}")
        effective = self.effective(self.weights(target_TK, cap))
        if effective < FEW * len(self):
            found.append(f"only {effective:.0f} effective of {len(self)} observations at the worst place")
        if cap is not None and (raw_TK > cap).any():
            found.append(
                f"{(raw_TK > cap).mean():.1%} of the weights were cut at {cap:g}, which biases the estimate"
            )
        error_K = raw_TK.std(0) / np.sqrt(len(self))
        apart_K = np.abs(raw_TK.mean(0) - 1) > FAR * error_K + 1e-9
        if apart_K.any():
            place = int(apart_K.argmax())
            found.append(
                f"weights at place {place + 1} average {raw_TK[:, place].mean():.2f} instead of 1: "
                "wrong propensities, or items that the logging policy never shows"
            )
        return tuple(found)

    def _raw(self, target_TK: np.ndarray) -> np.ndarray:
        target_TK = np.asarray(target_TK, float)
        target_TK = target_TK[:, None] if target_TK.ndim == 1 else target_TK
        if target_TK.shape != self.propensities_TK.shape:
            raise InputError(
                f"target chances {target_TK.shape} don't fit the log {self.propensities_TK.shape}"
            )
        return np.asarray(target_TK / self.propensities_TK)


Interval = Literal["asymptotic", "bootstrap"]


NORMAL_975 = 1.959963984540054


Statistic = Callable[[np.ndarray], np.ndarray]
"""Maps (R, G) counts of groups to (R,) values."""


@dataclass(frozen=True)
class Settings:
    """Options of the estimators.

    Args:
        cap: largest weight; None clips nothing. Clipping lowers the variance and biases the estimate.
        interval: by the central limit theorem, or percentiles of resampled groups.
        resamples: number of bootstrap resamples.
        seed: seed of the bootstrap.
    """

    cap: float | None = None
    interval: Interval = "asymptotic"
    resamples: int = 1000
    seed: int = 0


@dataclass(frozen=True)
class PolicyValue:
    """Estimated value of a policy, in rewards per list.

    Args:
        value: the estimate.
        ci95: its 95 % interval.
        n: number of logged lists.
        effective: effective sample size at the worst place.
        greatest_weight: largest weight before clipping.
        warnings: reasons not to trust it.
    """

    value: float
    ci95: tuple[float, float]
    n: int
    effective: float
    greatest_weight: float
    warnings: tuple[str, ...]


def inverse_propensity(
    logged: LoggedLists, target_TK: np.ndarray, settings: Settings | None = None
) -> PolicyValue:
    """Return the inverse propensity score estimate (IPS), unbiased without a cap.

    It is the mean over lists of sum_r w_tr * reward_tr, with w = target probability / logged propensity.

    Args:
        logged: the log.
        target_TK: probability with which the target policy puts the logged item at its place.
        settings: cap and interval.

    Source:
        Horvitz, Thompson (1952); for lists by place: Li et al.: Offline evaluation of ranking policies with
        click models (KDD 2018), the item-position estimator.
    """
    settings = settings or Settings()
    gains_T = (logged.weights(target_TK, settings.cap) * logged.rewards_TK).sum(1)
    return _of_means(logged, target_TK, settings, gains_T)


def doubly_robust(
    logged: LoggedLists,
    target_TK: np.ndarray,
    predicted_TK: np.ndarray,
    expected_T: np.ndarray,
    settings: Settings | None = None,
) -> PolicyValue:
    """Return the doubly robust estimate (DR), right if either the model or the propensities are.

    It is a model's prediction, corrected by weighted residuals.

    Args:
        logged: the log.
        target_TK: probability with which the target policy puts the logged item at its place.
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


def self_normalised(
    logged: LoggedLists, target_TK: np.ndarray, settings: Settings | None = None
) -> PolicyValue:
    """Return the self-normalised estimate (SNIPS), sum_r (sum_t w_tr reward_tr) / (sum_t w_tr).

    It is slightly biased, bounded, and usually less variable than IPS.

    Args:
        logged: the log.
        target_TK: probability with which the target policy puts the logged item at its place.
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


def _of_means(
    logged: LoggedLists, target_TK: np.ndarray, settings: Settings, values_T: np.ndarray
) -> PolicyValue:
    group_T = logged.groups()
    sum_G, size_G = _sums(values_T[:, None], group_T)[:, 0], np.bincount(group_T).astype(float)

    def value(counts_RG: np.ndarray) -> np.ndarray:
        return _ratio(counts_RG @ sum_G, counts_RG @ size_G)

    residual_G = sum_G - size_G * values_T.mean()
    error = float(np.sqrt((residual_G**2).sum()) / len(logged))
    return _estimate(logged, target_TK, settings, value, error)


def _estimate(
    logged: LoggedLists, target_TK: np.ndarray, settings: Settings, value: Statistic, error: float
) -> PolicyValue:
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
    return PolicyValue(
        value=found,
        ci95=(low, high),
        n=len(logged),
        effective=logged.effective(logged.weights(target_TK, settings.cap)),
        greatest_weight=float(weights_TK.max()),
        warnings=logged.warnings(target_TK, settings.cap),
    )


def _sums(values_TK: np.ndarray, group_T: np.ndarray) -> np.ndarray:
    """Return (G, K) sums over the rows of each group."""
    sums_GK = np.zeros((int(group_T.max()) + 1, values_TK.shape[1]))
    np.add.at(sums_GK, group_T, values_TK)
    return sums_GK


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    return np.divide(above, below, out=np.zeros(np.broadcast(above, below).shape), where=below > 0)

"""Intervals by resampling users: all queries of a user are drawn together.

A statistic maps (R, U) weights of the users to named (R,) values. Weights of one give the estimate,
multinomial weights give the resamples: one code path for both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypedDict

import numpy as np

from crossrec.evaluation.config import MetricName
from crossrec.evaluation.metrics import AGGREGATE
from crossrec.evaluation.metrics.exposure import UserLists

Statistic = Callable[[np.ndarray], dict[str, np.ndarray]]

TAIL_PERCENT = 2.5
"""Share of the resamples left out at each end of an interval, in percent."""

CHUNK_CELLS = 1 << 22


class Estimate(TypedDict):
    """A metric's value, its 95 % interval (NaN where there is none) and the users behind it."""

    value: float
    ci95: list[float]
    n_users: int


@dataclass(frozen=True)
class Resampled:
    """A number and what it comes to under R resamples of the users; the same seed draws the same users.

    Args:
        value: for all users.
        resampled_R: (R,), NaN where a resample has no value; empty without resamples.
    """

    value: float
    resampled_R: np.ndarray

    @classmethod
    def recentred(cls, value: float, resampled_R: np.ndarray) -> Resampled:
        """Moves resamples so that their mean is the value.

        A resample drops about a third of the users, so its coverage and entropy lie too low, its Gini too
        high, and a maximum over noisy points too high: the bootstrap's spread is used, not its place. That
        removes the bias of resampling only, not one that the value itself has.

        Source:
            Efron, Tibshirani: An introduction to the bootstrap (1993), chapter 10 (bias) and section 16.4
            (tests by shifting).
        """
        known = resampled_R[~np.isnan(resampled_R)]
        return cls(value, resampled_R + (value - known.mean()) if len(known) else resampled_R)

    def interval(self, low: float = -np.inf, high: float = np.inf) -> tuple[float, float]:
        """The 95 % interval, cut to a range; NaN without resamples."""
        below, above = interval(self.resampled_R, low, high)
        return below, above

    def p_of_zero(self) -> float:
        """Two-sided p that the number is really zero: 2 (1 + resamples on zero's other side) / (1 + R)."""
        known = self.resampled_R[~np.isnan(self.resampled_R)]
        if not len(known):
            return np.nan
        beyond = min((known <= 0).sum(), (known >= 0).sum())
        return float(min(1.0, 2 * (1 + beyond) / (1 + len(known))))


def interval(resampled_R: np.ndarray, low: float = -np.inf, high: float = np.inf) -> list[float]:
    """The middle 95 % of resampled values, cut to a range; NaN where none is known."""
    known = resampled_R[~np.isnan(resampled_R)]
    if not len(known):
        return [float("nan"), float("nan")]
    ends = np.percentile(known, [TAIL_PERCENT, 100 - TAIL_PERCENT])
    return [float(end) for end in np.clip(ends, low, high)]


def estimate_means(values_U: Mapping[str, np.ndarray], n_resamples: int, seed: int) -> dict[str, Estimate]:
    """Means over users with percentile intervals.

    Where all users have the same value (say no hit among few), every resample has it too and the interval
    has no width: then look at ``n_users``, 3 / n_users bounds a rate from above.

    Args:
        values_U: metric -> (U,) one value a user; users with NaN are left out of that metric.
        n_resamples: 0 leaves the intervals out.
        seed: of the resampling; all metrics share the same resamples.

    Source:
        Efron, Tibshirani: An introduction to the bootstrap (1993), chapter 13; resampling whole users
        because a user's queries are not independent.
    """
    found = resample_means(values_U, n_resamples, seed)
    return {
        name: Estimate(
            value=mean.value,
            ci95=interval(mean.resampled_R),
            n_users=int((~np.isnan(values_U[name])).sum()),
        )
        for name, mean in found.items()
    }


def resample_means(values_U: Mapping[str, np.ndarray], n_resamples: int, seed: int) -> dict[str, Resampled]:
    """Means over users, for everybody and under resamples.

    Args:
        values_U: metric -> (U,) one value a user; users with NaN are left out of that metric.
        n_resamples: R.
        seed: of the resampling; all metrics share the same resamples.
    """
    names = list(values_U)
    if not names:
        return {}
    values_UM = np.stack([values_U[name] for name in names], axis=1)
    known_UM = (~np.isnan(values_UM)).astype(float)
    filled_UM = np.nan_to_num(values_UM)

    def means(weights_RU: np.ndarray) -> dict[str, np.ndarray]:
        count_RM = weights_RU @ known_UM
        empty_RM = np.full(count_RM.shape, np.nan)
        mean_RM = np.divide(weights_RU @ filled_UM, count_RM, out=empty_RM, where=count_RM > 0)
        return dict(zip(names, mean_RM.T, strict=True))

    return _run(means, len(values_UM), len(names), n_resamples, seed)


def estimate_exposure(
    lists: UserLists, metrics: Sequence[MetricName], n_items: int, k: int, n_resamples: int, seed: int
) -> dict[str, Estimate]:
    """Metrics of all lists together, with recentred percentile intervals cut to each metric's range.

    Args:
        lists: of U users.
        metrics: names of aggregate metrics.
        n_items: N.
        k: places of a list.
        n_resamples: 0 leaves the intervals out.
        seed: of the resampling.

    Returns:
        Name with ``@k`` -> estimate.
    """
    found = resample_exposure(lists, metrics, n_items, k, n_resamples, seed)
    return {
        f"{name}@{k}": Estimate(
            value=found[name].value,
            ci95=interval(found[name].resampled_R, 0.0, AGGREGATE[name].upper(n_items)),
            n_users=len(lists.lists_U),
        )
        for name in metrics
    }


def resample_exposure(
    lists: UserLists, metrics: Sequence[MetricName], n_items: int, k: int, n_resamples: int, seed: int
) -> dict[str, Resampled]:
    """Metrics of all lists together, for everybody and under resamples, which are recentred on the value.

    They are not cut to the metrics' ranges, so that differences of two sets of lists stay unbiased.

    Args:
        lists: of U users.
        metrics: names of aggregate metrics.
        n_items: N.
        k: places of a list.
        n_resamples: R.
        seed: of the resampling.
    """
    if not metrics:
        return {}

    def exposures(weights_RU: np.ndarray) -> dict[str, np.ndarray]:
        exposure = lists.exposure(weights_RU, n_items, k)
        return {name: AGGREGATE[name].compute(exposure) for name in metrics}

    found = _run(exposures, len(lists.lists_U), lists.shown_UI.shape[1], n_resamples, seed)
    return {name: Resampled.recentred(found[name].value, found[name].resampled_R) for name in metrics}


def resample_weights(n_users: int, n_resamples: int, width: int, seed: int) -> Iterator[np.ndarray]:
    """How often each user is drawn, in chunks of bounded memory.

    Args:
        n_users: U, users drawn with replacement from as many.
        n_resamples: R in all.
        width: numbers a resample needs besides its U weights; only bounds the chunks.
        seed: the same seed gives the same resamples, however they are chunked.

    Yields:
        (R', U) float64, rows summing to U.
    """
    rng = np.random.default_rng(seed)
    step = max(1, CHUNK_CELLS // max(1, n_users, width))
    for start in range(0, n_resamples, step):
        rows = min(step, n_resamples - start)
        weights_RU = np.empty((rows, n_users))
        for row in range(rows):
            weights_RU[row] = np.bincount(rng.integers(0, n_users, n_users), minlength=n_users)
        yield weights_RU


def _run(statistic: Statistic, n_users: int, width: int, n_resamples: int, seed: int) -> dict[str, Resampled]:
    """The statistic for everybody counted once, and for every resample."""
    values = {name: float(value_R[0]) for name, value_R in statistic(np.ones((1, n_users))).items()}
    if not n_users:
        return {name: Resampled(value, np.zeros(0)) for name, value in values.items()}
    chunks = [statistic(weights) for weights in resample_weights(n_users, n_resamples, width, seed)]
    return {
        name: Resampled(value, np.concatenate([np.zeros(0), *(c[name] for c in chunks)]))
        for name, value in values.items()
    }

"""Intervals by resampling users: all queries of a user are drawn together.

A statistic maps (R, U) weights of the users to named (R,) values. Weights of one give the estimate,
multinomial weights give the resamples: one code path for both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, TypedDict

import numpy as np

from crossrec.evaluation.config import MetricName
from crossrec.evaluation.metrics import AGGREGATE
from crossrec.evaluation.metrics.exposure import Exposure

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

Statistic = Callable[[np.ndarray], dict[str, np.ndarray]]

TAIL_PERCENT = 2.5
"""Share of the resamples left out at each end of an interval, in percent."""

CHUNK_CELLS = 1 << 22


class Estimate(TypedDict):
    """A metric's value, its 95 % interval (NaN where there is none) and the users behind it."""

    value: float
    ci95: list[float]
    n_users: int


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

    values, resampled = _run(means, len(values_UM), len(names), n_resamples, seed)
    counts = dict(zip(names, known_UM.sum(0).astype(int).tolist(), strict=True))
    return {
        name: Estimate(value=values[name], ci95=_percentiles(resampled[name]), n_users=counts[name])
        for name in names
    }


def estimate_exposure(
    shown_UI: csr_matrix,
    lists_U: np.ndarray,
    metrics: Sequence[MetricName],
    n_items: int,
    k: int,
    n_resamples: int,
    seed: int,
) -> dict[str, Estimate]:
    """Metrics of all lists together, with shifted percentile intervals.

    A resample drops about a third of the users, so its coverage and entropy lie too low and its Gini too
    high. The resampled values are therefore shifted so that their mean is the estimate, and the interval
    is cut to the metric's range: its width is the bootstrap's, its place the estimate's.

    Args:
        shown_UI: (U, I) how many of a user's lists show each item that any list shows.
        lists_U: (U,) lists of each user.
        metrics: names of aggregate metrics.
        n_items: N.
        k: places of a list.
        n_resamples: 0 leaves the intervals out.
        seed: of the resampling.

    Returns:
        Name with ``@k`` -> estimate.

    Source:
        Efron, Tibshirani: An introduction to the bootstrap (1993), chapter 10 (bias).
    """
    if not metrics:
        return {}
    own_U = np.asarray(shown_UI.multiply(shown_UI).sum(1), dtype=float).ravel()
    shown_IU = shown_UI.T.tocsr().astype(float)

    def exposures(weights_RU: np.ndarray) -> dict[str, np.ndarray]:
        counts_RI = np.ascontiguousarray((shown_IU @ np.ascontiguousarray(weights_RU.T)).T)
        squared_RU = weights_RU**2
        pairs_R = (weights_RU @ lists_U) ** 2 - squared_RU @ (lists_U**2)
        exposure = Exposure(counts_RI, n_items, k, squared_RU @ own_U, pairs_R)
        return {f"{name}@{k}": AGGREGATE[name].compute(exposure) for name in metrics}

    values, resampled = _run(exposures, len(lists_U), shown_UI.shape[1], n_resamples, seed)
    result: dict[str, Estimate] = {}
    for metric in metrics:
        name, upper = f"{metric}@{k}", AGGREGATE[metric].upper(n_items)
        low, high = _percentiles(resampled[name] - _mean(resampled[name]) + values[name])
        ci95 = [float(np.clip(low, 0.0, upper)), float(np.clip(high, 0.0, upper))]
        result[name] = Estimate(value=values[name], ci95=ci95, n_users=len(lists_U))
    return result


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


def _run(
    statistic: Statistic, n_users: int, width: int, n_resamples: int, seed: int
) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    """The statistic for everybody counted once, and for every resample."""
    values = {name: float(value_R[0]) for name, value_R in statistic(np.ones((1, n_users))).items()}
    if not n_users:
        return values, {name: np.zeros(0) for name in values}
    chunks = [statistic(weights) for weights in resample_weights(n_users, n_resamples, width, seed)]
    return values, {name: np.concatenate([np.zeros(0), *(c[name] for c in chunks)]) for name in values}


def _mean(resampled_R: np.ndarray) -> float:
    known = resampled_R[~np.isnan(resampled_R)]
    return float(known.mean()) if len(known) else float("nan")


def _percentiles(resampled_R: np.ndarray) -> list[float]:
    known = resampled_R[~np.isnan(resampled_R)]
    if not len(known):
        return [float("nan"), float("nan")]
    return [float(v) for v in np.percentile(known, [TAIL_PERCENT, 100 - TAIL_PERCENT])]

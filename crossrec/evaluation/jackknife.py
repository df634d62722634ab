"""Intervals of exposure metrics: the jackknife over users.

An aggregate metric has no per-user values. Its estimand is the metric's expectation over new samples of as
many users from the same population, for the same trained models; the measured value is an unbiased estimate
of it. A bootstrap fails here: a resample contains about 63 % of the users, so coverage and entropy fall, and
the number of distinct users drawn, an artefact of resampling, dominates the spread. Leaving out one user at
a time has neither fault, and its variance is never too small in expectation.

Source:
    Efron, Stein: The jackknife estimate of variance (Annals of Statistics 1981).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from crossrec.evaluation.config import MetricName
from crossrec.evaluation.metrics import AGGREGATE
from crossrec.evaluation.metrics.exposure import ExposureEntries, UserLists

LEVEL = 0.95
ROUNDING = 1e-9
"""Influences below this share of the value count as zero."""


def influences(
    lists: UserLists, metrics: Sequence[MetricName], n_items: int, k: int
) -> dict[MetricName, np.ndarray]:
    """Return users' influences on each metric, ``(U - 1) (mean of the leave-one-out values - own one)``.

    Their mean is 0, and ``sum of squares / (U (U - 1))`` is the jackknife's variance of the metric.
    Influences of two systems on the same users subtract, those of several seeds average: the result is
    that of the difference or of the mean.

    Args:
        lists: lists of U users.
        metrics: names of aggregate metrics.
        n_items: N.
        k: length of the lists.

    Returns:
        metric -> (U,); all NaN where a leave-one-out value does not exist (fewer than three users for
        personalization, one user with all exposure for Gini and entropy).
    """
    found = leave_one_out(lists, metrics, n_items, k)
    n_users = len(lists.lists_U)
    return {name: (n_users - 1) * (value_U.mean() - value_U) for name, value_U in found.items()}


def leave_one_out(
    lists: UserLists, metrics: Sequence[MetricName], n_items: int, k: int
) -> dict[MetricName, np.ndarray]:
    """Return each metric without one user, for every user: exact, in time linear in the shown items.

    Args:
        lists: lists of U users.
        metrics: names of aggregate metrics.
        n_items: N.
        k: length of the lists.

    Returns:
        metric -> (U,), NaN where the other users have no value.
    """
    entries = ExposureEntries(lists, n_items, k)
    with np.errstate(divide="ignore", invalid="ignore"):
        return {name: AGGREGATE[name].leave_one_out(entries) for name in metrics}


def interval(
    value: float, influence_U: np.ndarray, low: float = -np.inf, high: float = np.inf
) -> tuple[float, float]:
    """Return Student's 95 % interval with the jackknife's standard error, clipped to a range.

    Args:
        value: value of the metric, or of a difference.
        influence_U: (U,) influences of the users.
        low, high: range of the metric.

    Returns:
        Both ends; NaN with fewer than two users, or unknown or zero influences, for which the spread is
        unknown. Influences on a mean are the users' deviations from it, which makes this the interval of
        Student's t test.
    """
    if not np.any(np.abs(influence_U) > ROUNDING * max(abs(value), ROUNDING)):
        return float("nan"), float("nan")
    reach = reach_of(len(influence_U)) * standard_error(influence_U)
    return float(np.clip(value - reach, low, high)), float(np.clip(value + reach, low, high))


def standard_error(influence_U: np.ndarray) -> float:
    """Return the jackknife's standard error; NaN with fewer than two users or unknown influences."""
    n_users = len(influence_U)
    return float(np.sqrt((influence_U**2).sum() / (n_users * (n_users - 1)))) if n_users > 1 else np.nan


def reach_of(n_users: int) -> float:
    """Return half the length of Student's 95 % interval in standard errors."""
    from scipy.special import stdtrit

    return float(stdtrit(n_users - 1, (1 + LEVEL) / 2)) if n_users > 1 else np.nan

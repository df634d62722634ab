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

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from crossrec.evaluation.config import MetricName
from crossrec.evaluation.metrics.exposure import UserLists

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
    entries = _Entries(lists, n_items, k)
    with np.errstate(divide="ignore", invalid="ignore"):
        return {name: LEAVE_ONE_OUT[name](entries) for name in metrics}


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


@dataclass(frozen=True)
class _Entries:
    """E entries (user, item, how many of the user's lists show it) and sums over them."""

    lists: UserLists
    n_items: int
    k: int

    @cached_property
    def user_E(self) -> np.ndarray:
        matrix = self.lists.shown_UI
        return np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))

    @cached_property
    def times_E(self) -> np.ndarray:
        return np.asarray(self.lists.shown_UI.data, dtype=np.int64)

    @cached_property
    def counts_I(self) -> np.ndarray:
        matrix = self.lists.shown_UI
        found = np.bincount(matrix.indices, self.times_E, minlength=matrix.shape[1])
        return found.astype(np.int64)

    @cached_property
    def counts_E(self) -> np.ndarray:
        return self.counts_I[self.lists.shown_UI.indices]

    def by_user(self, value_E: np.ndarray) -> np.ndarray:
        """Return (U,) sums over each user's entries."""
        return np.bincount(self.user_E, value_E, minlength=len(self.lists.lists_U))

    @cached_property
    def others_U(self) -> np.ndarray:
        """(U,) exposures in all other users' lists."""
        return self.counts_I.sum() - self.by_user(self.times_E)


def _coverage(entries: _Entries) -> np.ndarray:
    gone_U = entries.by_user(entries.counts_E == entries.times_E)
    return ((entries.counts_I > 0).sum() - gone_U) / entries.n_items


def _gini(entries: _Entries) -> np.ndarray:
    """Compute Gini from m_t, the number of items with at least t exposures.

    The numerator is sum_i (2i - N - 1) x_(i) = sum_t m_t (N - m_t).

    A user's item with count c that is shown x times leaves the levels c, c - 1, ..., c - x + 1.
    """
    n = entries.n_items
    at_least_T = np.cumsum(np.bincount(entries.counts_I)[::-1])[::-1]
    above = (at_least_T * (n - at_least_T))[1:].sum()
    times_E = entries.times_E
    step = np.arange(times_E.sum()) - np.repeat(np.cumsum(times_E) - times_E, times_E)
    level = np.repeat(entries.counts_E, times_E) - step
    width = len(at_least_T) + 1
    key, left = np.unique(np.repeat(entries.user_E, times_E) * width + level, return_counts=True)
    moved = left * (2 * at_least_T[key % width] - n) - left**2
    moved_U = np.bincount(key // width, moved, minlength=len(entries.lists.lists_U))
    return _where(entries.others_U, (above + moved_U) / (n * entries.others_U))


def _entropy(entries: _Entries) -> np.ndarray:
    others_U = entries.others_U
    lost_U = entries.by_user(_x_log_x(entries.counts_E) - _x_log_x(entries.counts_E - entries.times_E))
    sum_U = _x_log_x(entries.counts_I).sum() - lost_U
    return _where(others_U, np.maximum(np.log(others_U) - sum_U / others_U, 0.0))


def _entropy_norm(entries: _Entries) -> np.ndarray:
    return _where(np.full(len(entries.lists.lists_U), entries.n_items - 1), _entropy(entries)) / np.log(
        entries.n_items
    )


def _personalization(entries: _Entries) -> np.ndarray:
    lists_U = entries.lists.lists_U.astype(float)
    own_U = entries.by_user(entries.times_E**2)
    shared = (entries.counts_I.astype(float) ** 2).sum() - own_U.sum()
    shared_U = shared - 2 * (entries.by_user(entries.counts_E * entries.times_E) - own_U)
    pairs_U = (lists_U.sum() - lists_U) ** 2 - ((lists_U**2).sum() - lists_U**2)
    return _where(pairs_U, 1 - shared_U / (pairs_U * entries.k))


def _x_log_x(count: np.ndarray) -> np.ndarray:
    return np.asarray(count * np.log(np.maximum(count, 1)))


def _where(known_U: np.ndarray, value_U: np.ndarray) -> np.ndarray:
    return np.where(known_U > 0, value_U, np.nan)


LEAVE_ONE_OUT: Mapping[MetricName, Callable[[_Entries], np.ndarray]] = {
    "coverage": _coverage,
    "gini": _gini,
    "entropy": _entropy,
    "entropy_norm": _entropy_norm,
    "personalization": _personalization,
}

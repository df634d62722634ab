"""Comparison of two systems by aggregate metrics, which have no per-user values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from crossrec.evaluation.config import MetricName
from crossrec.evaluation.metrics import AGGREGATE
from crossrec.evaluation.metrics.exposure import Exposure, UserLists
from crossrec.evaluation.significance import ROUNDING, SIGNIFICANT
from crossrec.types import InputError

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

CHUNK_CELLS = 1 << 21


def check_resamples(exposed: Sequence[str], n_comparisons: int, n_resamples: int) -> None:
    """Reject a comparison in which Holm's correction would hide any difference of an exposure metric.

    Args:
        exposed: compared aggregate metrics.
        n_comparisons: M, number of comparisons corrected together.
        n_resamples: R; the swap test's p is at least 1 / (1 + R).

    Raises:
        InputError: if M / (1 + R) is not below the level.
    """
    least = 1 / (1 + n_resamples)
    corrected = min(1.0, n_comparisons * least)
    if exposed and corrected >= SIGNIFICANT:
        raise InputError(
            f"{n_resamples} resamples are too few for {n_comparisons} comparisons: {exposed[0]} can't have a "
            f"p below {least:.2g}, which Holm's correction may raise to {corrected:.2g}; "
            f"use --resamples {needed_resamples(n_comparisons)} or more, or fewer --metrics"
        )


def needed_resamples(n_comparisons: int) -> int:
    """Return the minimum number of swaps for a significant p after correction for M comparisons."""
    return math.floor(n_comparisons / SIGNIFICANT + 1e-9)


def swap_test(
    reference: Sequence[UserLists],
    other: Sequence[UserLists],
    metrics: Sequence[MetricName],
    n_items: int,
    k: int,
    n_swaps: int,
    seed: int,
) -> dict[MetricName, float]:
    """Return two-sided p of no difference between two systems, by swapping their lists user by user.

    For each user, both systems' lists are swapped with probability 1/2; the metric of both sides is
    recomputed, and p = (1 + #{|t*| >= |t|}) / (1 + R), where t is the difference divided by its
    jackknife standard error over users. Exact if the two systems' lists are exchangeable within each user.
    Dividing by the standard error makes it hold approximately, with many users, for systems that differ
    but whose expected metric is the same; the bare difference would not do so (Chung and Romano 2013).

    Args:
        reference: lists of the first system, one for each seed of training.
        other: lists of the second system, the same U users in the same order. Seeds are paired in their
            order, and repeated up to a common multiple where their numbers differ. A user is swapped in
            all pairs or in none, so the test is over users, with the trained models fixed.
        metrics: names of aggregate metrics.
        n_items: N.
        k: places of a list.
        n_swaps: R.
        seed: seed of the random swaps.

    Returns:
        metric -> p; 1 where all differences are zero, NaN with fewer than two users or without a value.

    Source:
        Fisher: The design of experiments (1935), section 21; Chung, Romano: Exact and asymptotically
        robust permutation tests (Annals of Statistics 2013).
    """
    n_users = len(reference[0].lists_U)
    if n_users < 2 or not metrics:
        return dict.fromkeys(metrics, math.nan)
    n_pairs = math.lcm(len(reference), len(other))
    pairs = [_Pair.of(reference[s % len(reference)], other[s % len(other)]) for s in range(n_pairs)]
    rng = np.random.default_rng(seed)
    observed = _statistics(pairs, np.ones((n_users, 1)), metrics, n_items, k)
    reached = {name: np.abs(observed[name]) * (1 - ROUNDING) for name in metrics}
    exceeded = dict.fromkeys(metrics, 0)
    step = max(1, CHUNK_CELLS // max(n_users, *(pair.first_UI.shape[1] for pair in pairs)))
    for start in range(0, n_swaps, step):
        coins_RU = rng.integers(0, 2, (min(step, n_swaps - start), n_users), dtype=np.uint8)
        kept_UR = np.ascontiguousarray(coins_RU.T, dtype=float)
        swapped = _statistics(pairs, kept_UR, metrics, n_items, k)
        for name in metrics:
            # A swap without a value counts against significance.
            exceeded[name] += int((~(np.abs(swapped[name]) < reached[name])).sum())
    return {
        name: math.nan if np.isnan(observed[name][0]) else (1 + exceeded[name]) / (1 + n_swaps)
        for name in metrics
    }


@dataclass(frozen=True)
class _Pair:
    """Lists of one seed of both systems over the same I items."""

    first_UI: csr_matrix
    second_UI: csr_matrix
    lists_U: np.ndarray

    @classmethod
    def of(cls, first: UserLists, second: UserLists) -> _Pair:
        items_I = np.union1d(_ids(first), _ids(second))
        return cls(_spread(first, items_I), _spread(second, items_I), first.lists_U)

    @cached_property
    def gap_IU(self) -> csr_matrix:
        return (self.first_UI - self.second_UI).T.tocsr()

    @cached_property
    def own_gap_U(self) -> np.ndarray:
        return _own(self.first_UI) - _own(self.second_UI)

    def counts(self, kept_UR: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return (I, R) exposure of both sides where each user's lists are kept (1) or swapped (0)."""
        second_I1 = np.asarray(self.second_UI.sum(0)).reshape(-1, 1)
        both_I1 = second_I1 + np.asarray(self.first_UI.sum(0)).reshape(-1, 1)
        first_IR = self.gap_IU @ kept_UR + second_I1
        return first_IR, both_I1 - first_IR

    def own(self, kept_UR: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return (R,) overlaps of lists of one user, of both sides."""
        second = _own(self.second_UI).sum()
        first_R = self.own_gap_U @ kept_UR + second
        return first_R, second + _own(self.first_UI).sum() - first_R

    def by_user(self, kept_UR: np.ndarray, first_IR: np.ndarray, second_IR: np.ndarray) -> np.ndarray:
        """Return (U, R) sums over a user's places on the first side, less those on the second."""
        kept = self.first_UI @ first_IR - self.second_UI @ second_IR
        swapped = self.second_UI @ first_IR - self.first_UI @ second_IR
        return np.asarray(swapped + kept_UR * (kept - swapped))


def _spread(lists: UserLists, items_I: np.ndarray) -> csr_matrix:
    from scipy.sparse import csr_matrix

    shown = lists.shown_UI
    column = np.searchsorted(items_I, _ids(lists))[shown.indices]
    return csr_matrix((shown.data.astype(float), column, shown.indptr), shape=(shown.shape[0], len(items_I)))


def _ids(lists: UserLists) -> np.ndarray:
    if lists.items_I is None:
        raise ValueError("lists of two systems are matched by the ids of their items")
    return lists.items_I


def _own(shown_UI: csr_matrix) -> np.ndarray:
    return np.asarray(shown_UI.multiply(shown_UI).sum(1), dtype=float).ravel()


def _statistics(
    pairs: Sequence[_Pair], kept_UR: np.ndarray, metrics: Sequence[MetricName], n_items: int, k: int
) -> dict[MetricName, np.ndarray]:
    """Return (R,) differences, means over pairs of seeds, in standard errors; 0 where they are 0."""
    n_users = len(kept_UR)
    lists_U = pairs[0].lists_U.astype(float)
    pairs_R = np.full(kept_UR.shape[1], lists_U.sum() ** 2 - (lists_U**2).sum())
    difference = {name: np.zeros(kept_UR.shape[1]) for name in metrics}
    magnitude = {name: np.zeros(kept_UR.shape[1]) for name in metrics}
    influence = {name: np.zeros(kept_UR.shape) for name in metrics}
    for pair in pairs:
        counts, own = pair.counts(kept_UR), pair.own(kept_UR)
        sides = [
            Exposure(np.ascontiguousarray(counts[side].T), n_items, k, own[side], pairs_R) for side in (0, 1)
        ]
        for name in metrics:
            values = [AGGREGATE[name].compute(side) for side in sides]
            difference[name] += values[0] - values[1]
            magnitude[name] += np.abs(values[0]) + np.abs(values[1])
            slopes = [AGGREGATE[name].slope(side, lists_U.sum()) for side in sides]
            place_IR, list_R = zip(*slopes, strict=True)
            influence[name] += pair.by_user(kept_UR, *(np.ascontiguousarray(one.T) for one in place_IR))
            influence[name] += np.outer(lists_U, list_R[0] - list_R[1])
    found: dict[MetricName, np.ndarray] = {}
    for name in metrics:
        centred_UR = influence[name] - influence[name].mean(0)
        error_R = np.sqrt((centred_UR**2).sum(0) * (n_users / (n_users - 1)))
        none_R = np.abs(difference[name]) <= ROUNDING * magnitude[name]
        with np.errstate(divide="ignore", invalid="ignore"):
            found[name] = np.where(none_R, 0.0, difference[name] / error_R)
    return found

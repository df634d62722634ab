"""Exposure: evenness of all lists over the catalogue, and differences between users' lists.

Every function takes an :class:`Exposure` of R weightings of the users (one for the estimate, many in
resampling) and returns R values. x_i is the number of lists (of at most k items) that show item i.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from crossrec.evaluation.metrics.base import Metric

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix


@dataclass(frozen=True)
class Exposure:
    """Exposure counts under R weightings of the users.

    Args:
        counts_RI: (R, I) weighted number of lists that show each item; items in no list may be omitted.
        n_items: N, size of the catalogue.
        k: length of the lists.
        own_R: (R,) sum over users of w_u^2 * sum_i x_ui^2: overlaps of a user's lists with themselves.
        pairs_R: (R,) ordered pairs of lists of two different users.
    """

    counts_RI: np.ndarray
    n_items: int
    k: int
    own_R: np.ndarray
    pairs_R: np.ndarray


@dataclass(frozen=True)
class UserLists:
    """Items shown to each of U users by a set of lists; the users may be weighted in many ways.

    Args:
        shown_UI: (U, I) number of a user's lists that show each of the I items in any list.
        lists_U: (U,) number of lists of each user.
        items_I: (I,) sorted ids of the items, by which the lists of two systems are matched.
    """

    shown_UI: csr_matrix
    lists_U: np.ndarray
    items_I: np.ndarray | None = None

    @cached_property
    def _shown_IU(self) -> csr_matrix:
        return self.shown_UI.T.tocsr().astype(float)

    @cached_property
    def _own_U(self) -> np.ndarray:
        return np.asarray(self.shown_UI.multiply(self.shown_UI).sum(1), dtype=float).ravel()

    def exposure(self, weights_RU: np.ndarray, n_items: int, k: int) -> Exposure:
        """Return the exposure under R weightings of the users.

        Args:
            weights_RU: (R, U) weights of the users.
            n_items: N, size of the catalogue.
            k: length of the lists.
        """
        counts_RI = np.ascontiguousarray((self._shown_IU @ np.ascontiguousarray(weights_RU.T)).T)
        squared_RU = weights_RU**2
        pairs_R = (weights_RU @ self.lists_U) ** 2 - squared_RU @ (self.lists_U**2)
        return Exposure(counts_RI, n_items, k, squared_RU @ self._own_U, pairs_R)


def coverage(exposure: Exposure) -> np.ndarray:
    """Share of the catalogue in any list: |{i: x_i > 0}| / N.

    Returns:
        (R,) from 0 (all lists empty) to 1.

    Source:
        Ge, Delgado-Battenfeld, Jannach: Beyond accuracy (RecSys 2010), catalogue coverage.
    """
    return (exposure.counts_RI > 0).sum(1) / exposure.n_items


def gini(exposure: Exposure) -> np.ndarray:
    """Gini index of exposure over the whole catalogue: sum_i (2i - N - 1) x_(i) / (N sum_i x_i).

    x_(i) ascends and includes items in no list. Some tools report 1 minus this.

    Returns:
        (R,) from 0 (even) to 1 - 1/N (one item gets all); NaN where all lists are empty.

    Source:
        Gini (1912); for recommenders Adomavicius, Kwon: Improving aggregate recommendation diversity
        using ranking-based techniques (TKDE 2012).
    """
    counts_RI = np.sort(exposure.counts_RI, axis=1)
    n = exposure.n_items
    # The omitted items have no exposure: they have the first ranks and add nothing.
    rank_I = np.arange(n - counts_RI.shape[1] + 1, n + 1)
    return _ratio(counts_RI @ (2.0 * rank_I - n - 1), n * counts_RI.sum(1))


def entropy(exposure: Exposure) -> np.ndarray:
    """Shannon entropy of exposure in nats: -sum_i p_i ln p_i with p_i = x_i / sum_j x_j.

    Returns:
        (R,) from 0 (one item gets all) to ln N (even); NaN where all lists are empty.

    Source:
        Shannon: A mathematical theory of communication (1948).
    """
    counts_RI = exposure.counts_RI
    total_R = counts_RI.sum(1)
    logs_RI = np.log(counts_RI, out=np.zeros(counts_RI.shape), where=counts_RI > 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        nats_R = np.log(total_R) - np.einsum("ri,ri->r", counts_RI, logs_RI) / total_R
    return np.where(total_R > 0, np.maximum(nats_R, 0.0), np.nan)


def entropy_norm(exposure: Exposure) -> np.ndarray:
    """:func:`entropy` divided by ln N, its maximum.

    Returns:
        (R,) from 0 to 1; NaN where all lists are empty or the catalogue has one item.

    Source:
        Pielou: The measurement of diversity in different types of biological collections (1966).
    """
    return _ratio(entropy(exposure), np.full(len(exposure.counts_RI), np.log(exposure.n_items)))


def personalization(exposure: Exposure) -> np.ndarray:
    """1 minus the mean overlap |A & B| / k of two lists of different users.

    Exact without any user-by-user matrix: an item in x_i lists gives x_i (x_i - 1) ordered pairs; pairs
    of one user's own lists (several queries per user, or a user drawn twice) are excluded from both sums.
    For short lists, k stays the divisor.

    Returns:
        (R,) from 0 (everybody gets the same) to 1 (no item in common); NaN with fewer than two users.

    Source:
        Zhou et al.: Solving the apparent diversity-accuracy dilemma of recommender systems (PNAS 2010),
        mean Hamming distance of lists.
    """
    shared_R = np.einsum("ri,ri->r", exposure.counts_RI, exposure.counts_RI) - exposure.own_R
    return 1 - _ratio(shared_R, exposure.pairs_R * exposure.k)


def _ratio(above_R: np.ndarray, below_R: np.ndarray) -> np.ndarray:
    return np.divide(above_R, below_R, out=np.full(len(above_R), np.nan), where=below_R > 0)


@dataclass(frozen=True)
class ExposureEntries:
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


def _coverage_without_each(entries: ExposureEntries) -> np.ndarray:
    gone_U = entries.by_user(entries.counts_E == entries.times_E)
    return ((entries.counts_I > 0).sum() - gone_U) / entries.n_items


def _gini_without_each(entries: ExposureEntries) -> np.ndarray:
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


def _entropy_without_each(entries: ExposureEntries) -> np.ndarray:
    others_U = entries.others_U
    lost_U = entries.by_user(_x_log_x(entries.counts_E) - _x_log_x(entries.counts_E - entries.times_E))
    sum_U = _x_log_x(entries.counts_I).sum() - lost_U
    return _where(others_U, np.maximum(np.log(others_U) - sum_U / others_U, 0.0))


def _entropy_norm_without_each(entries: ExposureEntries) -> np.ndarray:
    several_U = np.full(len(entries.lists.lists_U), entries.n_items - 1)
    return _where(several_U, _entropy_without_each(entries)) / np.log(entries.n_items)


def _personalization_without_each(entries: ExposureEntries) -> np.ndarray:
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


Slope = tuple[np.ndarray, np.ndarray]
"""(R, I) change of a metric per exposure of an item, (R,) change per list, whatever it shows."""


def _coverage_slope(exposure: Exposure, n_lists: float) -> Slope:
    return (exposure.counts_RI == 1) / exposure.n_items, np.zeros(len(exposure.counts_RI))


def _gini_slope(exposure: Exposure, n_lists: float) -> Slope:
    """Return the slope of Gini: an exposure less of an item with count c, where m_c items have at least c."""
    counts_RI, n = exposure.counts_RI.astype(np.int64), exposure.n_items
    width = int(counts_RI.max(initial=0)) + 1
    start_R1 = np.arange(len(counts_RI))[:, None] * width
    level_RT = np.bincount((counts_RI + start_R1).ravel(), minlength=len(counts_RI) * width)
    at_least_RT = np.cumsum(level_RT.reshape(-1, width)[:, ::-1], axis=1)[:, ::-1]
    total_R1 = counts_RI.sum(1, keepdims=True)
    gini_R1 = gini(exposure)[:, None]
    place_RI = -(2 * np.take_along_axis(at_least_RT, counts_RI, 1) - n) / (n * total_R1) - gini_R1 / total_R1
    return place_RI, np.zeros(len(counts_RI))


def _entropy_slope(exposure: Exposure, n_lists: float) -> Slope:
    counts_RI = exposure.counts_RI
    total_R1 = counts_RI.sum(1, keepdims=True)
    logs_RI, less_RI = (x * np.log(np.maximum(x, 1)) for x in (counts_RI, np.maximum(counts_RI - 1, 0)))
    mean_R1 = logs_RI.sum(1, keepdims=True) / total_R1
    return (1 + mean_R1 - (logs_RI - less_RI)) / total_R1, np.zeros(len(counts_RI))


def _entropy_norm_slope(exposure: Exposure, n_lists: float) -> Slope:
    place_RI, list_R = _entropy_slope(exposure, n_lists)
    return place_RI / np.log(exposure.n_items), list_R


def _personalization_slope(exposure: Exposure, n_lists: float) -> Slope:
    pairs_R = exposure.pairs_R
    same_R = 1 - personalization(exposure)
    return -2 * (exposure.counts_RI - 1) / (pairs_R * exposure.k)[:, None], 2 * same_R / n_lists


@dataclass(frozen=True, kw_only=True)
class ExposureMetric(Metric):
    """Aggregate metric of all lists.

    Args:
        compute: function from exposure counts to (R,) values.
        leave_one_out: function from exposure entries to (U,) exact values without each user, NaN where the
            others have none, for the intervals of :mod:`crossrec.evaluation.jackknife`.
        slope: function from exposure and the number of lists to the first-order version of these
            differences, for the swap test of :mod:`crossrec.evaluation.comparison.exposure`.
        upper: function from N to the largest possible value.
    """

    compute: Callable[[Exposure], np.ndarray]
    leave_one_out: Callable[[ExposureEntries], np.ndarray]
    slope: Callable[[Exposure, float], Slope]
    upper: Callable[[int], float]


COVERAGE = ExposureMetric(
    compute=coverage,
    leave_one_out=_coverage_without_each,
    slope=_coverage_slope,
    upper=lambda n: 1.0,
    meaning="Share of the catalogue that is recommended to anybody.",
)
GINI = ExposureMetric(
    compute=gini,
    leave_one_out=_gini_without_each,
    slope=_gini_slope,
    upper=lambda n: 1.0 - 1.0 / n,
    meaning="Inequality of exposure; 0 = all items alike, 1 = one item gets all.",
    higher_is_better=False,
)
ENTROPY = ExposureMetric(
    compute=entropy,
    leave_one_out=_entropy_without_each,
    slope=_entropy_slope,
    upper=lambda n: float(np.log(n)),
    meaning="Shannon entropy of exposure, in nats.",
)
ENTROPY_NORM = ExposureMetric(
    compute=entropy_norm,
    leave_one_out=_entropy_norm_without_each,
    slope=_entropy_norm_slope,
    upper=lambda n: 1.0,
    meaning="Entropy of exposure divided by its maximum, ln N.",
)
PERSONALIZATION = ExposureMetric(
    compute=personalization,
    leave_one_out=_personalization_without_each,
    slope=_personalization_slope,
    upper=lambda n: 1.0,
    meaning="One minus the mean overlap between two users' lists.",
)

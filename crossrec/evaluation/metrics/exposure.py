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


@dataclass(frozen=True, kw_only=True)
class ExposureMetric(Metric):
    """Aggregate metric of all lists.

    Args:
        compute: function from exposure counts to (R,) values.
        upper: function from N to the largest possible value.
    """

    compute: Callable[[Exposure], np.ndarray]
    upper: Callable[[int], float]


COVERAGE = ExposureMetric(
    compute=coverage, upper=lambda n: 1.0, meaning="Share of the catalogue that is recommended to anybody."
)
GINI = ExposureMetric(
    compute=gini,
    upper=lambda n: 1.0 - 1.0 / n,
    meaning="Inequality of exposure; 0 = all items alike, 1 = one item gets all.",
    higher_is_better=False,
)
ENTROPY = ExposureMetric(
    compute=entropy, upper=lambda n: float(np.log(n)), meaning="Shannon entropy of exposure, in nats."
)
ENTROPY_NORM = ExposureMetric(
    compute=entropy_norm,
    upper=lambda n: 1.0,
    meaning="Entropy of exposure divided by its maximum, ln N.",
)
PERSONALIZATION = ExposureMetric(
    compute=personalization,
    upper=lambda n: 1.0,
    meaning="One minus the mean overlap between two users' lists.",
)

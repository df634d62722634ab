"""Differences in metrics of all lists together, which have no value a user: users are resampled in pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from crossrec.evaluation.bootstrap import TAIL_PERCENT, resample_weights
from crossrec.evaluation.config import MetricName
from crossrec.evaluation.metrics import AGGREGATE
from crossrec.evaluation.metrics.exposure import Exposure

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix


@dataclass(frozen=True)
class UserLists:
    """What one set of lists shows to each user.

    Args:
        shown_UI: (U, I) how many of a user's lists show each item that any list shows.
        lists_U: (U,) lists of each user.
    """

    shown_UI: csr_matrix
    lists_U: np.ndarray

    @classmethod
    def of(cls, user_T: np.ndarray, item_ids_T: pl.Series, lists_U: np.ndarray) -> UserLists:
        """From one entry a recommendation.

        Args:
            user_T: (T,) rows of the users.
            item_ids_T: (T,) original ids.
            lists_U: (U,) lists of each user.
        """
        from scipy.sparse import csr_matrix

        column_T = item_ids_T.rank("dense").to_numpy().astype(np.int64) - 1
        shape = (len(lists_U), int(column_T.max(initial=-1)) + 1)
        return cls(csr_matrix((np.ones(len(user_T)), (user_T, column_T)), shape=shape), lists_U)

    def exposure(self, weights_RU: np.ndarray, n_items: int, k: int) -> Exposure:
        """Exposure under R weightings of the users."""
        own_U = np.asarray(self.shown_UI.multiply(self.shown_UI).sum(1), dtype=float).ravel()
        counts_RI = np.ascontiguousarray((self.shown_UI.T.tocsr() @ np.ascontiguousarray(weights_RU.T)).T)
        squared_RU = weights_RU**2
        pairs_R = (weights_RU @ self.lists_U) ** 2 - squared_RU @ (self.lists_U**2)
        return Exposure(counts_RI, n_items, k, squared_RU @ own_U, pairs_R)


@dataclass(frozen=True)
class Resampled:
    """A number with its bootstrap, moved so that the resamples' mean is the number.

    A resample drops about a third of the users, so its coverage and entropy lie too low: its spread is
    used, not its place.

    Args:
        value: for all users.
        resampled_R: (R,) for resampled users, already moved; NaN ones left out.

    Source:
        Efron, Tibshirani: An introduction to the bootstrap (1993), chapter 10 (bias) and section 16.4
        (tests by shifting).
    """

    value: float
    resampled_R: np.ndarray

    @classmethod
    def of(cls, value: float, resampled_R: np.ndarray) -> Resampled:
        """Moves raw resamples onto the value."""
        known = resampled_R[~np.isnan(resampled_R)]
        return cls(value, known + (value - known.mean()) if len(known) else known)

    def interval(self, low: float = -np.inf, high: float = np.inf) -> tuple[float, float]:
        """The 95 % interval, cut to a range; NaN without resamples."""
        if not len(self.resampled_R):
            return np.nan, np.nan
        ends = np.percentile(self.resampled_R, [TAIL_PERCENT, 100 - TAIL_PERCENT])
        return float(np.clip(ends[0], low, high)), float(np.clip(ends[1], low, high))

    def p_of_zero(self) -> float:
        """Two-sided p that the number is really zero: 2 (1 + resamples on zero's other side) / (1 + R)."""
        if not len(self.resampled_R):
            return np.nan
        beyond = min((self.resampled_R <= 0).sum(), (self.resampled_R >= 0).sum())
        return float(min(1.0, 2 * (1 + beyond) / (1 + len(self.resampled_R))))


def resample_exposure(
    systems: Sequence[Sequence[UserLists]],
    metrics: Sequence[MetricName],
    n_items: int,
    k: int,
    n_resamples: int,
    seed: int,
) -> dict[MetricName, tuple[np.ndarray, np.ndarray]]:
    """Exposure metrics of S systems, each the mean over its seeds, all under the same resamples of users.

    Args:
        systems: S systems, for each the lists of its seeds; the same U users in the same order.
        metrics: names of aggregate metrics.
        n_items: N.
        k: places of a list.
        n_resamples: R.
        seed: of the resampling.

    Returns:
        metric -> (S,) values and (S, R) resampled values.
    """
    n_users = len(systems[0][0].lists_U)
    width = max(lists.shown_UI.shape[1] for seeds in systems for lists in seeds)
    chunks = [np.ones((1, n_users)), *resample_weights(n_users, n_resamples, width, seed)]
    found: dict[MetricName, list[np.ndarray]] = {name: [] for name in metrics}
    for weights_RU in chunks:
        exposures = [[lists.exposure(weights_RU, n_items, k) for lists in seeds] for seeds in systems]
        for name in metrics:
            of_seeds = [np.mean([AGGREGATE[name].compute(e) for e in seeds], axis=0) for seeds in exposures]
            found[name].append(np.stack(of_seeds))
    whole = {name: np.concatenate(parts, axis=1) for name, parts in found.items()}
    return {name: (values_SR[:, 0], values_SR[:, 1:]) for name, values_SR in whole.items()}

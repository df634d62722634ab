"""Groups of queries by user, and slices: accuracy on a subset of the targets or queries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from crossrec.data.item_table import ItemTable
from crossrec.data.splits.base import Queries
from crossrec.evaluation.bootstrap import estimate_means
from crossrec.evaluation.config import EvaluationConfig
from crossrec.evaluation.matching import match_targets
from crossrec.evaluation.metrics import ACCURACY
from crossrec.types import ABSENT, Sequences

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix


@dataclass(frozen=True)
class UserGroups:
    """Grouping of queries by user.

    Args:
        users: (U,) rows of the split's clicks, in order of first appearance among the queries.
        group_Q: (Q,) position in ``users`` of each query's user.
    """

    users: np.ndarray
    group_Q: np.ndarray

    @classmethod
    def of(cls, users_Q: np.ndarray) -> UserGroups:
        """Group queries by user."""
        users, first, inverse = np.unique(users_Q, return_index=True, return_inverse=True)
        order = np.argsort(first)
        place = np.empty(len(users), dtype=np.int64)
        place[order] = np.arange(len(users))
        return cls(users[order], place[inverse])

    @property
    def counts(self) -> np.ndarray:
        """(U,) number of queries of each user."""
        return np.bincount(self.group_Q, minlength=len(self.users))

    def mean(self, value_Q: np.ndarray) -> np.ndarray:
        """Return (U,) each user's mean over those queries that have a value; NaN where none has."""
        known_Q = ~np.isnan(value_Q)
        count_U = np.bincount(self.group_Q, weights=known_Q, minlength=len(self.users))
        sum_U = np.bincount(self.group_Q, weights=np.nan_to_num(value_Q), minlength=len(self.users))
        return np.divide(sum_U, count_U, out=np.full(len(self.users), np.nan), where=count_U > 0)

    def shown(self, ids_QK: np.ndarray) -> csr_matrix:
        """Return (U, I), the number of a user's lists that show each of the I items in any list."""
        from scipy.sparse import csr_matrix

        here_QK = ids_QK != ABSENT
        items, column = np.unique(ids_QK[here_QK], return_inverse=True)
        row = np.repeat(self.group_Q, here_QK.sum(1))
        return csr_matrix((np.ones(len(row)), (row, column)), shape=(len(self.users), len(items)))


@dataclass(frozen=True)
class Slice:
    """Slice of an evaluation.

    Args:
        rows: (Q',) queries of the slice.
        targets: Q' rows of the targets that count.
        note: one-sentence description of the slice.
    """

    rows: np.ndarray
    targets: Sequences
    note: str


def make_slices(
    queries: Queries, histories: Sequences, items: ItemTable, config: EvaluationConfig
) -> dict[str, Slice]:
    """Return the standard slices.

    Args:
        queries: Q queries.
        histories: Q rows.
        items: features of the catalogue.
        config: options with the tail's share and the length of short histories.

    Returns:
        ``cold_items`` (targets without a training click), ``tail_items``, ``short_histories``.
    """
    among = "the list still ranks the full catalogue; other targets count as misses"
    short = np.flatnonzero(histories.lengths <= config.short_history)
    return {
        "cold_items": of_targets(
            queries, items.train_counts == 0, f"targets without a training click; {among}"
        ),
        "tail_items": of_targets(
            queries,
            items.tail(config.tail_share),
            f"targets outside the most clicked items, which have {1 - config.tail_share:.0%} of the "
            f"training clicks; {among}",
        ),
        "short_histories": Slice(
            short, queries.targets.take(short), f"histories of at most {config.short_history} clicks"
        ),
    }


def of_targets(queries: Queries, wanted_N: np.ndarray, note: str) -> Slice:
    """Return the queries with a selected target, with their selected targets only.

    Args:
        queries: Q queries.
        wanted_N: (N,) bool, selected items.
        note: one-sentence description of the slice.
    """
    targets = queries.targets
    wanted_T = wanted_N[targets.items]
    row_T = targets.row_of_click[wanted_T]
    counts = np.bincount(row_T, minlength=len(targets))
    kept = Sequences(np.concatenate([[0], np.cumsum(counts)]), targets.items[wanted_T])
    rows = np.flatnonzero(counts)
    return Slice(rows, kept.take(rows), note)


def evaluate_slice(
    part: Slice,
    ids_QK: np.ndarray,
    queries: Queries,
    histories: Sequences,
    n_items: int,
    config: EvaluationConfig,
) -> dict[str, Any]:
    """Return the accuracy of a slice: metric -> estimate, with ``n_users``, ``n_queries`` and ``note``.

    An empty slice has NaN values and counts of 0.
    """
    ranked = match_targets(ids_QK[part.rows], part.targets, histories.take(part.rows), n_items)
    groups = UserGroups.of(queries.users[part.rows])
    values_U = {
        f"{name}@{k}": groups.mean(ACCURACY[name](ranked.hits_QK, ranked.n_targets_Q, k))
        for k in config.ks
        for name in config.metrics
        if name in ACCURACY
    }
    estimates = estimate_means(values_U, config.n_bootstrap, config.seed)
    return {
        **estimates,
        "n_users": len(groups.users),
        "n_queries": len(part.rows),
        "note": part.note,
    }

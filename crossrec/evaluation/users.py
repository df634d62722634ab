"""From values of queries to values of users."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from crossrec.types import ABSENT

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix


@dataclass(frozen=True)
class UserGroups:
    """Which queries belong to which user.

    Args:
        users: (U,) rows of the split's clicks, in order of first appearance among the queries.
        group_Q: (Q,) position in ``users`` of each query's user.
    """

    users: np.ndarray
    group_Q: np.ndarray

    @classmethod
    def of(cls, users_Q: np.ndarray) -> UserGroups:
        """Groups queries by user."""
        users, first, inverse = np.unique(users_Q, return_index=True, return_inverse=True)
        order = np.argsort(first)
        place = np.empty(len(users), dtype=np.int64)
        place[order] = np.arange(len(users))
        return cls(users[order], place[inverse])

    @property
    def counts(self) -> np.ndarray:
        """(U,) queries of each user."""
        return np.bincount(self.group_Q, minlength=len(self.users))

    def mean(self, value_Q: np.ndarray) -> np.ndarray:
        """(U,) each user's mean over those queries that have a value; NaN where none has."""
        known_Q = ~np.isnan(value_Q)
        count_U = np.bincount(self.group_Q, weights=known_Q, minlength=len(self.users))
        sum_U = np.bincount(self.group_Q, weights=np.nan_to_num(value_Q), minlength=len(self.users))
        return np.divide(sum_U, count_U, out=np.full(len(self.users), np.nan), where=count_U > 0)

    def shown(self, ids_QK: np.ndarray) -> csr_matrix:
        """(U, I) how many of a user's lists show each item, for the I items that any list shows."""
        from scipy.sparse import csr_matrix

        here_QK = ids_QK != ABSENT
        items, column = np.unique(ids_QK[here_QK], return_inverse=True)
        row = np.repeat(self.group_Q, here_QK.sum(1))
        return csr_matrix((np.ones(len(row)), (row, column)), shape=(len(self.users), len(items)))

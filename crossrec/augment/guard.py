"""Checks at every fit that no validation or test data enters the training.

The training split is recomputed here, from the whole log and the split's cuts, to detect errors in the code
that passed the training clicks.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np

from crossrec.data.splits.base import Queries, Split
from crossrec.types import InputError, Sequences


class DataLeakageError(InputError):
    """Validation or test data would enter a training; the message names row and item."""


class LeakageChecker:
    """Check of the inputs of augmenters, resampling, generators and networks against the training split.

    Args:
        split: split of the log.
        item_ids: (N,) original ids, for messages.
        user_ids: (U,) original ids, for messages.
    """

    def __init__(self, split: Split, item_ids: np.ndarray, user_ids: np.ndarray) -> None:
        self.split = split
        self.item_ids = item_ids
        self.user_ids = user_ids

    @cached_property
    def _ends(self) -> np.ndarray:
        return np.asarray(self.split.train_ends, dtype=np.int64)

    @cached_property
    def _kept_T(self) -> np.ndarray:
        """(T,) bool, which of all clicks are in the training split."""
        offsets = np.asarray(self.split.clicks.offsets)
        lengths = np.diff(offsets)
        place_T = np.arange(offsets[-1]) - np.repeat(offsets[:-1], lengths)
        return np.asarray(place_T < np.repeat(self._ends, lengths), dtype=bool)

    @cached_property
    def train_counts(self) -> np.ndarray:
        """(N,) training clicks of each item, counted from the whole log and the cuts."""
        return np.bincount(np.asarray(self.split.clicks.items)[self._kept_T], minlength=self.split.n_items)

    def check_split(self) -> None:
        """Check that no query's target lies before its user's cut.

        Raises:
            DataLeakageError: if a training prefix reaches the target of a query.
        """
        for part, queries in (("validation", self.split.valid), ("test", self.split.test)):
            self._check_queries(part, queries)

    def _check_queries(self, part: str, queries: Queries) -> None:
        early_Q = queries.ends < self._ends[queries.users]
        if early_Q.any():
            query = int(np.flatnonzero(early_Q)[0])
            user = int(queries.users[query])
            target = int(queries.targets.row(query)[0])
            raise DataLeakageError(
                f"the training part holds the first {self._ends[user]} clicks of {self._user(user)}, but a "
                f"{part} query of theirs asks for {self._item(target)} after {queries.ends[query]} of them"
            )

    def check_sequences(self, rows: Sequences, what: str) -> None:
        """Check that rows equal the training split: the same users, lengths, items and times.

        Args:
            rows: rows to check.
            what: their use, for the message.

        Raises:
            DataLeakageError: if a row holds more, fewer or other clicks than its user's training prefix.
        """
        if len(rows) != len(self._ends):
            raise DataLeakageError(
                f"{what} was given {len(rows)} rows, but the training part has {len(self._ends)} users"
            )
        longer = np.flatnonzero(rows.lengths != self._ends)
        if len(longer):
            row = int(longer[0])
            given, own = int(rows.lengths[row]), int(self._ends[row])
            extra = f", the first more is {self._item(int(rows.row(row)[own]))}" if given > own else ""
            raise DataLeakageError(
                f"{what}: row {row} ({self._user(row)}) has {given} clicks, but {own} are for training{extra}"
            )
        self._check_values(rows, np.asarray(rows.items), np.asarray(self.split.clicks.items), what, "item")
        times, own_times = rows.times, self.split.clicks.times
        if times is not None and own_times is not None:
            self._check_values(rows, np.asarray(times), np.asarray(own_times), what, "time")

    def _check_values(
        self, rows: Sequences, given_T: np.ndarray, log_T: np.ndarray, what: str, name: str
    ) -> None:
        different = np.flatnonzero(given_T != log_T[self._kept_T])
        if not len(different):
            return
        at = int(different[0])
        row = int(np.searchsorted(np.asarray(rows.offsets), at, side="right")) - 1
        value = self._item(int(given_T[at])) if name == "item" else f"time {given_T[at]}"
        raise DataLeakageError(
            f"{what}: row {row} ({self._user(row)}), click {at - int(rows.offsets[row])} is {value}, which "
            "is not what the training part has there"
        )

    def check_counts(self, counts_N: np.ndarray, what: str) -> None:
        """Check that popularity is counted on the training split alone.

        Raises:
            DataLeakageError: if an item has another number of clicks.
        """
        if len(counts_N) != len(self.train_counts):
            raise DataLeakageError(
                f"{what} was given counts of {len(counts_N)} items, but the catalogue has "
                f"{len(self.train_counts)}"
            )
        different = np.flatnonzero(np.asarray(counts_N) != self.train_counts)
        if len(different):
            item = int(different[0])
            raise DataLeakageError(
                f"{what}: {self._item(item)} is counted {counts_N[item]} times, but has "
                f"{self.train_counts[item]} training clicks"
            )

    def check_items(self, items: np.ndarray, what: str) -> None:
        """Check that all items used for fitting have a training click.

        Args:
            items: (K,) catalogue indices.
            what: name of the fitted part, for the message.

        Raises:
            DataLeakageError: if an item is known from validation or test alone, or is not in the catalogue.
        """
        at = self._first_foreign(np.asarray(items))
        if at is not None:
            raise DataLeakageError(f"{what} would be fitted on row {at}, {self._no_click(int(items[at]))}")

    def check_augmented(self, rows: Sequences, what: str) -> None:
        """Check that augmented, resampled or synthetic rows contain training items only.

        Raises:
            DataLeakageError: if a row has an item without a training click.
        """
        at = self._first_foreign(np.asarray(rows.items))
        if at is not None:
            row = int(np.searchsorted(np.asarray(rows.offsets), at, side="right")) - 1
            raise DataLeakageError(
                f"{what}: row {row}, click {at - int(rows.offsets[row])} is {self._no_click(rows.items[at])}"
            )

    def check_rows(self, rows: Sequences, users: np.ndarray, what: str) -> None:
        """Check that rows, in any order and multiplicity, are users' training clicks.

        Args:
            rows: B rows that are not marked as augmented.
            users: (B,) row of the training split that each should be.
            what: source of the rows, for the message.

        Raises:
            DataLeakageError: if a row belongs to no user, or differs from that user's training clicks.
        """
        outside = (users < 0) | (users >= len(self._ends))
        if outside.any():
            row = int(np.flatnonzero(outside)[0])
            raise DataLeakageError(
                f"{what}: row {row} is of user {users[row]}, whom the training part doesn't have"
            )
        own = self.split.clicks.take(users, self._ends[users])
        if not np.array_equal(rows.lengths, own.lengths):
            row = int(np.flatnonzero(rows.lengths != own.lengths)[0])
            raise DataLeakageError(
                f"{what}: row {row} ({self._user(int(users[row]))}) has {rows.lengths[row]} clicks, but "
                f"{own.lengths[row]} are for training, and it is not marked as augmented"
            )
        different = np.flatnonzero(np.asarray(rows.items) != own.items)
        if len(different):
            row = int(np.searchsorted(np.asarray(rows.offsets), different[0], side="right")) - 1
            raise DataLeakageError(
                f"{what}: row {row} ({self._user(int(users[row]))}) holds "
                f"{self._item(int(rows.items[different[0]]))}, which the training part doesn't have there, "
                "and it is not marked as augmented"
            )

    def _first_foreign(self, items: np.ndarray) -> int | None:
        outside = (items < 0) | (items >= len(self.train_counts))
        foreign = outside | (self.train_counts[np.where(outside, 0, items)] == 0)
        return int(np.flatnonzero(foreign)[0]) if foreign.any() else None

    def _no_click(self, item: int) -> str:
        if not 0 <= item < len(self.train_counts):
            return f"item {item}, which is not in the catalogue of {len(self.train_counts)}"
        return f"{self._item(item)}, which has no training click"

    def _item(self, item: int) -> str:
        known = 0 <= item < len(self.item_ids)
        return f"item {item} ('{self.item_ids[item]}')" if known else f"item {item}"

    def _user(self, row: int) -> str:
        return f"user '{self.user_ids[row]}'"

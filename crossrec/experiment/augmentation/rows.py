"""Sources of an epoch's rows that only an experiment can put together."""

from __future__ import annotations

import numpy as np

from crossrec.augment.base import Schedule
from crossrec.augment.generators.application import SyntheticUsers
from crossrec.augment.guard import LeakageChecker
from crossrec.augment.sequences.base import stack_rows
from crossrec.training.epochs import EpochSequences, EpochSource
from crossrec.types import Sequences


class WithSyntheticUsers:
    """Rows of a source and, after them, the clicks of synthetic users, marked as augmented.

    Args:
        source: of the other rows.
        users: the same in every epoch.
        schedule: how many of them an epoch has.
        epochs: of the training.
        n_rows: rows of the training log; synthetic users are numbered from there on.
    """

    def __init__(
        self, source: EpochSource, users: SyntheticUsers, *, schedule: Schedule, epochs: int, n_rows: int
    ) -> None:
        self.source = source
        self.users = users
        self.schedule = schedule
        self.epochs = epochs
        self.n_rows = n_rows

    def epoch(self, epoch: int) -> EpochSequences:
        """The source's rows and marked synthetic ones."""
        own, added = self.source.epoch(epoch), self.users.first(self._strength(epoch))
        if not len(added):
            return own
        return EpochSequences(
            stack_rows([own.sequences, added]),
            np.concatenate([own.users_B, self.n_rows + np.arange(len(added))]),
            np.concatenate([own.augmented_B, np.ones(len(added), dtype=bool)]),
        )

    def size(self, epoch: int) -> float:
        """As the source, and what share of real users synthetic ones come to."""
        added = len(self.users.rows) * self._strength(epoch)
        return self.source.size(epoch) + added / max(self.users.n_training, 1)

    def _strength(self, epoch: int) -> float:
        return self.schedule.at(epoch / max(self.epochs, 1))


class Guarded:
    """Rows of a source, each epoch's checked before anything trains on them.

    Args:
        source: of the rows.
        guard: of the split.
        checked: the training log, checked already; an epoch that is the log itself is not checked again.
    """

    def __init__(self, source: EpochSource, guard: LeakageChecker, checked: Sequences) -> None:
        self.source = source
        self.guard = guard
        self.checked = checked

    def epoch(self, epoch: int) -> EpochSequences:
        """The source's rows.

        Raises:
            DataLeakageError: if a row holds an item without a training click, or is not marked as augmented
                and yet no user's own.
        """
        rows = self.source.epoch(epoch)
        if rows.sequences is self.checked:
            return rows
        own = np.flatnonzero(~rows.augmented_B)
        self.guard.check_rows(rows.sequences.take(own), rows.users_B[own], f"the rows of epoch {epoch}")
        self.guard.check_augmented(rows.sequences, f"the rows of epoch {epoch}")
        return rows

    def size(self, epoch: int) -> float:
        """As the source."""
        return self.source.size(epoch)

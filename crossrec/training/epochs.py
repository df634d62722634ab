"""Rows of clicks that an epoch trains on: the training log, samples of it, augmented copies."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from crossrec.augment.base import Augmenter, SampleRng, Schedule
from crossrec.augment.sequences.base import stack_rows
from crossrec.types import Sequences

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class EpochSequences:
    """Rows of one epoch.

    Args:
        sequences: B rows of clicks.
        users_B: int64 source row of each in the training log.
        augmented_B: bool, true for rows that are not users' own clicks.
    """

    sequences: Sequences
    users_B: np.ndarray
    augmented_B: np.ndarray

    @classmethod
    def of(cls, train: Sequences) -> EpochSequences:
        """Return the rows of the training log itself."""
        return cls(train, np.arange(len(train)), np.zeros(len(train), dtype=bool))


class EpochSource(Protocol):
    """Source of each epoch's rows: the same on every process, and the same when a run is resumed."""

    def epoch(self, epoch: int) -> EpochSequences:
        """Return the rows of an epoch, counted from 0."""
        ...

    def size(self, epoch: int) -> float:
        """Estimate an epoch's rows as a multiple of the training log's, without computing them."""
        ...


class LogRows:
    """The training log, or some of its rows each epoch.

    Args:
        train: one row per user.
        rows: function from an epoch to its rows of ``train``, repeated for users drawn more than once; None
            for all rows every time.
    """

    def __init__(self, train: Sequences, rows: Callable[[int], np.ndarray] | None = None) -> None:
        self.whole = EpochSequences.of(train)
        self.rows = rows

    def epoch(self, epoch: int) -> EpochSequences:
        """Return the rows, none of them augmented."""
        if self.rows is None:
            return self.whole
        rows = np.asarray(self.rows(epoch), dtype=np.int64)
        return EpochSequences(self.whole.sequences.take(rows), rows, np.zeros(len(rows), dtype=bool))

    def size(self, epoch: int) -> float:
        """Return 1, also if users are drawn: the number of clicks is about the same."""
        return 1.0


class AugmentedCopies:
    """Rows of a source followed by augmented copies of them, drawn again each epoch.

    A copy that came out unchanged, or with fewer than two clicks, is left out: it would only add weight to
    the row, or have nothing to predict.

    Args:
        source: source of the original rows; those that it marks as augmented are not copied.
        augmenter: augmenter that makes a copy.
        copies: copies per row; with 0.5, half of the rows get one, drawn again each epoch.
        max_clicks: only rows of at most so many clicks are copied; None for all.
        schedule: factor of ``copies``; an epoch has the strength of its beginning.
        epochs: number of epochs of the training.
        seed: seed of the draws, which depend on it and on the epoch.
    """

    def __init__(
        self,
        source: EpochSource,
        augmenter: Augmenter[Sequences],
        *,
        copies: float,
        max_clicks: int | None,
        schedule: Schedule,
        epochs: int,
        seed: int,
    ) -> None:
        self.source = source
        self.augmenter = augmenter
        self.copies = copies
        self.max_clicks = max_clicks
        self.schedule = schedule
        self.epochs = epochs
        self.seed = seed

    def epoch(self, epoch: int) -> EpochSequences:
        """Return the source's rows and marked copies."""
        originals = self.source.epoch(epoch)
        strength = self._strength(epoch)
        found = [originals]
        for nth in range(int(np.ceil(strength))):
            rows = self._drawn(originals, epoch, nth, min(strength - nth, 1.0))
            found.append(self._copies(originals, rows, epoch, nth))
        if len(found) == 1:
            return originals
        return EpochSequences(
            stack_rows([part.sequences for part in found]),
            np.concatenate([part.users_B for part in found]),
            np.concatenate([part.augmented_B for part in found]),
        )

    def size(self, epoch: int) -> float:
        """Estimate the size as if every row had its copies."""
        return self.source.size(epoch) * (1 + self._strength(epoch))

    def _strength(self, epoch: int) -> float:
        return self.copies * self.schedule.at(epoch / max(self.epochs, 1))

    def _drawn(self, originals: EpochSequences, epoch: int, nth: int, share: float) -> np.ndarray:
        """Draw the rows to copy."""
        lengths = originals.sequences.lengths
        wanted = (lengths >= 2) & ~originals.augmented_B
        if self.max_clicks is not None:
            wanted &= lengths <= self.max_clicks
        chance = SampleRng(self.seed, ("copied", epoch, nth), ()).shared().random(len(lengths))
        return np.flatnonzero(wanted & (chance < share))

    def _copies(self, originals: EpochSequences, rows: np.ndarray, epoch: int, nth: int) -> EpochSequences:
        draws = SampleRng(self.seed, ("copy", epoch, nth), rows.tolist())
        made = self.augmenter.augment(originals.sequences.take(rows), draws)
        kept = np.flatnonzero(made.changed & (made.samples.lengths >= 2))
        logger.info("epoch %d: %d augmented copies of %d rows; %s", epoch, len(kept), len(rows), made.counts)
        return EpochSequences(
            made.samples.take(kept), originals.users_B[rows[kept]], np.ones(len(kept), dtype=bool)
        )

"""What all augmenters of click sequences share."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np

from crossrec.augment.base import Augmented, Augmenter, SampleRng
from crossrec.augment.sequence.numbers import RowNumbers
from crossrec.augment.sequence.rows import differs, replace_rows
from crossrec.types import Sequences

KEPT = "kept"
NOT_DRAWN = "not_drawn"
TOO_SHORT = "too_short"
SAME = "same"


class SequenceAugmenter(Augmenter[Sequences]):
    """Augments many users' clicks at once; rows in, as many rows out."""

    def augment(self, samples: Sequences, draws: SampleRng) -> Augmented[Sequences]:
        """Augments all rows, see the base class; the keys of the draws must be whole numbers."""
        if len(draws) != len(samples):
            raise ValueError(f"{len(draws)} draws for {len(samples)} rows")
        return self.augment_rows(samples, RowNumbers.of(draws))

    @abstractmethod
    def augment_rows(self, samples: Sequences, numbers: RowNumbers) -> Augmented[Sequences]:
        """The same with numbers for B rows in place of draws."""


class RowAugmenter(SequenceAugmenter):
    """Augments the rows that it draws and that are long enough; the others come back as they were.

    Counts: ``kept`` for augmented rows, ``not_drawn``, ``too_short``, and ``same`` for rows that came out as
    they were, such as a part shuffled into its old order.

    Args:
        probability: of a row to be drawn.
    """

    def __init__(self, probability: float) -> None:
        self.probability = probability

    def augment_rows(self, samples: Sequences, numbers: RowNumbers) -> Augmented[Sequences]:
        """The rows drawn and long enough are changed."""
        drawn = numbers.rows("drawn") < self.probability
        fit = self.long_enough(samples.lengths)
        rows = np.flatnonzero(drawn & fit)
        before = samples.take(rows)
        after = self.change(before, numbers.take(rows))
        different = differs(before, after)
        changed = np.zeros(len(samples), dtype=bool)
        changed[rows[different]] = True
        counts = {
            KEPT: int(different.sum()),
            NOT_DRAWN: int((~drawn).sum()),
            TOO_SHORT: int((drawn & ~fit).sum()),
            SAME: int((~different).sum()),
        }
        return Augmented(
            replace_rows(samples, rows[different], after.take(np.flatnonzero(different))), changed, counts
        )

    @abstractmethod
    def long_enough(self, lengths: np.ndarray) -> np.ndarray:
        """(B,) bool, whether something can be made of a row of this many clicks."""

    @abstractmethod
    def change(self, samples: Sequences, numbers: RowNumbers) -> Sequences:
        """As many rows, each long enough and each changed."""


def part_of(lengths: np.ndarray, share: float) -> np.ndarray:
    """(B,) int64, a share of each row's clicks, rounded down; at least one of them is left out."""
    return np.minimum((lengths * share).astype(np.int64), lengths - 1)

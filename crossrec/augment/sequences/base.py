"""What all augmenters of click sequences share."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from pydantic import Field

from crossrec.augment.base import Augmented, Augmenter, SampleRng
from crossrec.config import ComponentOptions
from crossrec.data.neighbours import ItemSimilarity, Neighbours, find_neighbours
from crossrec.random import GOLDEN, mix_bits
from crossrec.types import Sequences


def place_of_click(samples: Sequences) -> np.ndarray:
    """(T,) place of each click in its row, from 0."""
    starts = np.asarray(samples.offsets[:-1]) - samples.offsets[0]
    return np.arange(len(samples.items)) - np.repeat(starts, samples.lengths)


def choose_clicks(samples: Sequences, kept_T: np.ndarray) -> Sequences:
    """The same rows with some of their clicks, in order."""
    counts = np.concatenate([[0], np.cumsum(kept_T)])
    times = None if samples.times is None else samples.times[kept_T]
    return Sequences(counts[samples.offsets], samples.items[kept_T], times)


def stack_rows(parts: Sequence[Sequences]) -> Sequences:
    """All rows of several sequences, one after the other; times only where all have them."""
    lengths = np.concatenate([part.lengths for part in parts])
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    times = [part.times for part in parts if part.times is not None]
    return Sequences(
        offsets,
        np.concatenate([part.items for part in parts]),
        np.concatenate(times) if len(times) == len(parts) else None,
    )


def replace_rows(samples: Sequences, rows: np.ndarray, by: Sequences) -> Sequences:
    """The samples with some rows replaced.

    Args:
        samples: B rows.
        rows: (R,) which, none twice.
        by: R rows to put there.
    """
    source = np.arange(len(samples))
    source[rows] = len(samples) + np.arange(len(rows))
    return stack_rows([samples, by]).take(source)


def differs(samples: Sequences, others: Sequences) -> np.ndarray:
    """(B,) bool, rows whose items are not the same in the same order."""
    different = samples.lengths != others.lengths
    same = np.flatnonzero(~different)
    left, right = samples.take(same), others.take(same)
    unlike = left.items != right.items
    different[same[left.row_of_click[unlike]]] = True
    return different


def holds(samples: Sequences, rows_C: np.ndarray, ids_CK: np.ndarray) -> np.ndarray:
    """(C, K) bool, whether row ``rows_C`` holds each of the items beside it."""
    stride = int(max(samples.items.max(initial=0), ids_CK.max(initial=0))) + 2
    held = np.sort(samples.row_of_click * stride + samples.items + 1)
    asked_CK = rows_C[:, None] * stride + ids_CK + 1
    place_CK = np.minimum(np.searchsorted(held, asked_CK), max(len(held) - 1, 0))
    return held[place_CK] == asked_CK if len(held) else np.zeros(ids_CK.shape, dtype=bool)


@dataclass(frozen=True)
class RowRng:
    """Uniform numbers of rows and of clicks: functions of seed, stream, the row's key and the click's place.

    So a row gets the same numbers whichever rows are worked on together, and no generator is made for it.

    Args:
        draws: of the samples; only seed and stream are read.
        keys: (B,) int64, one a row.

    Source:
        Steele et al. 2014, "Fast splittable pseudorandom number generators": the mixing function of
        SplitMix64, here of row and place instead of a counter.
    """

    draws: SampleRng
    keys: np.ndarray

    @classmethod
    def of(cls, draws: SampleRng) -> RowRng:
        """The numbers that belong to draws, whose keys must be whole numbers such as the users' rows."""
        return cls(draws, np.asarray(draws.keys, dtype=np.int64))

    def take(self, rows: np.ndarray) -> RowRng:
        """Those of some rows."""
        return RowRng(self.draws, self.keys[rows])

    def substream(self, *names: str | int) -> RowRng:
        """Other numbers for the same rows."""
        return RowRng(self.draws.substream(*names), self.keys)

    def rows(self, name: str) -> np.ndarray:
        """(B,) float64 in [0, 1), one a row.

        Args:
            name: what the numbers are for; another name gives others.
        """
        return _uniform(self._hashed_rows(name))

    def clicks(self, name: str, rows_T: np.ndarray, places_T: np.ndarray) -> np.ndarray:
        """(T,) float64 in [0, 1), one for each click of row ``rows_T`` at place ``places_T``."""
        hashed = self._hashed_rows(name)[rows_T]
        return _uniform(mix_bits(hashed + (places_T.astype(np.uint64) + np.uint64(1)) * np.uint64(GOLDEN)))

    def _hashed_rows(self, name: str) -> np.ndarray:
        base = self.draws.substream(name).shared().integers(2**64, dtype=np.uint64)
        return mix_bits(base + (self.keys.astype(np.uint64) + np.uint64(1)) * np.uint64(GOLDEN))


def _uniform(values: np.ndarray) -> np.ndarray:
    return (values >> np.uint64(11)).astype(np.float64) * 2.0**-53


@dataclass(frozen=True)
class SequenceContext:
    """What augmenters may know of the items: of the training part alone.

    Args:
        train: training clicks, one row a user.
        n_items: N of the catalogue.
        content: (N, W) vectors of the items' texts or pictures, zeros for an item that has none; None where
            there are no such vectors.
    """

    train: Sequences
    n_items: int
    content: np.ndarray | None = None
    _found: dict[tuple[int, str], Neighbours] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        if self.content is not None and len(self.content) != self.n_items:
            raise ValueError(f"content has {len(self.content)} rows, the catalogue {self.n_items} items")

    def neighbours(self, k: int, similarity: ItemSimilarity) -> Neighbours:
        """As :func:`find_neighbours`, made once for all augmenters that ask for the same."""
        if (k, similarity) not in self._found:
            self._found[k, similarity] = find_neighbours(
                self.train, self.n_items, k, similarity, self.content
            )
        return self._found[k, similarity]


class SequenceOptions(ComponentOptions):
    """Options of every sequence augmenter."""

    probability: float = Field(1.0, gt=0, le=1, description="of a row to be augmented, once it is its turn")

    @property
    def by_content(self) -> bool:
        """Whether content vectors of the items are needed."""
        return False


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
        return self.augment_rows(samples, RowRng.of(draws))

    @abstractmethod
    def augment_rows(self, samples: Sequences, numbers: RowRng) -> Augmented[Sequences]:
        """The same with numbers for B rows in place of draws."""


class RowAugmenter(SequenceAugmenter):
    """Augments the rows that it draws and that are long enough; the others come back as they were.

    Counts: ``kept`` for augmented rows, ``not_drawn``, ``too_short``, and ``same`` for rows that came out as
    they were, such as a part shuffled into its old order.

    Args:
        options: with the probability of a row to be drawn.
        context: training clicks and item vectors.
    """

    def __init__(self, options: SequenceOptions, context: SequenceContext) -> None:
        self.probability = options.probability

    def augment_rows(self, samples: Sequences, numbers: RowRng) -> Augmented[Sequences]:
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
    def change(self, samples: Sequences, numbers: RowRng) -> Sequences:
        """As many rows, each long enough and each changed."""


def part_of(lengths: np.ndarray, share: float) -> np.ndarray:
    """(B,) int64, a share of each row's clicks, rounded down; at least one of them is left out."""
    return np.minimum((lengths * share).astype(np.int64), lengths - 1)

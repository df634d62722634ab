"""Base of augmenters of click sequences, with their random numbers and operations on rows."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from pydantic import Field

from crossrec.augment.base import Augmented, Augmenter, SampleRng
from crossrec.config import ComponentOptions
from crossrec.data.item_table import CONTENT, ItemTable
from crossrec.data.neighbours import ItemSimilarity, Neighbours, find_neighbours
from crossrec.random import GOLDEN, mix_bits
from crossrec.types import Sequences


def place_of_click(samples: Sequences) -> np.ndarray:
    """Return (T,) positions of clicks in their rows, from 0."""
    starts = np.asarray(samples.offsets[:-1]) - samples.offsets[0]
    return np.arange(len(samples.items)) - np.repeat(starts, samples.lengths)


def choose_clicks(samples: Sequences, kept_T: np.ndarray) -> Sequences:
    """Return the same rows with a subset of their clicks, in order."""
    counts = np.concatenate([[0], np.cumsum(kept_T)])
    return samples.at(kept_T, counts[samples.offsets])


def stack_rows(parts: Sequence[Sequences]) -> Sequences:
    """Concatenate the rows of several sequences; times are kept if all have them, weights if any has."""
    lengths = np.concatenate([part.lengths for part in parts])
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    times = [part.times for part in parts if part.times is not None]
    return Sequences(
        offsets,
        np.concatenate([part.items for part in parts]),
        np.concatenate(times) if len(times) == len(parts) else None,
        _stacked_weights(parts),
    )


def _stacked_weights(parts: Sequence[Sequences]) -> np.ndarray | None:
    if all(part.weights is None for part in parts):
        return None
    return np.concatenate(
        [np.ones(len(p.items), np.float32) if p.weights is None else p.weights for p in parts]
    )


def replace_rows(samples: Sequences, rows: np.ndarray, by: Sequences) -> Sequences:
    """Return the samples with some rows replaced.

    Args:
        samples: B rows.
        rows: (R,) distinct row numbers.
        by: R replacement rows.
    """
    source = np.arange(len(samples))
    source[rows] = len(samples) + np.arange(len(rows))
    return stack_rows([samples, by]).take(source)


def differs(samples: Sequences, others: Sequences) -> np.ndarray:
    """Return (B,) bool, rows whose items or their order differ."""
    different = samples.lengths != others.lengths
    same = np.flatnonzero(~different)
    left, right = samples.take(same), others.take(same)
    unlike = left.items != right.items
    different[same[left.row_of_click[unlike]]] = True
    return different


def holds(samples: Sequences, rows_C: np.ndarray, ids_CK: np.ndarray) -> np.ndarray:
    """Return (C, K) bool, whether row ``rows_C`` contains each of its K items."""
    stride = int(max(samples.items.max(initial=0), ids_CK.max(initial=0))) + 2
    held = np.sort(samples.row_of_click * stride + samples.items + 1)
    asked_CK = rows_C[:, None] * stride + ids_CK + 1
    place_CK = np.minimum(np.searchsorted(held, asked_CK), max(len(held) - 1, 0))
    return held[place_CK] == asked_CK if len(held) else np.zeros(ids_CK.shape, dtype=bool)


@dataclass(frozen=True)
class RowRng:
    """Uniform random numbers per row and click: functions of seed, stream, row key and click position.

    A row gets the same numbers in any batch of rows, and no generator is made for it.

    Args:
        draws: draws of the samples; only seed and stream are read.
        keys: (B,) int64, one per row.

    Source:
        Steele et al. 2014, "Fast splittable pseudorandom number generators": the mixing function of
        SplitMix64, here of row and place instead of a counter.
    """

    draws: SampleRng
    keys: np.ndarray

    @classmethod
    def of(cls, draws: SampleRng) -> RowRng:
        """Return the random numbers of samples whose keys are integers, such as user rows."""
        return cls(draws, np.asarray(draws.keys, dtype=np.int64))

    def take(self, rows: np.ndarray) -> RowRng:
        """Return the random numbers of some rows."""
        return RowRng(self.draws, self.keys[rows])

    def substream(self, *names: str | int) -> RowRng:
        """Return other random numbers for the same rows."""
        return RowRng(self.draws.substream(*names), self.keys)

    def rows(self, name: str) -> np.ndarray:
        """Return (B,) float64 in [0, 1), one per row.

        Args:
            name: purpose of the numbers; different names give different numbers.
        """
        return _uniform(self._hashed_rows(name))

    def clicks(self, name: str, rows_T: np.ndarray, places_T: np.ndarray) -> np.ndarray:
        """Return (T,) float64 in [0, 1), one per click of row ``rows_T`` at position ``places_T``."""
        hashed = self._hashed_rows(name)[rows_T]
        return _uniform(mix_bits(hashed + (places_T.astype(np.uint64) + np.uint64(1)) * np.uint64(GOLDEN)))

    def _hashed_rows(self, name: str) -> np.ndarray:
        base = self.draws.substream(name).shared().integers(2**64, dtype=np.uint64)
        return mix_bits(base + (self.keys.astype(np.uint64) + np.uint64(1)) * np.uint64(GOLDEN))


def _uniform(values: np.ndarray) -> np.ndarray:
    return (values >> np.uint64(11)).astype(np.float64) * 2.0**-53


@dataclass(frozen=True)
class SequenceContext:
    """Inputs of sequence augmenters, from the training split alone.

    Args:
        train: training clicks, one row per user.
        items: features of the items; similarity by content needs the space ``content``.
    """

    train: Sequences
    items: ItemTable
    _found: dict[tuple[int, str], Neighbours] = field(default_factory=dict, repr=False)

    def neighbours(self, k: int, similarity: ItemSimilarity) -> Neighbours:
        """Return neighbors as :func:`find_neighbours`, computed once per ``k`` and similarity."""
        if (k, similarity) not in self._found:
            content = self.items.vectors(CONTENT) if CONTENT in self.items.spaces else None
            self._found[k, similarity] = find_neighbours(
                self.train, self.items.n_items, k, similarity, content
            )
        return self._found[k, similarity]


class SequenceOptions(ComponentOptions):
    """Options of every sequence augmenter."""

    probability: float = Field(1.0, gt=0, le=1, description="probability that a selected row is augmented")

    @property
    def by_content(self) -> bool:
        """Whether content vectors of the items are needed."""
        return False


KEPT = "kept"
NOT_DRAWN = "not_drawn"
TOO_SHORT = "too_short"
SAME = "same"


class SequenceAugmenter(Augmenter[Sequences]):
    """Base of augmenters that map B rows of clicks to B rows."""

    def augment(self, samples: Sequences, draws: SampleRng) -> Augmented[Sequences]:
        """Augment all rows; the keys of ``draws`` must be integers."""
        if len(draws) != len(samples):
            raise ValueError(f"{len(draws)} draws for {len(samples)} rows")
        return self.augment_rows(samples, RowRng.of(draws))

    @abstractmethod
    def augment_rows(self, samples: Sequences, numbers: RowRng) -> Augmented[Sequences]:
        """Augment B rows with their random numbers."""


class RowAugmenter(SequenceAugmenter):
    """Base of augmenters that change each sufficiently long row with some probability.

    Counts: ``kept`` for augmented rows, ``not_drawn``, ``too_short``, and ``same`` for rows that came out as
    they were, such as a part shuffled into its old order.

    Args:
        options: options with the probability of a row to be drawn.
        context: training clicks and item vectors.
    """

    def __init__(self, options: SequenceOptions, context: SequenceContext) -> None:
        self.probability = options.probability

    def augment_rows(self, samples: Sequences, numbers: RowRng) -> Augmented[Sequences]:
        """Change the rows that are drawn and long enough."""
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
        """Return (B,) bool, whether rows of these lengths can be changed."""

    @abstractmethod
    def change(self, samples: Sequences, numbers: RowRng) -> Sequences:
        """Return as many rows, each changed; all given rows are long enough."""


def part_of(lengths: np.ndarray, share: float) -> np.ndarray:
    """Return (B,) int64 counts: a share of each row's clicks, rounded down; at least one is left out."""
    return np.minimum((lengths * share).astype(np.int64), lengths - 1)

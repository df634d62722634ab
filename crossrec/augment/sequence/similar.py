"""Augmenters by item similarity: substitute and insert.

Source:
    Liu et al. 2021, "Contrastive self-supervised sequential recommendation with robust augmentation"
    (CoSeRec), section 4.2. There the most similar item is taken; here one of the k most similar, none that
    the row already holds, and none twice in a row.
"""

from __future__ import annotations

from abc import abstractmethod

import numpy as np

from crossrec.augment.base import Augmented
from crossrec.augment.sequence.base import SAME, RowAugmenter
from crossrec.augment.sequence.numbers import RowNumbers
from crossrec.augment.sequence.order import lowest
from crossrec.augment.sequence.rows import holds, place_of_click
from crossrec.data.neighbours import Neighbours
from crossrec.types import ABSENT, Sequences

NO_NEIGHBOUR = "no_neighbour"


class SimilarItems(RowAugmenter):
    """Draws clicks of each row and a similar item for each; what becomes of it is the subclass's.

    A row none of whose drawn clicks has a similar item that is new to it comes back as it was, counted as
    ``no_neighbour``.

    Args:
        probability: of a row to be drawn.
        share: of the clicks that are drawn, rounded down, at least one.
        neighbours: the similar items.
    """

    def __init__(self, probability: float, share: float, neighbours: Neighbours) -> None:
        super().__init__(probability)
        self.share = share
        self.neighbours = neighbours

    def augment_rows(self, samples: Sequences, numbers: RowNumbers) -> Augmented[Sequences]:
        """The rows drawn are changed, where a similar item is found."""
        found = super().augment_rows(samples, numbers)
        names = {SAME: NO_NEIGHBOUR}
        counts = {names.get(name, name): count for name, count in found.counts.items()}
        return Augmented(found.samples, found.changed, counts)

    def long_enough(self, lengths: np.ndarray) -> np.ndarray:
        """One click."""
        return lengths >= 1

    def change(self, samples: Sequences, numbers: RowNumbers) -> Sequences:
        """Draws clicks that have neighbours and, for each, one that the row doesn't hold."""
        row_T, place_T = samples.row_of_click, place_of_click(samples)
        chance_T = numbers.clicks("chosen", row_T, place_T)
        chance_T[~self.neighbours.known_N[samples.items]] = np.inf
        counts = np.maximum((samples.lengths * self.share).astype(np.int64), 1)
        at_C = np.flatnonzero(lowest(chance_T, samples, counts))
        items_C = self._similar(
            samples, at_C, row_T[at_C], numbers.clicks("item", row_T[at_C], place_T[at_C])
        )
        there = items_C != ABSENT
        return self.put(samples, at_C[there], items_C[there])

    def _similar(
        self, samples: Sequences, at_C: np.ndarray, row_C: np.ndarray, chance_C: np.ndarray
    ) -> np.ndarray:
        """(C,) an item for each click, ``ABSENT`` where none is left."""
        choice_CK = self.neighbours.ids_NK[samples.items[at_C]]
        free_CK = (choice_CK != ABSENT) & ~holds(samples, row_C, choice_CK)
        n_free_C = free_CK.sum(1)
        nth_C = (chance_C * n_free_C).astype(np.int64)
        picked_C = (free_CK.cumsum(1) == nth_C[:, None] + 1).argmax(1)
        items_C = np.where(n_free_C > 0, choice_CK[np.arange(len(at_C)), picked_C], ABSENT)
        # Two clicks of a row may have drawn the same item: the earlier keeps it.
        _, first = np.unique(row_C * (len(self.neighbours.ids_NK) + 1) + items_C + 1, return_index=True)
        kept_C = np.zeros(len(items_C), dtype=bool)
        kept_C[first] = True
        return np.where(kept_C, items_C, ABSENT)

    @abstractmethod
    def put(self, samples: Sequences, at_C: np.ndarray, items_C: np.ndarray) -> Sequences:
        """The rows with C similar items for (or beside) the clicks at C places of the flat array."""


class Substitute(SimilarItems):
    """Puts a similar item in the place of some clicks, at the same time."""

    def put(self, samples: Sequences, at_C: np.ndarray, items_C: np.ndarray) -> Sequences:
        """As many clicks as before."""
        items = np.array(samples.items)
        items[at_C] = items_C
        return Sequences(samples.offsets, items, samples.times)


class Insert(SimilarItems):
    """Puts a similar item before some clicks, at their time."""

    def put(self, samples: Sequences, at_C: np.ndarray, items_C: np.ndarray) -> Sequences:
        """Rows get longer by one click for each item."""
        grown = np.bincount(samples.row_of_click[at_C], minlength=len(samples))
        offsets = np.concatenate([[0], np.cumsum(samples.lengths + grown)]).astype(np.int64)
        items = np.insert(samples.items, at_C, items_C)
        times = None if samples.times is None else np.insert(samples.times, at_C, samples.times[at_C])
        return Sequences(offsets, items, times)

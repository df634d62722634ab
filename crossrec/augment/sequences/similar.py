"""Augmenters by item similarity: substitute and insert.

Source:
    Liu et al. 2021, "Contrastive self-supervised sequential recommendation with robust augmentation"
    (CoSeRec), section 4.2. There the most similar item is taken; here one of the k most similar, none that
    the row already holds, and none twice in a row.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace

import numpy as np
from pydantic import Field

from crossrec.augment.base import Augmented
from crossrec.augment.sequences.base import (
    SAME,
    RowAugmenter,
    RowRng,
    SequenceContext,
    SequenceOptions,
    holds,
    place_of_click,
)
from crossrec.augment.sequences.order import lowest
from crossrec.data.neighbours import CLICKS, ItemSimilarity
from crossrec.types import ABSENT, Sequences


class SimilarOptions(SequenceOptions):
    """Options of augmenters by item similarity."""

    neighbours: int = Field(5, ge=1, le=100_000, description="most similar items, one of which is drawn")
    similarity: ItemSimilarity = Field(
        "clicks", description="similarity by common users, by text and picture vectors, or the larger of both"
    )
    share: float

    @property
    def by_content(self) -> bool:
        """Whether content vectors of the items are needed."""
        return self.similarity != CLICKS


NO_NEIGHBOUR = "no_neighbour"


class SimilarItems(RowAugmenter):
    """Base of augmenters that draw clicks and a similar item for each.

    A row none of whose drawn clicks has a similar item that is new to it is returned unchanged, counted as
    ``no_neighbour``.

    Args:
        options: probability of a row, share of its clicks (rounded down, at least one), and similarity.
        context: source of the similar items.

    Raises:
        InputError: if content similarity is chosen and the items have no vectors.
    """

    def __init__(self, options: SimilarOptions, context: SequenceContext) -> None:
        super().__init__(options, context)
        self.share = options.share
        self.neighbours = context.neighbours(options.neighbours, options.similarity)

    def augment_rows(self, samples: Sequences, numbers: RowRng) -> Augmented[Sequences]:
        """Change the rows that are drawn, if a similar item is found."""
        found = super().augment_rows(samples, numbers)
        names = {SAME: NO_NEIGHBOUR}
        counts = {names.get(name, name): count for name, count in found.counts.items()}
        return Augmented(found.samples, found.changed, counts)

    def long_enough(self, lengths: np.ndarray) -> np.ndarray:
        """Return whether rows have a click."""
        return lengths >= 1

    def change(self, samples: Sequences, numbers: RowRng) -> Sequences:
        """Draw clicks with neighbors, and for each a neighbor that is new to the row."""
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
        """Return (C,) one item per click, ``ABSENT`` if none is left."""
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
        """Return the rows with C similar items at (or before) C places of the flat array."""


class ItemSubstitute(SimilarItems):
    """Substitution of some clicks by similar items, at the same time."""

    class Options(SimilarOptions):
        """Substitution of some clicks by similar items."""

        share: float = Field(
            0.1, gt=0, le=1, description="share of the clicks that are substituted, at least one"
        )

    def put(self, samples: Sequences, at_C: np.ndarray, items_C: np.ndarray) -> Sequences:
        """Replace the clicks; lengths stay."""
        items = np.array(samples.items)
        items[at_C] = items_C
        return replace(samples, items=items)


class ItemInsert(SimilarItems):
    """Insertion of similar items before some clicks, at their time."""

    class Options(SimilarOptions):
        """Insertion of similar items before some clicks."""

        share: float = Field(
            0.4, gt=0, le=1, description="share of the clicks with an insertion, at least one"
        )

    def put(self, samples: Sequences, at_C: np.ndarray, items_C: np.ndarray) -> Sequences:
        """Insert the items; rows grow by one click per item."""
        grown = np.bincount(samples.row_of_click[at_C], minlength=len(samples))
        offsets = np.concatenate([[0], np.cumsum(samples.lengths + grown)]).astype(np.int64)
        items = np.insert(samples.items, at_C, items_C)
        times, weights = (
            None if values is None else np.insert(values, at_C, values[at_C])
            for values in (samples.times, samples.weights)
        )
        return Sequences(offsets, items, times, weights)

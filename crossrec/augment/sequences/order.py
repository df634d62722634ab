"""Item crop, item mask and item reorder, which need nothing but the row.

Source:
    Xie et al. 2022, "Contrastive learning for sequential recommendation" (CL4SRec), section III-C.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from pydantic import Field

from crossrec.augment.sequences.base import (
    RowAugmenter,
    RowRng,
    SequenceContext,
    SequenceOptions,
    choose_clicks,
    part_of,
    place_of_click,
)
from crossrec.types import Sequences


class ItemCrop(RowAugmenter):
    """Random contiguous part of the clicks.

    Args:
        options: probability of a row, and share of its clicks (rounded down, at least one).
        context: unused.
    """

    class Options(SequenceOptions):
        """Random contiguous part of the clicks."""

        share: float = Field(0.6, gt=0, lt=1, description="share of the clicks that are kept")

    def __init__(self, options: Options, context: SequenceContext) -> None:
        super().__init__(options, context)
        self.share = options.share

    def long_enough(self, lengths: np.ndarray) -> np.ndarray:
        """Return whether rows have two clicks, of which one can be left out."""
        return lengths >= 2

    def change(self, samples: Sequences, numbers: RowRng) -> Sequences:
        """Keep a part that begins anywhere with equal probability."""
        begin, end = _part(samples.lengths, np.maximum(part_of(samples.lengths, self.share), 1), numbers)
        row_T, place_T = samples.row_of_click, place_of_click(samples)
        return choose_clicks(samples, (place_T >= begin[row_T]) & (place_T < end[row_T]))


class ItemMask(RowAugmenter):
    """Random omission of clicks; the others keep their order.

    The source puts a mask item in their place. Here they are gone, so that any sequence model reads the row,
    and a mask is no click to be predicted where the row is trained on.

    Args:
        options: probability of a row, and share of its clicks (rounded down).
        context: unused.
    """

    class Options(SequenceOptions):
        """Random omission of clicks."""

        share: float = Field(0.3, gt=0, lt=1, description="share of the clicks that are omitted")

    def __init__(self, options: Options, context: SequenceContext) -> None:
        super().__init__(options, context)
        self.share = options.share

    def long_enough(self, lengths: np.ndarray) -> np.ndarray:
        """Return whether the share is at least one click."""
        return part_of(lengths, self.share) >= 1

    def change(self, samples: Sequences, numbers: RowRng) -> Sequences:
        """Omit clicks; all subsets of the size have equal probability."""
        row_T = samples.row_of_click
        chance_T = numbers.clicks("masked", row_T, place_of_click(samples))
        return choose_clicks(samples, ~lowest(chance_T, samples, part_of(samples.lengths, self.share)))


class ItemReorder(RowAugmenter):
    """Random order of a contiguous part of the clicks; times stay sorted.

    Args:
        options: probability of a row, and share of its clicks (rounded down).
        context: unused.
    """

    class Options(SequenceOptions):
        """Random order of a contiguous part of the clicks."""

        share: float = Field(0.6, gt=0, le=1, description="share of the clicks that are shuffled")

    def __init__(self, options: Options, context: SequenceContext) -> None:
        super().__init__(options, context)
        self.share = options.share

    def long_enough(self, lengths: np.ndarray) -> np.ndarray:
        """Return whether the part has at least two clicks."""
        return self._sizes(lengths) >= 2

    def change(self, samples: Sequences, numbers: RowRng) -> Sequences:
        """Shuffle the part; all orders have equal probability."""
        begin, end = _part(samples.lengths, self._sizes(samples.lengths), numbers)
        row_T, place_T = samples.row_of_click, place_of_click(samples)
        inside_T = (place_T >= begin[row_T]) & (place_T < end[row_T])
        key_T = np.where(inside_T, numbers.clicks("order", row_T, place_T), 0.0)
        # Before the part, the part, and after it; the sort is stable outside the part.
        section_T = (place_T >= begin[row_T]).astype(np.int8) + (place_T >= end[row_T])
        order = np.lexsort((key_T, section_T, row_T))
        moved = samples.at(order, samples.offsets)
        return replace(moved, times=samples.times)

    def _sizes(self, lengths: np.ndarray) -> np.ndarray:
        return (lengths * self.share).astype(np.int64)


def _part(lengths: np.ndarray, sizes: np.ndarray, numbers: RowRng) -> tuple[np.ndarray, np.ndarray]:
    """Draw (B,) begin and (B,) end of a part of ``sizes`` clicks per row."""
    begin = (numbers.rows("begin") * (lengths - sizes + 1)).astype(np.int64)
    return begin, begin + sizes


def lowest(chance_T: np.ndarray, samples: Sequences, counts: np.ndarray) -> np.ndarray:
    """Return (T,) bool, the clicks with the lowest numbers in each row.

    Args:
        chance_T: one number per click; infinite for one that must not be chosen.
        samples: B rows.
        counts: (B,) number of clicks of each row.
    """
    row_T = samples.row_of_click
    order = np.lexsort((chance_T, row_T))
    chosen_T = np.zeros(len(chance_T), dtype=bool)
    chosen_T[order] = place_of_click(samples) < counts[row_T]
    return chosen_T & np.isfinite(chance_T)

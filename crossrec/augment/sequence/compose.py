"""Several sequence augmenters as one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from crossrec.augment.base import Augmented
from crossrec.augment.sequence.base import SequenceAugmenter
from crossrec.augment.sequence.numbers import RowNumbers
from crossrec.augment.sequence.rows import stack
from crossrec.types import Sequences


class OneOf(SequenceAugmenter):
    """Each row goes through one augmenter, drawn with the same chance.

    Args:
        augmenters: at least one, by the name under which they are counted.

    Source:
        Xie et al. 2022, CL4SRec, section III-C: two operators drawn from the set for the two views of a row.
    """

    def __init__(self, augmenters: Sequence[tuple[str, SequenceAugmenter]]) -> None:
        self.augmenters = list(augmenters)

    def augment_rows(self, samples: Sequences, numbers: RowNumbers) -> Augmented[Sequences]:
        """Counts are named ``<augmenter>.<what happened>``."""
        choice = (numbers.rows("choice") * len(self.augmenters)).astype(np.int64)
        parts, order = [], []
        counts: dict[str, int] = {}
        changed = np.zeros(len(samples), dtype=bool)
        for number, (name, augmenter) in enumerate(self.augmenters):
            rows = np.flatnonzero(choice == number)
            found = augmenter.augment_rows(samples.take(rows), numbers.take(rows).substream(number))
            parts.append(found.samples)
            order.append(rows)
            changed[rows] = found.changed
            counts |= {f"{name}.{what}": n for what, n in found.counts.items()}
        return Augmented(stack(parts).take(np.argsort(np.concatenate(order))), changed, counts)


class InTurn(SequenceAugmenter):
    """Every row goes through all augmenters, one after the other.

    Args:
        augmenters: at least one, by the name under which they are counted.
    """

    def __init__(self, augmenters: Sequence[tuple[str, SequenceAugmenter]]) -> None:
        self.augmenters = list(augmenters)

    def augment_rows(self, samples: Sequences, numbers: RowNumbers) -> Augmented[Sequences]:
        """Counts are named ``<augmenter>.<what happened>``."""
        changed = np.zeros(len(samples), dtype=bool)
        counts: dict[str, int] = {}
        for number, (name, augmenter) in enumerate(self.augmenters):
            found = augmenter.augment_rows(samples, numbers.substream(number))
            samples, changed = found.samples, changed | found.changed
            counts |= {f"{name}.{what}": n for what, n in found.counts.items()}
        return Augmented(samples, changed, counts)

"""What sequence augmenters may know of the items."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from crossrec.data.neighbours import ItemSimilarity, Neighbours, find_neighbours
from crossrec.types import Sequences


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

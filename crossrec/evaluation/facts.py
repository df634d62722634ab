"""What metrics may know: facts about items, and ranked lists laid against the truth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from crossrec.data.item_table import tail_items
from crossrec.types import Sequences

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix


@dataclass(frozen=True)
class ItemFacts:
    """What metrics may know about items.

    Args:
        train_counts: (N,) training clicks of each item.
        categories: (N, C) membership of each item in each category.
        vectors: space name -> (N, D); ``"text"``, ``"image"``, and ``""`` for the fused vector.
        present: space name -> (N,) bool, which items have a vector in that space.

    Raises:
        ValueError: the parts don't speak of the same N items, or a space lacks its mask.
    """

    train_counts: np.ndarray
    categories: csr_matrix
    vectors: dict[str, np.ndarray]
    present: dict[str, np.ndarray]

    def __post_init__(self) -> None:
        """Checks that all parts speak of the same items."""
        if self.categories.shape[0] != self.n_items:
            raise ValueError(f"categories have {self.categories.shape[0]} rows for {self.n_items} items")
        if self.vectors.keys() != self.present.keys():
            raise ValueError(
                f"vectors of {sorted(self.vectors)} need masks of the same spaces, not {sorted(self.present)}"
            )
        for space, vectors_ND in self.vectors.items():
            if len(vectors_ND) != self.n_items or len(self.present[space]) != self.n_items:
                raise ValueError(
                    f"space '{space}': {len(vectors_ND)} vectors and {len(self.present[space])} "
                    f"mask entries for {self.n_items} items"
                )

    @property
    def n_items(self) -> int:
        """N, items in the catalogue."""
        return len(self.train_counts)

    def tail(self, share: float) -> np.ndarray:
        """(N,) bool, the items of the tail, see :func:`tail_items`."""
        return tail_items(self.train_counts, share)


@dataclass(frozen=True)
class MatchedLists:
    """Ranked lists laid against the truth.

    Args:
        ids_QK: (Q, K) catalogue indices, best first; ``ABSENT`` where a list ran out.
        hits_QK: (Q, K) bool, whether the item is a target of the query.
        n_targets_Q: (Q,) distinct targets of each query.
        histories: Q rows, the clicks before each query.
        targets: Q rows, the distinct targets sorted by index.
    """

    ids_QK: np.ndarray
    hits_QK: np.ndarray
    n_targets_Q: np.ndarray
    histories: Sequences
    targets: Sequences


def distinct(rows: Sequences, n_items: int) -> Sequences:
    """Each row's items once, sorted by index, without times."""
    row_T = rows.row_of_click
    keys = np.unique(row_T * n_items + rows.items)
    counts = np.bincount(keys // n_items, minlength=len(rows)) if len(keys) else np.zeros(len(rows), np.int64)
    return Sequences(np.concatenate([[0], np.cumsum(counts)]), keys % n_items)


def match_targets(ids_QK: np.ndarray, targets: Sequences, histories: Sequences, n_items: int) -> MatchedLists:
    """Marks the hits in ranked lists; a target named twice counts once.

    Args:
        ids_QK: (Q, K) catalogue indices or ``ABSENT``.
        targets: Q rows.
        histories: Q rows.
        n_items: N.
    """
    once = distinct(targets, n_items)
    return MatchedLists(ids_QK, once.contains(ids_QK), once.lengths, histories, once)

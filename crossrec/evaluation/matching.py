"""Ranked lists matched with the targets of their queries."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crossrec.types import Sequences


@dataclass(frozen=True)
class MatchedLists:
    """Ranked lists matched with targets.

    Args:
        ids_QK: (Q, K) catalogue indices, best first; ``ABSENT`` after the end of a list.
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
    """Return each row's distinct items, sorted by index, without times."""
    row_T = rows.row_of_click
    keys = np.unique(row_T * n_items + rows.items)
    counts = np.bincount(keys // n_items, minlength=len(rows)) if len(keys) else np.zeros(len(rows), np.int64)
    return Sequences(np.concatenate([[0], np.cumsum(counts)]), keys % n_items)


def match_targets(ids_QK: np.ndarray, targets: Sequences, histories: Sequences, n_items: int) -> MatchedLists:
    """Mark the hits in ranked lists; a target named twice counts once.

    Args:
        ids_QK: (Q, K) catalogue indices or ``ABSENT``.
        targets: Q rows.
        histories: Q rows.
        n_items: N.
    """
    once = distinct(targets, n_items)
    return MatchedLists(ids_QK, once.contains(ids_QK), once.lengths, histories, once)

"""Which items make up the tail of a catalogue."""

from __future__ import annotations

import numpy as np


def tail_items(train_counts: np.ndarray, share: float) -> np.ndarray:
    """Which items are in the tail.

    The head is the shortest prefix of the items, sorted by (training clicks descending, index), that holds at
    least ``1 - share`` of the training clicks. All others, unclicked ones too, are the tail.

    Args:
        train_counts: (N,) training clicks of each item.
        share: share of the training clicks that the tail may hold at most, from 0 to 1.

    Returns:
        (N,) bool; all true where there is no training click.

    Source:
        Abdollahpouri, Burke, Mobasher: Managing popularity bias in recommender systems with personalized
        re-ranking (FLAIRS 2019).
    """
    tail_N = np.ones(len(train_counts), dtype=bool)
    order = np.argsort(-train_counts, kind="stable")
    before = np.cumsum(train_counts[order]) - train_counts[order]
    # Rounding must not let one more item into the head when the share is met exactly.
    needed = (1 - share) * train_counts.sum() * (1 - 1e-12)
    tail_N[order[before < needed]] = False
    return tail_N

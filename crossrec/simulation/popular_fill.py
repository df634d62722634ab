"""What a shop shows where its recommender has nothing to say: what is popular."""

from __future__ import annotations

import numpy as np

from crossrec.baselines.context import BaselineContext
from crossrec.baselines.popularity import Popularity
from crossrec.types import ABSENT, Sequences, TopK


def filled(lists: TopK, log: Sequences, histories: Sequences, n_items: int, k: int) -> TopK:
    """Lists that have k items at least, as far as there are items that a user has not clicked.

    Args:
        lists: (B, C), some of which run out.
        log: all clicks, for popularity.
        histories: B rows, what must not appear.
        n_items: N.
        k: items wanted in each list.

    Returns:
        (B, C) with popular items, by falling scores below all others, where fewer than k were there.
    """
    ids, scores = lists.ids.copy(), lists.scores.copy()
    short_B = np.flatnonzero((ids[:, :k] == ABSENT).any(1))
    kept = histories.take(short_B)
    width = min(2 * k, n_items)
    popular_BP = (
        Popularity.Options().build(BaselineContext(n_items)).fit(log).recommend(kept, width, exclude=kept).ids
    )
    own_BK = ids[short_B, :k]
    known_BP = (popular_BP[:, :, None] == own_BK[:, None, :]).any(2)
    both = np.concatenate([own_BK, np.where(known_BP, ABSENT, popular_BP)], axis=1)
    order = np.argsort(both == ABSENT, axis=1, kind="stable")[:, :k]
    merged_BK = np.take_along_axis(both, order, 1)
    own_scores_BK = scores[short_B, :k]
    there_BK = own_BK != ABSENT
    lowest_B1 = np.where(there_BK, own_scores_BK, np.inf).min(1, keepdims=True)
    lowest_B1 = np.where(np.isfinite(lowest_B1), lowest_B1, 0.0)
    below_BK = lowest_B1 - 1 - np.arange(k)
    ids[short_B, :k] = merged_BK
    added_BK = np.where(merged_BK != ABSENT, below_BK, -np.inf)
    scores[short_B, :k] = np.where(there_BK, own_scores_BK, added_BK)
    return TopK(ids, scores)

"""From a recommender to one ranked list a query, shared out over all processes."""

from __future__ import annotations

import numpy as np

from crossrec.data.splits import Queries, Split
from crossrec.runtime import distributed
from crossrec.types import Recommender, TopK


def rank_queries(
    recommender: Recommender,
    split: Split,
    queries: Queries,
    k: int,
    exclude_seen: bool = True,
    batch: int = 256,
) -> TopK:
    """Ranks the full catalogue for every query; each process takes its share, all get all lists.

    Args:
        recommender: fitted; the same on every process.
        split: whose clicks the queries speak of.
        queries: Q queries; the same on every process.
        k: length of the lists.
        exclude_seen: whether items of a query's history may not appear.
        batch: queries ranked at a time.

    Returns:
        (Q, k) lists in the order of the queries, the same on every process.

    Raises:
        ValueError: the recommender's lists don't have the shape asked for.
    """
    share = distributed.shard(len(queries))
    ids, scores = [np.zeros((0, k), np.int64)], [np.zeros((0, k), np.float32)]
    for start in range(share.start, share.stop, batch):
        rows = slice(start, min(start + batch, share.stop))
        histories = split.clicks.take(queries.users[rows], queries.ends[rows])
        lists = recommender.recommend(histories, k, histories if exclude_seen else None)
        if lists.ids.shape != (len(histories), k) or lists.scores.shape != lists.ids.shape:
            raise ValueError(
                f"{type(recommender).__name__}.recommend gave ids of shape {lists.ids.shape} and scores of "
                f"shape {lists.scores.shape}; expected {(len(histories), k)} for both"
            )
        ids.append(lists.ids)
        scores.append(lists.scores)
    return TopK(distributed.gather_rows(np.concatenate(ids)), distributed.gather_rows(np.concatenate(scores)))

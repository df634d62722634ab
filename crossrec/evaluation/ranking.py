"""From a recommender to one ranked list a query, shared out over all processes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from crossrec.data.splits.base import Queries, Split
from crossrec.runtime import distributed
from crossrec.types import Recommender, TopK

CLICKS = 4_000_000
"""Clicks of histories that are held at a time: 64 MB with their times."""


def rank_queries(
    recommender: Recommender,
    split: Split,
    queries: Queries,
    k: int,
    exclude_seen: bool = True,
    batch: int = 65_536,
) -> TopK:
    """Ranks the full catalogue for every query; each process takes its share, all get all lists.

    A recommender is handed many histories at once, so that it can read those of one length together;
    they hold at most ``CLICKS`` clicks (or are a single history).

    Args:
        recommender: fitted; the same on every process.
        split: whose clicks the queries speak of.
        queries: Q queries; the same on every process.
        k: length of the lists.
        exclude_seen: whether items of a query's history may not appear.
        batch: most queries handed over at a time.

    Returns:
        (Q, k) lists in the order of the queries, the same on every process.

    Raises:
        ValueError: the recommender's lists don't have the shape asked for.
    """
    share = distributed.shard(len(queries))
    ids, scores = [np.zeros((0, k), np.int64)], [np.zeros((0, k), np.float32)]
    for rows in _blocks(np.asarray(queries.ends[share]), share.start, batch):
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


def _blocks(lengths: np.ndarray, first: int, batch: int) -> Iterator[slice]:
    """Cuts rows, numbered from ``first``, into runs of at most ``batch`` rows and ``CLICKS`` clicks."""
    clicks = np.cumsum(lengths)
    start = 0
    while start < len(lengths):
        done = clicks[start - 1] if start else 0
        fitting = int(np.searchsorted(clicks, done + CLICKS, side="right"))
        stop = min(max(fitting, start + 1), start + batch)
        yield slice(first + start, first + stop)
        start = stop

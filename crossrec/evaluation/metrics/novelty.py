"""Novelty: distance of lists from popular items. Every function returns one value per query."""

from __future__ import annotations

import numpy as np

from crossrec.evaluation.matching import distinct
from crossrec.evaluation.metrics.base import ListMetric, MetricInputs
from crossrec.types import ABSENT, Sequences


def novelty(ids_QK: np.ndarray, train_counts_N: np.ndarray, k: int) -> np.ndarray:
    """Mean self-information of a list's items in bits: mean_i -log2 p(i).

    p(i) = (c_i + 1) / (sum_j c_j + N) over the training clicks c: one click is added to each item, so that
    items without clicks have finite values (the source divides by users and has no such items).

    Args:
        ids_QK: (Q, K) catalogue indices or ``ABSENT``; absent places are ignored.
        train_counts_N: (N,) training clicks.
        k: cutoff.

    Returns:
        (Q,) from 0 to log2(sum_j c_j + N); NaN for an empty list.

    Source:
        Zhou et al.: Solving the apparent diversity-accuracy dilemma of recommender systems (PNAS 2010).
    """
    bits_N = np.log2(train_counts_N.sum() + len(train_counts_N)) - np.log2(train_counts_N + 1)
    return _mean_over_list(ids_QK, bits_N, k)


def tail_share(ids_QK: np.ndarray, tail_N: np.ndarray, k: int) -> np.ndarray:
    """Share of a list's items that are in the tail (``ItemTable.tail``): |list & tail| / |list|.

    Args:
        ids_QK: (Q, K) catalogue indices or ``ABSENT``; absent places are ignored.
        tail_N: (N,) bool.
        k: cutoff.

    Returns:
        (Q,) from 0 to 1; NaN for an empty list.

    Source:
        Abdollahpouri, Burke, Mobasher: Managing popularity bias in recommender systems with
        personalized re-ranking (FLAIRS 2019), average percentage of long tail items.
    """
    return _mean_over_list(ids_QK, tail_N.astype(float), k)


def serendipity(
    ids_QK: np.ndarray,
    hits_QK: np.ndarray,
    n_targets_Q: np.ndarray,
    histories: Sequences,
    train_counts_N: np.ndarray,
    exclude_seen: bool,
    k: int,
) -> np.ndarray:
    """Share of ranks with a hit that the most clicked items would not have found: |hits - popular| / k.

    ``popular`` is the primitive recommender of the source: the k items with most training clicks, ties
    by index, without the query's history where seen items are excluded.

    Args:
        ids_QK: (Q, K) catalogue indices or ``ABSENT``; an absent place is a miss.
        hits_QK: (Q, K) bool.
        n_targets_Q: (Q,) distinct targets.
        histories: Q rows.
        train_counts_N: (N,) training clicks.
        exclude_seen: whether the popular list excludes the history.
        k: cutoff.

    Returns:
        (Q,) from 0 to min(k, targets) / k; NaN without targets.

    Source:
        Ge, Delgado-Battenfeld, Jannach: Beyond accuracy (RecSys 2010), equation 3, usefulness = hit.
    """
    n_items = len(train_counts_N)
    position_N = np.empty(n_items, dtype=np.int64)
    position_N[np.argsort(-train_counts_N, kind="stable")] = np.arange(n_items)
    query_H, place_H = np.nonzero(hits_QK[:, :k])
    item_H = ids_QK[query_H, place_H]
    rank_H = position_N[item_H]
    if exclude_seen:
        rank_H = rank_H - _more_popular_seen(query_H, rank_H, histories, position_N)
        # A hit that was itself seen (repeat clicks) can't be in the popular list.
        seen_H = histories.take(query_H).contains(item_H[:, None])[:, 0]
        rank_H = np.where(seen_H, n_items, rank_H)
    found_Q = np.bincount(query_H, weights=rank_H >= k, minlength=len(ids_QK))
    return np.where(n_targets_Q > 0, found_Q / k, np.nan)


def _more_popular_seen(
    query_H: np.ndarray, rank_H: np.ndarray, histories: Sequences, position_N: np.ndarray
) -> np.ndarray:
    """Return (H,) number of distinct items in each hit's history that are more popular than the hit."""
    seen = distinct(histories.take(query_H), len(position_N))
    hit_T = np.repeat(np.arange(len(query_H)), seen.lengths)
    before_T = position_N[seen.items] < rank_H[hit_T]
    return np.bincount(hit_T[before_T], minlength=len(query_H))


def _mean_over_list(ids_QK: np.ndarray, value_N: np.ndarray, k: int) -> np.ndarray:
    here_QK = ids_QK[:, :k] != ABSENT
    total_Q = np.where(here_QK, value_N[ids_QK[:, :k]], 0.0).sum(1)
    count_Q = here_QK.sum(1)
    return np.divide(total_Q, count_Q, out=np.full(len(ids_QK), np.nan), where=count_Q > 0)


def _novelty(inputs: MetricInputs) -> np.ndarray:
    return novelty(inputs.lists.ids_QK, inputs.items.train_counts, inputs.k)


def _tail_share(inputs: MetricInputs) -> np.ndarray:
    return tail_share(inputs.lists.ids_QK, inputs.items.tail(inputs.tail_share), inputs.k)


def _serendipity(inputs: MetricInputs) -> np.ndarray:
    lists, counts_N = inputs.lists, inputs.items.train_counts
    return serendipity(
        lists.ids_QK,
        lists.hits_QK,
        lists.n_targets_Q,
        lists.histories,
        counts_N,
        inputs.exclude_seen,
        inputs.k,
    )


NOVELTY = ListMetric(
    compute=_novelty,
    meaning="Mean self-information of the items, in bits; popular items carry little.",
    digits=2,
)
SERENDIPITY = ListMetric(
    compute=_serendipity, meaning="Hits that popularity alone would not have found.", digits=4
)
TAIL_SHARE = ListMetric(compute=_tail_share, meaning="Share of recommendations that go to unpopular items.")

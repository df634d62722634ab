"""Evaluation: lists for all queries, and their metrics from ranked ids and targets."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl

from crossrec.data.item_table import ItemTable
from crossrec.data.splits.base import Queries, Split
from crossrec.evaluation.bootstrap import Estimate, estimate_exposure, estimate_means
from crossrec.evaluation.config import EvaluationConfig
from crossrec.evaluation.matching import MatchedLists, match_targets
from crossrec.evaluation.metrics import AGGREGATE, PER_QUERY, missing_for
from crossrec.evaluation.metrics.base import MetricInputs
from crossrec.evaluation.metrics.exposure import UserLists
from crossrec.evaluation.results import INTERVALS_PART, Evaluation
from crossrec.evaluation.slices import UserGroups, evaluate_slice, make_slices
from crossrec.runtime import distributed
from crossrec.types import ABSENT, Recommender, Sequences, TopK
from crossrec.vectors import pad_rows

CLICKS = 4_000_000
"""Maximum number of clicks of histories in memory at a time: 64 MB with their times."""


def rank_queries(
    recommender: Recommender,
    split: Split,
    queries: Queries,
    k: int,
    exclude_seen: bool = True,
    batch: int = 65_536,
) -> TopK:
    """Rank the full catalogue for every query; each process ranks its share, all receive all lists.

    A recommender gets many histories at once, so that it can batch those of similar length; they contain at
    most ``CLICKS`` clicks (or are a single history). A recommender that counts what it shows (``in_order``)
    starts anew and gets the queries in order of time, that of the last click of their histories, on every
    process, so that a list depends on earlier queries only.

    Args:
        recommender: fitted recommender, the same on every process.
        split: split of the queries' clicks.
        queries: Q queries, the same on every process.
        k: length of the lists.
        exclude_seen: whether to exclude items of a query's history.
        batch: maximum number of queries passed at a time.

    Returns:
        (Q, k) lists in the order of the queries, the same on every process.

    Raises:
        ValueError: if the recommender's lists don't have the required shape.
    """
    if getattr(recommender, "in_order", False):
        return _rank_in_order(recommender, split, queries, k, exclude_seen, batch)
    share = distributed.shard(len(queries))
    ids, scores = _ranked(recommender, split, queries, share, k, exclude_seen, batch)
    return TopK(distributed.gather_rows(ids), distributed.gather_rows(scores))


def _rank_in_order(
    recommender: Recommender, split: Split, queries: Queries, k: int, exclude_seen: bool, batch: int
) -> TopK:
    order = np.argsort(split.request_times(queries), kind="stable")
    ordered, back = queries.take(order), np.argsort(order)
    fresh: Recommender = recommender.restarted()  # type: ignore[attr-defined]
    ids, scores = _ranked(fresh, split, ordered, slice(0, len(queries)), k, exclude_seen, batch)
    return TopK(ids[back], scores[back])


def _ranked(
    recommender: Recommender,
    split: Split,
    queries: Queries,
    share: slice,
    k: int,
    exclude_seen: bool,
    batch: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the lists and scores of a share of the queries."""
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
    return np.concatenate(ids), np.concatenate(scores)


def _blocks(lengths: np.ndarray, first: int, batch: int) -> Iterator[slice]:
    """Cut rows, numbered from ``first``, into runs of at most ``batch`` rows and ``CLICKS`` clicks."""
    clicks = np.cumsum(lengths)
    start = 0
    while start < len(lengths):
        done = clicks[start - 1] if start else 0
        fitting = int(np.searchsorted(clicks, done + CLICKS, side="right"))
        stop = min(max(fitting, start + 1), start + batch)
        yield slice(first + start, first + stop)
        start = stop


def evaluate_lists(
    lists: TopK,
    queries: Queries,
    histories: Sequences,
    items: ItemTable,
    config: EvaluationConfig,
    protocol: str = "",
) -> Evaluation:
    """Measure ranked lists.

    A per-query metric is the mean over users of each user's mean over queries, so that all users have the
    same weight; its interval resamples users. Exposure metrics are computed once from all lists.

    Args:
        lists: (Q, K) lists of the full catalogue, K at least the maximum of ``config.ks``.
        queries: Q queries.
        histories: Q rows, ``split.histories(queries)``.
        items: features of the N items.
        config: options of the evaluation.
        protocol: one-line description of the split (``split.protocol``).

    Raises:
        ValueError: if lists don't fit the queries, name unknown items or one item twice, or contain seen
            items although the configuration excludes them.
    """
    _check(lists.ids, queries, histories, items.n_items, config)
    ids_QK = lists.ids[:, : max(config.ks)]
    ranked = match_targets(ids_QK, queries.targets, histories, items.n_items)
    groups = UserGroups.of(queries.users)
    reasons = {name: missing_for(name, items) for name in config.metrics}
    left_out: dict[str, str] = {name: why for name, why in reasons.items() if why is not None}

    values_U: dict[str, np.ndarray] = {}
    exposure: dict[str, Estimate] = {}
    for k in config.ks:
        inputs = MetricInputs(ranked, items, k, config.tail_share, config.exclude_seen)
        for name in config.metrics:
            if name in PER_QUERY and name not in left_out:
                values_U[f"{name}@{k}"] = groups.mean(PER_QUERY[name](inputs))
        aggregates = [name for name in config.metrics if name in AGGREGATE]
        shown = UserLists(groups.shown(ids_QK[:, :k]), groups.counts)
        exposure |= estimate_exposure(shown, aggregates, items.n_items, k, intervals=config.n_bootstrap > 0)
    estimates = estimate_means(values_U, config.n_bootstrap, config.seed) | exposure
    names = [f"{name}@{k}" for k in config.ks for name in config.metrics if name not in left_out]
    return Evaluation(
        metrics={name: estimates[name] for name in names},
        slices={
            name: evaluate_slice(part, ids_QK, queries, histories, items.n_items, config)
            for name, part in make_slices(queries, histories, items, config).items()
        },
        per_user=pl.DataFrame({"user": groups.users, "n_queries": groups.counts, **values_U}),
        n_users=len(groups.users),
        n_queries=len(queries),
        protocol=_protocol(protocol, items.n_items, config),
        counts=_counts(ranked, queries, config),
        left_out=left_out,
    )


def _check(
    ids_QK: np.ndarray, queries: Queries, histories: Sequences, n_items: int, config: EvaluationConfig
) -> None:
    if not len(queries):
        raise ValueError("there are no queries to evaluate; does this part of the split have any users?")
    if ids_QK.ndim != 2 or not len(ids_QK) == len(histories) == len(queries):
        raise ValueError(
            f"lists of shape {ids_QK.shape} and {len(histories)} histories for {len(queries)} queries"
        )
    if ids_QK.shape[1] < max(config.ks):
        raise ValueError(
            f"the lists have {ids_QK.shape[1]} places, but ks asks for {max(config.ks)}; "
            "rank longer lists or lower evaluation.ks"
        )
    wrong = (ids_QK < ABSENT) | (ids_QK >= n_items)
    if wrong.any():
        query, place = np.argwhere(wrong)[0]
        raise ValueError(
            f"query {query} has item {ids_QK[query, place]} at rank {place + 1}; "
            f"the catalogue has items 0 to {n_items - 1}"
        )
    in_order = np.sort(ids_QK, axis=1)
    twice = (in_order[:, 1:] == in_order[:, :-1]) & (in_order[:, 1:] != ABSENT)
    if twice.any():
        query, place = np.argwhere(twice)[0]
        raise ValueError(f"query {query} has item {in_order[query, place]} more than once in its list")
    if config.exclude_seen:
        seen = histories.contains(ids_QK)
        if seen.any():
            query, place = np.argwhere(seen)[0]
            raise ValueError(
                f"{int(seen.any(1).sum())} lists contain items of their own history (first: query {query}, "
                f"item {ids_QK[query, place]}, rank {place + 1}), but evaluation.exclude_seen is true; "
                "leave seen items out when ranking, or set evaluation.exclude_seen=false"
            )


def _counts(ranked: MatchedLists, queries: Queries, config: EvaluationConfig) -> dict[str, int]:
    """Return counts that qualify the metrics' values."""
    targets_QT = pad_rows(queries.targets.items, queries.targets.lengths, ABSENT)
    seen = ranked.histories.contains(targets_QT)
    return {
        "empty_lists": int((ranked.ids_QK == ABSENT).all(1).sum()),
        "short_lists": int((ranked.ids_QK == ABSENT).any(1).sum()),
        "queries_without_target": int((ranked.n_targets_Q == 0).sum()),
        "unreachable_targets": int(seen.sum()) if config.exclude_seen else 0,
    }


def _protocol(split: str, n_items: int, config: EvaluationConfig) -> str:
    seen = "excluded" if config.exclude_seen else "allowed"
    parts = [
        *([split] if split else []),
        f"full ranking of {n_items} items",
        f"seen items {seen}",
        "mean over users of each user's mean over queries",
    ]
    if config.n_bootstrap:
        parts.append(
            f"{INTERVALS_PART}over users: bootstrap of means ({config.n_bootstrap} resamples, seed "
            f"{config.seed}), jackknife of exposure"
        )
    return "; ".join(parts)

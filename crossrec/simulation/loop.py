"""The feedback loop: recommend, observe clicks, extend the log, retrain."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch

from crossrec.baselines.popularity import Popularity
from crossrec.data.item_table import ItemTable
from crossrec.exploration.base import Explorer, Finish, LearningExplorer, PolicyLists, as_they_are
from crossrec.exploration.counter_rng import CounterRng
from crossrec.rerank.base import Pool
from crossrec.simulation.environment import Environment, Feedback
from crossrec.types import ABSENT, Recommender, Sequences, TopK


def joined(first: Sequences, second: Sequences) -> Sequences:
    """Concatenate the rows of two logs, with times if both have them."""
    offsets = np.concatenate([first.offsets, first.offsets[-1] + second.offsets[1:]]).astype(np.int64)
    items = np.concatenate([first.items, second.items])
    if first.times is None or second.times is None:
        return Sequences(offsets, items)
    return Sequences(offsets, items, np.concatenate([first.times, second.times]))


def extended(log: Sequences, users_T: np.ndarray, items_T: np.ndarray, time: int) -> Sequences:
    """Return a log with T more clicks at the ends of their users' rows.

    Args:
        log: log of U rows.
        users_T: rows of the clicks; several clicks of a user are in chronological order.
        items_T: clicked items.
        time: time of all these clicks, seconds, if the log has times.
    """
    counts_U = np.bincount(users_T, minlength=len(log))
    offsets = np.concatenate([[0], np.cumsum(log.lengths + counts_U)]).astype(np.int64)
    moved = np.repeat(offsets[:-1] - log.offsets[:-1], log.lengths) + np.arange(len(log.items))
    order = np.argsort(users_T, kind="stable")
    before = np.repeat(offsets[1:] - counts_U, counts_U)
    nth = np.arange(len(users_T)) - np.repeat(np.cumsum(counts_U) - counts_U, counts_U)
    items = np.empty(offsets[-1], dtype=np.int64)
    items[moved], items[before + nth] = log.items, items_T[order]
    if log.times is None:
        return Sequences(offsets, items)
    times = np.empty(offsets[-1], dtype=np.int64)
    times[moved], times[before + nth] = log.times, time
    return Sequences(offsets, items, times)


def filled(lists: TopK, log: Sequences, histories: Sequences, n_items: int, k: int) -> TopK:
    """Fill lists to at least k items, as far as there are items that a user has not clicked.

    Args:
        lists: (B, C) lists, some of which are short.
        log: all clicks, for popularity.
        histories: B rows of items that must not appear.
        n_items: N.
        k: required length of each list.

    Returns:
        (B, C) lists, with popular items at lower scores than all others added to short ones.
    """
    ids, scores = lists.ids.copy(), lists.scores.copy()
    short_B = np.flatnonzero((ids[:, :k] == ABSENT).any(1))
    kept = histories.take(short_B)
    width = min(2 * k, n_items)
    popular_BP = (
        Popularity.Options()
        .build(ItemTable.of_size(n_items))
        .fit(log)
        .recommend(kept, width, exclude=kept)
        .ids
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


Refit = Callable[[Sequences], Recommender]
"""Function from all clicks so far, one row per user, to a recommender refitted or updated on them."""
LAST_SECOND = 86_400
"""Seconds from the log's last click to the first round's clicks, and from each round's to the next's."""


@dataclass(frozen=True)
class Policy:
    """Policy that makes lists.

    Args:
        refit: function that retrains the recommender.
        finish: reranking; None for the recommender's own order.
        explorer: explorer that draws lists; None to show the best.
        every: rounds from one retraining to the next; the first is before the first round.
        candidates: C, size of the pools.
    """

    refit: Refit
    finish: Finish | None = None
    explorer: Explorer | None = None
    every: int = 1
    candidates: int = 100


@dataclass(frozen=True)
class Round:
    """Record of one round.

    Args:
        number: number of the round, from 0.
        users_B: visitors.
        shown: their lists, with probabilities.
        feedback: their responses.
        left: share of all users who have left for good by the end of the round.
        log: all clicks at the end of the round.
    """

    number: int
    users_B: np.ndarray
    shown: PolicyLists
    feedback: Feedback
    left: float
    log: Sequences

    @property
    def ids_BK(self) -> np.ndarray:
        """(B, K) shown items."""
        return np.asarray(self.shown.pool.ids_BC.cpu().numpy())


def run_loop(
    environment: Environment, policy: Policy, log: Sequences, rounds: int, k: int
) -> Iterator[Round]:
    """Run a loop from its start; the environment is reset first.

    Clicked items are not shown again. Short lists are filled with popular items.

    Args:
        environment: simulated users.
        policy: policy that makes the lists.
        log: clicks from which the recommender starts, one row per user of the environment.
        rounds: number of rounds.
        k: length of the lists.

    Yields:
        The rounds in order.
    """
    if len(log) != environment.tastes.n_users:
        raise ValueError(f"a log of {len(log)} users for an environment of {environment.tastes.n_users}")
    visitors_B = environment.reset()
    start = 0 if log.times is None else int(np.max(log.times, initial=0)) + LAST_SECOND
    recommender: Recommender | None = None
    for number in range(rounds):
        if recommender is None or number % policy.every == 0:
            recommender = policy.refit(log)
            if isinstance(policy.explorer, LearningExplorer):
                policy.explorer.attach(recommender)
        draws = CounterRng(environment.seed, number)
        shown = _lists(recommender, policy, log, visitors_B, k, draws)
        ids_BK = shown.pool.ids_BC.cpu().numpy()
        feedback = environment.answer(visitors_B, ids_BK)
        if isinstance(policy.explorer, LearningExplorer):
            policy.explorer.learn(shown.pool, feedback.clicked_BK)
        rows_T, places_T = np.nonzero(feedback.clicked_BK)
        time = start + round(number * environment.config.visit.days * LAST_SECOND)
        log = extended(log, visitors_B[rows_T], ids_BK[rows_T, places_T], time)
        left = float(environment.population.left_U.mean())
        yield Round(number, visitors_B, shown, feedback, left, log)
        visitors_B = environment.advance()


def _lists(
    recommender: Recommender, policy: Policy, log: Sequences, users_B: np.ndarray, k: int, draws: CounterRng
) -> PolicyLists:
    histories = log.take(users_B)
    width = min(max(policy.candidates, k), recommender.n_items)
    found = recommender.recommend(histories, width, exclude=histories)
    if (found.ids[:, :k] == ABSENT).any():
        found = filled(found, log, histories, recommender.n_items, k)
    pool = Pool(torch.from_numpy(found.ids), torch.from_numpy(found.scores), histories)
    if policy.explorer is None:
        return PolicyLists.certain((policy.finish or as_they_are)(pool, k))
    return policy.explorer.choose(pool, users_B, k, draws, policy.finish)

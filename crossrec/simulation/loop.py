"""The feedback loop: recommend to who comes, let them answer, learn from it, and again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from crossrec.exploration.base import Explorer, Finish, LearningExplorer, PolicyLists, as_they_are
from crossrec.exploration.counter_rng import CounterRng
from crossrec.rerank.base import Pool
from crossrec.simulation.environment import Environment, Feedback
from crossrec.simulation.log import extended
from crossrec.simulation.popular_fill import filled
from crossrec.types import ABSENT, Recommender, Sequences

if TYPE_CHECKING:
    from collections.abc import Sequence

    from crossrec.rerank.base import Reranker

Refit = Callable[[Sequences], Recommender]
"""All clicks so far, one row a user -> a recommender that has learned from them, anew or further."""

LAST_SECOND = 86_400
"""A round's clicks come this many seconds after the log's last one, a round apart from each other."""


@dataclass(frozen=True)
class Policy:
    """How lists are made.

    Args:
        refit: retrains.
        finish: reranks; None for the recommender's own order.
        explorer: draws lists; None to show the best.
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
    """What happened in one round.

    Args:
        number: from 0.
        users_B: who came.
        shown: what they saw, with its chances.
        feedback: what they did.
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
        """(B, K) what was shown."""
        return np.asarray(self.shown.pool.ids_BC.cpu().numpy())


def run_loop(
    environment: Environment, policy: Policy, log: Sequences, rounds: int, k: int
) -> Iterator[Round]:
    """Runs a loop from its start; the environment is reset first.

    Nothing that was clicked before is shown again. A recommender that runs out of items is helped out with
    popular ones.

    Args:
        environment: the users.
        policy: makes the lists.
        log: U rows, the clicks that the recommender may know at the start, one row a user of the environment.
        rounds: how many.
        k: length of the lists.

    Yields:
        One round after the other.
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


def reranking(stages: Sequence[Reranker]) -> Finish:
    """A chain of rerankers as what finishes a pool; all but the last order the whole pool."""

    def finish(pool: Pool, k: int) -> Pool:
        for number, stage in enumerate(stages):
            pool = stage.rerank(pool, k if number == len(stages) - 1 else pool.ids_BC.shape[1])
        return pool

    return finish


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

"""Base of explorers: from a pool of candidates to lists with known probabilities."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from crossrec.config import Component
from crossrec.exploration.counter_rng import CounterRng
from crossrec.rerank.base import BATCH, Pool, Reranker, keeps_account, reranking
from crossrec.types import ABSENT, InputError, Recommender, Sequences, TopK

Finish = Callable[[Pool, int], Pool]
"""Orders the first k of a scored pool: a chain of rerankers, or :func:`as_they_are`."""


@dataclass(frozen=True)
class PolicyLists:
    """Lists that a policy drew, with their probabilities, given each user's pool.

    Absent places have probability 1.

    Args:
        pool: (B, K) shown items, best first.
        inclusion_BK: (B, K) float64, probability that the item is anywhere in the list; None if unknown.
        placement_BK: (B, K) float64, probability that the item is at this very place; None if unknown.
        log_list_B: (B,) float64, natural logarithm of the probability of the whole list; None if unknown.
    """

    pool: Pool
    inclusion_BK: np.ndarray | None
    placement_BK: np.ndarray | None
    log_list_B: np.ndarray | None

    @classmethod
    def certain(cls, pool: Pool) -> PolicyLists:
        """Return lists without randomness, whose probabilities are 1."""
        ones_BK = np.ones(pool.ids_BC.shape)
        return cls(pool, ones_BK, ones_BK, np.zeros(len(pool)))


@dataclass(frozen=True)
class ExploredLists:
    """Lists drawn for B users, with their probabilities; 1 at empty places.

    Args:
        lists: (B, k), ``ABSENT`` at the end of shorter rows.
        placement_BK: (B, k) float64, probability of each item at its rank; NaN if unknown.
        inclusion_BK: (B, k) float64, probability of each item anywhere in the list; NaN if unknown.
    """

    lists: TopK
    placement_BK: np.ndarray
    inclusion_BK: np.ndarray


class Explorer(Component):
    """Base of explorers, which draw lists from pools.

    All random numbers depend on user and item: neither the batch nor the order of users matters. Members are
    built from their options and the features of a catalogue's items.
    """

    def choose(
        self, pool: Pool, users_B: np.ndarray, k: int, rng: CounterRng, finish: Finish | None = None
    ) -> PolicyLists:
        """Return lists of at most k of a pool's candidates.

        Args:
            pool: (B, C).
            users_B: (B,) numbers of the users, for random numbers.
            k: length of the lists.
            rng: random numbers of this round.
            finish: order of the list; the pool's order if None.
        """
        raise NotImplementedError("an explorer implements choose()")

    def attach(self, recommender: Recommender) -> None:
        """Set the recommender of the candidates, which explorers without a model of clicks don't use."""

    def explore_lists(
        self,
        candidates: TopK,
        histories: Sequences,
        users_B: np.ndarray,
        k: int,
        *,
        seed: int = 0,
        stages: Sequence[Reranker] = (),
        device: torch.device | str = "cpu",
    ) -> ExploredLists:
        """Draw lists from given candidates.

        Args:
            candidates: (B, C) best first.
            histories: B rows.
            users_B: (B,) numbers of the users, for random numbers.
            k: length of the lists.
            seed: seed of the random numbers.
            stages: rerankers of the candidates, in order.
            device: device of the work.

        Raises:
            InputError: if a reranker keeps an account of the lists that it shows.
        """
        if keeps_account(stages):
            raise InputError(
                "explore: the last reranker counts the lists that it shows (quota), but the explorer draws "
                "others; leave out one of them"
            )
        shape = (len(candidates), k)
        ids, scores = np.full(shape, ABSENT, np.int64), np.full(shape, -np.inf, np.float32)
        placement_BK, inclusion_BK = np.ones(shape), np.ones(shape)
        finish = reranking(stages) if stages else None
        for start in range(0, len(candidates), BATCH):
            rows = np.arange(start, min(start + BATCH, len(candidates)))
            pool = Pool(
                torch.from_numpy(candidates.ids[rows]).to(device),
                torch.from_numpy(candidates.scores[rows]).to(device),
                histories.take(rows),
            )
            drawn = self.choose(pool, users_B[rows], k, CounterRng(seed, 0), finish)
            width = drawn.pool.ids_BC.shape[1]
            ids[rows, :width] = drawn.pool.ids_BC.cpu().numpy()
            scores[rows, :width] = drawn.pool.scores_BC.cpu().numpy()
            placement_BK[rows, :width] = np.nan if drawn.placement_BK is None else drawn.placement_BK
            inclusion_BK[rows, :width] = np.nan if drawn.inclusion_BK is None else drawn.inclusion_BK
        return ExploredLists(TopK(ids, scores), placement_BK, inclusion_BK)


class LearningExplorer(Explorer):
    """Base of explorers that learn from clicks."""

    def attach(self, recommender: Recommender) -> None:
        """Set the recommender of the candidates; called again after each retraining.

        Raises:
            InputError: if the recommender lacks what the explorer needs.
        """
        raise NotImplementedError("a learning explorer implements attach()")

    def learn(self, shown: Pool, clicked_BK: np.ndarray) -> None:
        """Learn from the clicks on lists.

        Args:
            shown: (B, K), with the histories that the lists were made for.
            clicked_BK: (B, K) bool, true for clicked items.
        """
        raise NotImplementedError("a learning explorer implements learn()")


def as_they_are(pool: Pool, k: int) -> Pool:
    """Return the first k in the pool's order."""
    return pool.head(k)

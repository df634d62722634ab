"""Base of explorers: from a pool of candidates to lists with known probabilities."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from crossrec.config import Component
from crossrec.exploration.counter_rng import CounterRng
from crossrec.rerank.base import Pool
from crossrec.types import Recommender

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

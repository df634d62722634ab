"""What all ways to explore share: from a pool of candidates to lists whose chances are known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from torch import Tensor

from crossrec.exploration.draws import Draws
from crossrec.rerank.base import Pool
from crossrec.types import Recommender, Sequences

Finish = Callable[[Pool, int], Pool]
"""Orders the first k of a scored pool: a chain of rerankers, or :func:`as_they_are`."""


@dataclass(frozen=True)
class Shown:
    """Lists that a policy drew, and how likely it was to draw them, given each user's pool.

    Args:
        pool: (B, K) what is shown, best first.
        inclusion_BK: (B, K) float64, chance that the item is anywhere in the list; None where not known.
        placement_BK: (B, K) float64, chance that the item stands at just this place; None where not known.
        log_list_B: (B,) float64, natural logarithm of the chance of the whole list; None where not known.

    What is shown in an absent place has the chance 1.
    """

    pool: Pool
    inclusion_BK: np.ndarray | None
    placement_BK: np.ndarray | None
    log_list_B: np.ndarray | None

    @classmethod
    def certain(cls, pool: Pool) -> Shown:
        """Lists that nothing was drawn for."""
        ones_BK = np.ones(pool.ids_BC.shape)
        return cls(pool, ones_BK, ones_BK, np.zeros(len(pool)))


class Explorer(Protocol):
    """Draws lists from pools.

    All randomness comes from the draws, by user and item: neither the batch nor the order of users matters.
    """

    def choose(
        self, pool: Pool, users_B: np.ndarray, k: int, draws: Draws, finish: Finish | None = None
    ) -> Shown:
        """Lists of at most k of a pool's candidates.

        Args:
            pool: (B, C).
            users_B: (B,) numbers of the users, for the draws.
            k: length of the lists.
            draws: of this round.
            finish: reranks; the pool's order when None.
        """
        ...


@runtime_checkable
class LearningExplorer(Explorer, Protocol):
    """An explorer that learns from what is clicked."""

    def attach(self, recommender: Recommender) -> None:
        """Takes the recommender whose candidates it will see, again whenever that has been retrained.

        Raises:
            InputError: the recommender has not what the explorer works on.
        """
        ...

    def learn(self, shown: Pool, clicked_BK: np.ndarray) -> None:
        """Learns from answered lists.

        Args:
            shown: (B, K), with the histories that the lists were made for.
            clicked_BK: (B, K) bool.
        """
        ...


@runtime_checkable
class VectorRecommender(Recommender, Protocol):
    """A recommender whose score is the dot product of a query with an item's vector."""

    def item_vectors(self) -> Tensor:
        """(N, D) float32."""
        ...

    def queries(self, histories: Sequences) -> Tensor:
        """(B, D) float32."""
        ...


def as_they_are(pool: Pool, k: int) -> Pool:
    """The first k in the pool's order."""
    return pool.head(k)

"""Epsilon-greedy exploration: some places of the list go to random candidates."""

from __future__ import annotations

import numpy as np
import torch
from pydantic import Field

from crossrec.config import ComponentOptions
from crossrec.data.item_table import ItemTable
from crossrec.exploration.base import Explorer, Finish, PolicyLists, as_they_are
from crossrec.exploration.counter_rng import CounterRng, Stream
from crossrec.rerank.base import Pool
from crossrec.types import ABSENT


class EpsilonGreedy(Explorer):
    """Epsilon-greedy: each place of the greedy list goes, independently with probability epsilon, to a
    candidate outside that list.

    Candidates from outside are drawn uniformly without replacement. Of C candidates, C - k are outside the
    list: the greedy item keeps its place with probability 1 - epsilon, each other candidate is at any one
    place with epsilon / (C - k), exactly. A row with fewer than 2 k candidates keeps its greedy list.

    The source draws one arm of a bandit; here every place draws, and never an item that is greedy
    elsewhere in the list, so that no item appears twice and the probabilities have a closed form.

    Source:
        Sutton, Barto: Reinforcement learning (2nd edition, 2018), section 2.2.

    Args:
        options: epsilon.
        items: not used.
    """

    class Options(ComponentOptions):
        """Epsilon-greedy exploration: some places of the list go to random candidates.

        Args:
            epsilon: probability of each place to do so.
        """

        epsilon: float = Field(default=0.1, ge=0, le=1)

    def __init__(self, options: Options, items: ItemTable) -> None:
        self._epsilon = options.epsilon

    def choose(
        self, pool: Pool, users_B: np.ndarray, k: int, rng: CounterRng, finish: Finish | None = None
    ) -> PolicyLists:
        """Return greedy lists with some random places; see :class:`crossrec.exploration.base.Explorer`."""
        ids_BC = pool.ids_BC.cpu().numpy()
        greedy = (finish or as_they_are)(pool, k)
        greedy_BK = greedy.ids_BC.cpu().numpy()
        width = greedy_BK.shape[1]
        outside_BC = (ids_BC != ABSENT) & ~(ids_BC[:, :, None] == greedy_BK[:, None, :]).any(2)
        n_outside_B = outside_BC.sum(1)
        open_B = (n_outside_B >= width) & (greedy_BK != ABSENT).all(1)
        turn_BK = rng.uniform(Stream.EXPLORE, users_B, np.arange(width)) < self._epsilon
        turn_BK &= open_B[:, None]
        noise_BC = np.where(outside_BC, rng.uniform(Stream.EXPLORE_ITEM, users_B, ids_BC), np.inf)
        drawn_BK = np.argsort(noise_BC, axis=1, kind="stable")[:, :width]
        nth_BK = np.clip(turn_BK.cumsum(1) - 1, 0, drawn_BK.shape[1] - 1)
        newcomer_BK = np.take_along_axis(ids_BC, np.take_along_axis(drawn_BK, nth_BK, 1), 1)
        shown_BK = np.where(turn_BK, newcomer_BK, greedy_BK)
        return self._shown(pool, shown_BK, turn_BK, open_B, n_outside_B)

    def _shown(
        self, pool: Pool, ids_BK: np.ndarray, turn_BK: np.ndarray, open_B: np.ndarray, n_outside_B: np.ndarray
    ) -> PolicyLists:
        width = ids_BK.shape[1]
        epsilon_B1 = np.where(open_B, self._epsilon, 0.0)[:, None]
        outside_B1 = np.maximum(n_outside_B, 1)[:, None]
        placement_BK = np.where(turn_BK, epsilon_B1 / outside_B1, 1 - epsilon_B1)
        inclusion_BK = np.where(turn_BK, width * epsilon_B1 / outside_B1, 1 - epsilon_B1)
        # The n-th random item is drawn from those that the earlier ones left.
        left_BK = np.maximum(outside_B1 - np.maximum(turn_BK.cumsum(1) - 1, 0), 1)
        chance_BK = np.where(turn_BK, epsilon_B1 / left_BK, 1 - epsilon_B1)
        log_list_B = np.log(np.maximum(chance_BK, np.finfo(float).tiny)).sum(1)
        return PolicyLists(pick_ids(pool, ids_BK), inclusion_BK, placement_BK, log_list_B)


def pick_ids(pool: Pool, ids_BK: np.ndarray) -> Pool:
    """Return the candidates with these ids, in this order.

    Args:
        pool: (B, C), which contains them.
        ids_BK: (B, K), ``ABSENT`` at the end of shorter lists.
    """
    ids = torch.from_numpy(np.ascontiguousarray(ids_BK)).to(pool.ids_BC.device)
    columns_BK = (pool.ids_BC[:, None, :] == ids[:, :, None]).int().argmax(2)
    return pool.pick(columns_BK.masked_fill(ids == ABSENT, ABSENT))

"""Epsilon-greedy: now and then a place of the list goes to a random candidate."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from crossrec.exploration.base import Finish, Shown, as_they_are
from crossrec.exploration.draws import Draws, Stream
from crossrec.rerank.base import Pool
from crossrec.types import ABSENT

if TYPE_CHECKING:
    from crossrec.exploration.config import EpsilonGreedyConfig


class EpsilonGreedy:
    """Each place of the greedy list, by itself with probability epsilon, goes to a candidate outside that
    list.

    Those who come in are drawn evenly and without replacement. Of C candidates, C - k are outside the list:
    the greedy item stands at its place with probability 1 - epsilon, each other candidate at any one place
    with epsilon / (C - k), exactly. A row with fewer than 2 k candidates is shown as it is.

    The source draws one arm of a bandit; here every place does, and never one that is greedy elsewhere in the
    list, so that no item can stand twice and the chances have a closed form.

    Source:
        Sutton, Barto: Reinforcement learning (2nd edition, 2018), section 2.2.

    Args:
        config: epsilon.
    """

    def __init__(self, config: EpsilonGreedyConfig) -> None:
        self._epsilon = config.epsilon

    def choose(
        self, pool: Pool, users_B: np.ndarray, k: int, draws: Draws, finish: Finish | None = None
    ) -> Shown:
        """Greedy lists in which some places are drawn; see :class:`crossrec.exploration.base.Explorer`."""
        ids_BC = pool.ids_BC.cpu().numpy()
        greedy = (finish or as_they_are)(pool, k)
        greedy_BK = greedy.ids_BC.cpu().numpy()
        width = greedy_BK.shape[1]
        outside_BC = (ids_BC != ABSENT) & ~(ids_BC[:, :, None] == greedy_BK[:, None, :]).any(2)
        n_outside_B = outside_BC.sum(1)
        open_B = (n_outside_B >= width) & (greedy_BK != ABSENT).all(1)
        turn_BK = draws.uniform(Stream.EXPLORE, users_B, np.arange(width)) < self._epsilon
        turn_BK &= open_B[:, None]
        noise_BC = np.where(outside_BC, draws.uniform(Stream.EXPLORE_ITEM, users_B, ids_BC), np.inf)
        drawn_BK = np.argsort(noise_BC, axis=1, kind="stable")[:, :width]
        nth_BK = np.clip(turn_BK.cumsum(1) - 1, 0, drawn_BK.shape[1] - 1)
        newcomer_BK = np.take_along_axis(ids_BC, np.take_along_axis(drawn_BK, nth_BK, 1), 1)
        shown_BK = np.where(turn_BK, newcomer_BK, greedy_BK)
        return self._shown(pool, shown_BK, turn_BK, open_B, n_outside_B)

    def _shown(
        self, pool: Pool, ids_BK: np.ndarray, turn_BK: np.ndarray, open_B: np.ndarray, n_outside_B: np.ndarray
    ) -> Shown:
        width = ids_BK.shape[1]
        epsilon_B1 = np.where(open_B, self._epsilon, 0.0)[:, None]
        outside_B1 = np.maximum(n_outside_B, 1)[:, None]
        placement_BK = np.where(turn_BK, epsilon_B1 / outside_B1, 1 - epsilon_B1)
        inclusion_BK = np.where(turn_BK, width * epsilon_B1 / outside_B1, 1 - epsilon_B1)
        # The n-th newcomer is drawn from those that the ones before it left.
        left_BK = np.maximum(outside_B1 - np.maximum(turn_BK.cumsum(1) - 1, 0), 1)
        chance_BK = np.where(turn_BK, epsilon_B1 / left_BK, 1 - epsilon_B1)
        log_list_B = np.log(np.maximum(chance_BK, np.finfo(float).tiny)).sum(1)
        return Shown(pick_ids(pool, ids_BK), inclusion_BK, placement_BK, log_list_B)


def pick_ids(pool: Pool, ids_BK: np.ndarray) -> Pool:
    """The candidates with these ids, in this order.

    Args:
        pool: (B, C), which holds them.
        ids_BK: (B, K), ``ABSENT`` where a list runs out.
    """
    ids = torch.from_numpy(np.ascontiguousarray(ids_BK)).to(pool.ids_BC.device)
    columns_BK = (pool.ids_BC[:, None, :] == ids[:, :, None]).int().argmax(2)
    return pool.pick(columns_BK.masked_fill(ids == ABSENT, ABSENT))

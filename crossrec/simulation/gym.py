"""The environment behind Gymnasium's interface: one episode is one simulation of all users."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from crossrec.simulation.environment import Environment, Feedback
from crossrec.types import ABSENT


class SimulatedShop(gymnasium.Env[dict[str, Any], np.ndarray]):
    """A step shows every user a list; lists of those who don't come are ignored.

    Observations are what a shop knows: ``visitors`` (U,) 1 for who comes in this round, ``recent`` (U, H) the
    last items that each user clicked, oldest first, N in empty places, and ``round`` (1,). Actions are (U, K)
    items, 0 to N - 1. The reward is the number of clicks plus ``purchase_reward`` times that of purchases. An
    episode is terminated when all users have left for good, and truncated after ``rounds``. The info of a
    step has the simulated feedback of the visitors.

    Needs ``gymnasium`` (``pip install crossrec[simulation]``).

    Args:
        environment: the users.
        rounds: of an episode.
        k: length of the lists.
        remembered: H.
        purchase_reward: of one purchase, beyond its click.
    """

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012  # as gymnasium declares it

    def __init__(
        self,
        environment: Environment,
        *,
        rounds: int = 20,
        k: int = 10,
        remembered: int = 10,
        purchase_reward: float = 0.0,
    ) -> None:
        self._environment, self._rounds, self._k = environment, rounds, k
        self._remembered, self._purchase_reward = remembered, purchase_reward
        n_users, n_items = environment.tastes.n_users, environment.tastes.n_items
        self.action_space = spaces.Box(0, n_items - 1, (n_users, k), np.int64)
        self.observation_space = spaces.Dict(
            {
                "visitors": spaces.Box(0, 1, (n_users,), np.int8),
                "recent": spaces.Box(0, n_items, (n_users, remembered), np.int64),
                "round": spaces.Box(0, rounds, (1,), np.int64),
            }
        )
        self._recent_UH = np.zeros((n_users, remembered), np.int64)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """The first round. A seed other than None becomes that of the users' luck."""
        super().reset(seed=seed)
        if seed is not None:
            self._environment.seed = seed
        self._environment.reset()
        self._recent_UH[:] = self._environment.tastes.n_items
        return self._observation(), {}

    def step(self, action: np.ndarray) -> tuple[dict[str, np.ndarray], float, bool, bool, dict[str, Any]]:
        """Shows the lists and goes on to the next round. A repeated item in a list is shown once."""
        users_B = self._environment.visitors()
        lists_BK = _without_repeats(np.asarray(action, np.int64)[users_B])
        feedback = self._environment.answer(users_B, lists_BK)
        self._remember(users_B, lists_BK, feedback)
        self._environment.advance()
        clicks, purchases = int(feedback.clicked_BK.sum()), int(feedback.bought_BK.sum())
        over = bool(self._environment.population.left_U.all())
        late = self._environment.round_number >= self._rounds
        info = {
            "simulated": True,
            "users": users_B,
            "clicked": feedback.clicked_BK,
            "bought": feedback.bought_BK,
        }
        return self._observation(), clicks + self._purchase_reward * purchases, over, late, info

    def _remember(self, users_B: np.ndarray, lists_BK: np.ndarray, feedback: Feedback) -> None:
        """What was clicked comes last, in the order of the list; stable sorting drops as many old ones."""
        none = self._environment.tastes.n_items
        clicked_BK = np.where(feedback.clicked_BK, lists_BK, none)
        both = np.concatenate([self._recent_UH[users_B], clicked_BK], axis=1)
        order = np.argsort(both != none, axis=1, kind="stable")[:, -self._remembered :]
        recent = np.take_along_axis(both, order, 1)
        front = np.argsort(recent == none, axis=1, kind="stable")
        self._recent_UH[users_B] = np.take_along_axis(recent, front, 1)

    def _observation(self) -> dict[str, np.ndarray]:
        visitors_U = np.zeros(self._environment.tastes.n_users, np.int8)
        visitors_U[self._environment.visitors()] = 1
        number = np.asarray([self._environment.round_number], np.int64)
        return {"visitors": visitors_U, "recent": self._recent_UH.copy(), "round": number}


def _without_repeats(ids_BK: np.ndarray) -> np.ndarray:
    """The lists with later copies of an item left out, short ones filled with ``ABSENT``."""
    repeated_BK = (np.tril(ids_BK[:, :, None] == ids_BK[:, None, :], k=-1)).any(2)
    order_BK = np.argsort(repeated_BK, axis=1, kind="stable")
    return np.take_along_axis(np.where(repeated_BK, ABSENT, ids_BK), order_BK, 1)

"""What changes in simulated users: tastes, satiation, boredom, what they own, whether they have left."""

from __future__ import annotations

import numpy as np

from crossrec.exploration.counter_rng import CounterRng, Stream
from crossrec.simulation.config import DriftConfig
from crossrec.simulation.tastes import TasteModel
from crossrec.types import Sequences


class Population:
    """The state of U users as arrays.

    Args:
        tastes: of the users at the start.
        owned: U rows of items that were clicked before, which nobody clicks again.

    Attributes:
        tastes_UD: float32, tastes as they are now.
        had_UG: float32, what each user has had of each category lately.
        shown_UG: float32, share of each category among what was shown lately; a row sums to 1 at most.
        bought_UG: float32, categories of the last click if it was a purchase, else 0.
        boredom_U: float64, from 0 to 1.
        left_U: bool.
    """

    def __init__(self, tastes: TasteModel, owned: Sequences) -> None:
        n_users, n_categories = tastes.n_users, tastes.categories_NG.shape[1]
        self._home_UD = tastes.tastes_UD.astype(np.float32)
        self._away_UD = np.zeros_like(self._home_UD)
        self._scale_D = tastes.drift_scale_D
        self.tastes_UD = self._home_UD.copy()
        self.had_UG = np.zeros((n_users, n_categories), np.float32)
        self.shown_UG = np.zeros((n_users, n_categories), np.float32)
        self.bought_UG = np.zeros((n_users, n_categories), np.float32)
        self.boredom_U = np.zeros(n_users)
        self.left_U = np.zeros(n_users, dtype=bool)
        # One bit a user and item: 22,000 users of 12,000 items take 33 MB.
        self._owned_UB = np.zeros((n_users, -(-tastes.n_items // 8)), np.uint8)
        self.own(np.repeat(np.arange(n_users), owned.lengths), owned.items)

    def own(self, users_T: np.ndarray, items_T: np.ndarray) -> None:
        """Users (T,) have clicked items (T,)."""
        bits_T = np.left_shift(1, items_T & 7).astype(np.uint8)
        np.bitwise_or.at(self._owned_UB, (users_T, items_T >> 3), bits_T)

    def owns(self, users_B: np.ndarray, ids_BK: np.ndarray) -> np.ndarray:
        """(B, K) bool, whether each user has clicked the items beside it."""
        bytes_BK = self._owned_UB[users_B[:, None], ids_BK >> 3]
        return ((bytes_BK >> (ids_BK & 7).astype(np.uint8)) & 1).astype(bool)

    def drift(self, config: DriftConfig, draws: CounterRng) -> None:
        """Tastes wander by one round: AR(1) around where each user is at home."""
        if config.share == 0:
            return
        users, width = np.arange(len(self.left_U)), np.arange(len(self._scale_D))
        step_UD = draws.normal(Stream.DRIFT, users, width) * self._scale_D * np.sqrt(config.share)
        self._away_UD *= np.float32(config.memory)
        self._away_UD += (np.sqrt(1 - config.memory**2) * step_UD).astype(np.float32)
        self.tastes_UD = self._home_UD + self._away_UD

    def reinforce(self, users_B: np.ndarray, toward_BD: np.ndarray) -> None:
        """Moves the tastes of distinct users for good."""
        self._home_UD[users_B] += toward_BD.astype(np.float32)
        self.tastes_UD[users_B] += toward_BD.astype(np.float32)

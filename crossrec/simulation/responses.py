"""How users respond to lists, and what that does to them."""

from __future__ import annotations

import numpy as np

from crossrec.simulation.config import ClickConfig, EnvironmentConfig
from crossrec.simulation.population import Population
from crossrec.simulation.tastes import TasteModel
from crossrec.types import ABSENT


class Responses:
    """B users before their lists.

    Args:
        tastes: of all users, at the start.
        config: how users behave.
        people: as they are now.
        users_B: who is here, each once.
        ids_BK: what they see.
    """

    def __init__(
        self,
        tastes: TasteModel,
        config: EnvironmentConfig,
        people: Population,
        users_B: np.ndarray,
        ids_BK: np.ndarray,
    ) -> None:
        self._tastes, self._config, self._people = tastes, config, people
        self._users_B = users_B
        self._there_BK = ids_BK != ABSENT
        self._ids_BK = np.where(self._there_BK, ids_BK, 0)
        self._features_BKD = tastes.features_ND[self._ids_BK]
        self._categories_BKG = tastes.categories_NG[self._ids_BK] * self._there_BK[:, :, None]
        self._affinity_BK = np.einsum(
            "bd,bkd->bk", people.tastes_UD[users_B], self._features_BKD, dtype=np.float64
        )

    def utility(self, day: float) -> np.ndarray:
        """(B, K) utility of each item as it stands in its list today."""
        satiation, people = self._config.satiation, self._people
        after_BG = people.bought_UG[self._users_B] @ self._tastes.after_purchase_GG
        tired_BG = satiation.strength * people.had_UG[self._users_B]
        by_category_BK = np.einsum("bkg,bg->bk", self._categories_BKG, after_BG - tired_BG)
        above_BKG = self._categories_BKG.cumsum(1) - self._categories_BKG
        repeated_BK = satiation.within_list * (above_BKG * self._categories_BKG).sum(2)
        bored_B1 = self._config.boredom.weight * people.boredom_U[self._users_B, None]
        offset_BK = self._tastes.offsets(day)[self._ids_BK]
        return self._affinity_BK + offset_BK + by_category_BK - repeated_BK - bored_B1

    def attraction(self, outside_B: np.ndarray, day: float) -> np.ndarray:
        """(B, K) chance of a click on what is looked at; 0 for what the user has clicked before."""
        worth_BK = self.utility(day) - outside_B[:, None]
        chance_BK = _logistic(self._config.click.sharpness * worth_BK)
        owned_BK = self._people.owns(self._users_B, self._ids_BK)
        return np.where(self._there_BK & ~owned_BK, chance_BK, 0.0)

    def purchase(self) -> np.ndarray:
        """(B, K) chance that a click is a purchase."""
        bias, slope = self._tastes.purchase
        config = self._config.purchase
        bias = bias if config.bias is None else config.bias
        slope = slope if config.slope is None else config.slope
        return _logistic(bias + slope * self._affinity_BK)

    def apply(self, clicked_BK: np.ndarray, bought_BK: np.ndarray, seen_BK: np.ndarray) -> None:
        """Changes the users by what they did."""
        people, users_B = self._people, self._users_B
        rows_T, places_T = np.nonzero(clicked_BK)
        people.own(users_B[rows_T], self._ids_BK[rows_T, places_T])
        counts_BK = clicked_BK + self._config.satiation.per_look * (seen_BK & ~clicked_BK)
        people.had_UG[users_B] += np.einsum("bk,bkg->bg", counts_BK, self._categories_BKG).astype(np.float32)
        self._remember_purchase(clicked_BK, bought_BK)
        self._bore(clicked_BK)
        if self._config.drift.reinforcement:
            liked_BD = np.einsum("bk,bkd->bd", clicked_BK.astype(np.float32), self._features_BKD)
            people.reinforce(users_B, self._config.drift.reinforcement * liked_BD)

    def _remember_purchase(self, clicked_BK: np.ndarray, bought_BK: np.ndarray) -> None:
        """What counts is the last click; without any, that of an earlier visit."""
        last_B = clicked_BK.shape[1] - 1 - clicked_BK[:, ::-1].argmax(1)
        rows_B = np.arange(len(last_B))
        category_BG = self._categories_BKG[rows_B, last_B] * bought_BK[rows_B, last_B][:, None]
        anything_B = clicked_BK.any(1)
        self._people.bought_UG[self._users_B[anything_B]] = category_BG[anything_B]

    def _bore(self, clicked_BK: np.ndarray) -> None:
        boredom, people, users_B = self._config.boredom, self._people, self._users_B
        list_BG = self._categories_BKG.sum(1)
        list_BG = list_BG / np.maximum(list_BG.sum(1, keepdims=True), 1e-12)
        before_BG = people.shown_UG[users_B]
        overlap_B = np.minimum(list_BG, before_BG).sum(1)
        dull_B = boredom.sameness * overlap_B + (1 - boredom.sameness) * ~clicked_BK.any(1)
        people.boredom_U[users_B] = boredom.memory * people.boredom_U[users_B] + (1 - boredom.memory) * dull_B
        people.shown_UG[users_B] = boredom.list_memory * before_BG + (1 - boredom.list_memory) * list_BG


def examination(config: ClickConfig, k: int) -> np.ndarray:
    """(K,) chance that each place is looked at under the position-based model: place ** -position_bias."""
    return np.arange(1, k + 1) ** -config.position_bias


def examined(config: ClickConfig, uniform_BK: np.ndarray, wants_BK: np.ndarray) -> np.ndarray:
    """(B, K) bool, which places are looked at.

    Args:
        config: of clicks.
        uniform_BK: uniform numbers.
        wants_BK: whether the user would click each item if it were looked at.
    """
    if config.model == "position":
        return uniform_BK < examination(config, uniform_BK.shape[1])
    goes_on_BK = uniform_BK < np.where(wants_BK, config.go_on_clicked, config.go_on)
    first_B1 = np.ones((len(uniform_BK), 1), dtype=bool)
    return np.concatenate([first_B1, np.logical_and.accumulate(goes_on_BK, axis=1)[:, :-1]], axis=1)


def _logistic(values: np.ndarray) -> np.ndarray:
    from scipy.special import expit

    return np.asarray(expit(values))

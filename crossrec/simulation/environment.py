"""Environment of simulated users, who see lists, click, buy, get bored, return or leave."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crossrec.exploration.counter_rng import CounterRng, Stream
from crossrec.simulation.config import ClickConfig, DriftConfig, EnvironmentConfig
from crossrec.simulation.tastes import TasteModel
from crossrec.types import ABSENT, Sequences


class Population:
    """State of U users as arrays.

    Args:
        tastes: tastes of the users at the start.
        owned: U rows of items clicked before, which are not clicked again.

    Attributes:
        tastes_UD: float32, current tastes.
        had_UG: float32, each user's current satiation by category.
        shown_UG: float32, share of each category in recently shown items; a row sums to at most 1.
        bought_UG: float32, categories of the last click if it was a purchase, else 0.
        boredom_U: float64, from 0 to 1.
        left_U: bool, whether the user has left for good.
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
        # One bit per user and item: 22,000 users of 12,000 items take 33 MB.
        self._owned_UB = np.zeros((n_users, -(-tastes.n_items // 8)), np.uint8)
        self.own(np.repeat(np.arange(n_users), owned.lengths), owned.items)

    def own(self, users_T: np.ndarray, items_T: np.ndarray) -> None:
        """Record that users (T,) have clicked items (T,)."""
        bits_T = np.left_shift(1, items_T & 7).astype(np.uint8)
        np.bitwise_or.at(self._owned_UB, (users_T, items_T >> 3), bits_T)

    def owns(self, users_B: np.ndarray, ids_BK: np.ndarray) -> np.ndarray:
        """Return (B, K) bool, whether each user has clicked the items beside it."""
        bytes_BK = self._owned_UB[users_B[:, None], ids_BK >> 3]
        return ((bytes_BK >> (ids_BK & 7).astype(np.uint8)) & 1).astype(bool)

    def drift(self, config: DriftConfig, draws: CounterRng) -> None:
        """Let tastes drift by one round: AR(1) around each user's initial tastes."""
        if config.share == 0:
            return
        users, width = np.arange(len(self.left_U)), np.arange(len(self._scale_D))
        step_UD = draws.normal(Stream.DRIFT, users, width) * self._scale_D * np.sqrt(config.share)
        self._away_UD *= np.float32(config.memory)
        self._away_UD += (np.sqrt(1 - config.memory**2) * step_UD).astype(np.float32)
        self.tastes_UD = self._home_UD + self._away_UD

    def reinforce(self, users_B: np.ndarray, toward_BD: np.ndarray) -> None:
        """Move the tastes of distinct users permanently."""
        self._home_UD[users_B] += toward_BD.astype(np.float32)
        self.tastes_UD[users_B] += toward_BD.astype(np.float32)


class Responses:
    """Responses of B users to their lists.

    Args:
        tastes: tastes of all users at the start.
        config: behaviour of the users.
        people: current state of all users.
        users_B: indices of distinct users.
        ids_BK: items of their lists.
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
        """Return (B, K) utility of each item at its rank on a day."""
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
        """Return (B, K) probability of a click on an examined item; 0 for items clicked before."""
        worth_BK = self.utility(day) - outside_B[:, None]
        chance_BK = _logistic(self._config.click.sharpness * worth_BK)
        owned_BK = self._people.owns(self._users_B, self._ids_BK)
        return np.where(self._there_BK & ~owned_BK, chance_BK, 0.0)

    def purchase(self) -> np.ndarray:
        """Return (B, K) probability that a click is a purchase."""
        bias, slope = self._tastes.purchase
        config = self._config.purchase
        bias = bias if config.bias is None else config.bias
        slope = slope if config.slope is None else config.slope
        return _logistic(bias + slope * self._affinity_BK)

    def apply(self, clicked_BK: np.ndarray, bought_BK: np.ndarray, seen_BK: np.ndarray) -> None:
        """Update the users' state by their clicks, purchases and examinations."""
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
        """Remember the last click's purchase; without a click, that of an earlier visit stays."""
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
    """Return (K,) probability that each rank is examined (position-based model): rank ** -position_bias."""
    return np.arange(1, k + 1) ** -config.position_bias


def examined(config: ClickConfig, uniform_BK: np.ndarray, wants_BK: np.ndarray) -> np.ndarray:
    """Return (B, K) bool, which ranks are examined.

    Args:
        config: configuration of clicks.
        uniform_BK: uniform numbers.
        wants_BK: whether the user would click each item if it were examined.
    """
    if config.model == "position":
        return uniform_BK < examination(config, uniform_BK.shape[1])
    goes_on_BK = uniform_BK < np.where(wants_BK, config.go_on_clicked, config.go_on)
    first_B1 = np.ones((len(uniform_BK), 1), dtype=bool)
    return np.concatenate([first_B1, np.logical_and.accumulate(goes_on_BK, axis=1)[:, :-1]], axis=1)


def _logistic(values: np.ndarray) -> np.ndarray:
    from scipy.special import expit

    return np.asarray(expit(values))


USERS_AT_ONCE = 4096


@dataclass(frozen=True)
class Feedback:
    """Simulated responses of users to their lists.

    Args:
        clicked_BK: bool, clicks.
        bought_BK: bool, clicks that were purchases.
        examined_BK: bool, examined ranks; unobserved in a real shop.
        attraction_BK: float64, true probability of a click on an examined item; unobserved in a real shop.
        left_B: bool, users who have left for good.
    """

    clicked_BK: np.ndarray
    bought_BK: np.ndarray
    examined_BK: np.ndarray
    attraction_BK: np.ndarray
    left_B: np.ndarray


class Environment:
    """Simulated users in rounds: ``visitors()``, ``answer(...)`` them in any batches, ``advance()``.

    A user's responses depend only on the seed, the round, the user and the lists shown to that user: not on
    the batch or other users. Random numbers of clicks belong to items and those of examination to ranks, so
    that two policies that show a user the same item in the same round have common random numbers.

    Args:
        tastes: hidden tastes of the users.
        config: behaviour of the users.
        seed: seed of everything that is drawn.
        owned: U rows of items that the users clicked before; no item is clicked twice. None for none.
    """

    def __init__(
        self, tastes: TasteModel, config: EnvironmentConfig, seed: int, owned: Sequences | None = None
    ) -> None:
        self.tastes, self.config, self.seed = tastes, config, seed
        self._owned = owned if owned is not None else Sequences.from_lists([()] * tastes.n_users)
        if len(self._owned) != tastes.n_users:
            raise ValueError(f"{tastes.n_users} users, but {len(self._owned)} rows of owned items")
        self._outside_U = tastes.outside(config.click.appealing)
        self.reset()

    def reset(self) -> np.ndarray:
        """Return to the first round and return its visitors."""
        self.population = Population(self.tastes, self._owned)
        self._start_round(0)
        return self.visitors()

    def visitors(self) -> np.ndarray:
        """Return (B,) visitors of this round, ascending, including those already answered."""
        return self._visitors

    def answer(self, users_B: np.ndarray, ids_BK: np.ndarray) -> Feedback:
        """Return the users' responses to their lists.

        Args:
            users_B: visitors of this round; each may be answered once per round.
            ids_BK: items best first, ``ABSENT`` at the end of a short list.

        Raises:
            ValueError: if a user does not come in this round or was answered already, or a list contains
                an item twice.
        """
        self._check(users_B, ids_BK)
        self._answered_U[users_B] = True
        parts = [
            self._answer(users_B[start : start + USERS_AT_ONCE], ids_BK[start : start + USERS_AT_ONCE])
            for start in range(0, max(len(users_B), 1), USERS_AT_ONCE)
        ]
        names = Feedback.__dataclass_fields__
        return Feedback(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))

    def advance(self) -> np.ndarray:
        """Begin the next round (satiation fades, tastes drift) and return its visitors."""
        self.population.had_UG *= np.float32(self.config.satiation.memory)
        self._start_round(self.round_number + 1)
        self.population.drift(self.config.drift, self._draws)
        return self.visitors()

    @property
    def day(self) -> float:
        """Days since the start."""
        return self.round_number * self.config.visit.days

    def _start_round(self, number: int) -> None:
        self.round_number, self._draws = number, CounterRng(self.seed, number)
        people, visit = self.population, self.config.visit
        everyone = np.arange(self.tastes.n_users)
        chance_U = visit.rate * (1 - visit.bored_stay_away * people.boredom_U)
        comes_U = self._draws.uniform(Stream.VISIT, everyone, np.zeros(1))[:, 0] < chance_U
        self._visitors = np.flatnonzero(comes_U & ~people.left_U)
        self._answered_U = np.ones(self.tastes.n_users, dtype=bool)
        self._answered_U[self._visitors] = False

    def _check(self, users_B: np.ndarray, ids_BK: np.ndarray) -> None:
        if len(np.unique(users_B)) < len(users_B) or self._answered_U[users_B].any():
            raise ValueError(
                "every user is a visitor of this round and answered once: see visitors(), advance()"
            )
        ordered_BK = np.sort(ids_BK, axis=1)
        if ((ordered_BK[:, 1:] == ordered_BK[:, :-1]) & (ordered_BK[:, 1:] != ABSENT)).any():
            raise ValueError("a list contains an item twice")

    def _answer(self, users_B: np.ndarray, ids_BK: np.ndarray) -> Feedback:
        responses = Responses(self.tastes, self.config, self.population, users_B, ids_BK)
        attraction_BK = responses.attraction(self._outside_U[users_B], self.day)
        wants_BK = self._draws.uniform(Stream.CLICK, users_B, ids_BK) < attraction_BK
        looks_BK = self._draws.uniform(Stream.EXAMINE, users_B, np.arange(ids_BK.shape[1]))
        seen_BK = examined(self.config.click, looks_BK, wants_BK) & (ids_BK != ABSENT)
        clicked_BK = seen_BK & wants_BK
        buys_BK = self._draws.uniform(Stream.BUY, users_B, ids_BK) < responses.purchase()
        bought_BK = clicked_BK & buys_BK
        responses.apply(clicked_BK, bought_BK, seen_BK)
        visit = self.config.visit
        leave_B = visit.leave + visit.leave_bored * self.population.boredom_U[users_B]
        left_B = self._draws.uniform(Stream.LEAVE, users_B, np.zeros(1))[:, 0] < leave_B
        self.population.left_U[users_B] = left_B
        return Feedback(clicked_BK, bought_BK, seen_BK, attraction_BK, left_B)

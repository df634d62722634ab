"""The environment: simulated users come, see lists, click, buy, get bored, come back or leave for good."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crossrec.exploration.counter_rng import CounterRng, Stream
from crossrec.simulation.config import EnvironmentConfig
from crossrec.simulation.population import Population
from crossrec.simulation.responses import Responses, examined
from crossrec.simulation.tastes import TasteModel
from crossrec.types import ABSENT, Sequences

USERS_AT_ONCE = 4096


@dataclass(frozen=True)
class Feedback:
    """What users did with their lists. Everything is simulated.

    Args:
        clicked_BK: bool.
        bought_BK: bool, clicks that were purchases.
        examined_BK: bool, places that were looked at; a real shop would not know.
        attraction_BK: float64, the true chance of a click if looked at; a real shop would not know.
        left_B: bool, who will not come back.
    """

    clicked_BK: np.ndarray
    bought_BK: np.ndarray
    examined_BK: np.ndarray
    attraction_BK: np.ndarray
    left_B: np.ndarray


class Environment:
    """Simulated users in rounds: ``visitors()``, ``answer(...)`` them in any batches, ``advance()``.

    What happens to a user is a function of the seed, the round, the user and what that user was shown: not of
    the batch, nor of other users. Chances of clicks go with the item and of looks with the place, so that two
    policies that show a user the same item in the same round meet the same luck.

    Args:
        tastes: hidden tastes of the users.
        config: how users behave.
        seed: of everything that is drawn.
        owned: U rows of items that the users clicked before; nobody clicks an item twice. None for none.
    """

    def __init__(
        self, tastes: TasteModel, config: EnvironmentConfig, seed: int, owned: Sequences | None = None
    ) -> None:
        self.tastes, self.config, self.seed = tastes, config, seed
        self._owned = owned if owned is not None else Sequences.from_lists([()] * tastes.n_users)
        if len(self._owned) != tastes.n_users:
            raise ValueError(f"{tastes.n_users} users, but rows of {len(self._owned)} for what they own")
        self._outside_U = tastes.outside(config.click.appealing)
        self.reset()

    def reset(self) -> np.ndarray:
        """Back to the first round; who comes in it."""
        self.population = Population(self.tastes, self._owned)
        self._start_round(0)
        return self.visitors()

    def visitors(self) -> np.ndarray:
        """(B,) who comes in this round, ascending; those who were answered already included."""
        return self._visitors

    def answer(self, users_B: np.ndarray, ids_BK: np.ndarray) -> Feedback:
        """What users do with their lists.

        Args:
            users_B: visitors of this round, each once in a round.
            ids_BK: items best first, ``ABSENT`` at the end of a short list.

        Raises:
            ValueError: a user does not come in this round or was answered already, or an item twice in a
                list.
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
        """The next round: satiation fades and tastes drift. Who comes in it."""
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
            raise ValueError("an item stands twice in a list")

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

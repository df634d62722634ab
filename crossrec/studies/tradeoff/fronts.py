"""Fronts, hypervolumes and picked points of a trade-off study."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from crossrec.evaluation.bootstrap import Resampled, interval
from crossrec.evaluation.pareto import hypervolume, pareto_front, pick
from crossrec.studies.statistics import seed_interval, seed_spread
from crossrec.studies.tradeoff.config import GoalConfig, TradeoffConfig
from crossrec.studies.tradeoff.sweep import PointTable
from crossrec.types import InputError


@dataclass(frozen=True)
class Chosen:
    """Fronts and picks chosen on validation, before any use of test.

    Settings are chosen once for all seeds, on the mean over seeds of the relative gains.

    Args:
        fronts: (measure, method) -> points of the front by descending accuracy.
        picks: (goal, method) -> picked point, None if no point keeps the budget.
        best_method: goal -> method whose pick scores highest, None if no method has one.
    """

    fronts: dict[tuple[str, str], list[int]]
    picks: dict[tuple[str, str], int | None]
    best_method: dict[str, str | None]

    def needed(self) -> set[int]:
        """Return the points to measure on test."""
        picked = {p for p in self.picks.values() if p is not None}
        return {0, *picked, *(p for front in self.fronts.values() for p in front)}


def choose(config: TradeoffConfig, valid: PointTable, methods: Mapping[str, list[int]]) -> Chosen:
    """Return fronts and picks on validation.

    Args:
        config: configuration of the study.
        valid: all points on validation.
        methods: name -> its points.

    Raises:
        InputError: if a measure of a front or a goal is 0 for the reference, so there is no relative gain; or
            no point of a method has a value.
    """
    _check_reference(config, valid)
    gains: dict[str, np.ndarray] = {m: valid.gains(m).mean(1) for m in valid.values}
    fronts: dict[tuple[str, str], list[int]] = {}
    for measure in config.diversity:
        for name, points in methods.items():
            pairs_P2 = np.stack([gains[config.accuracy][points], gains[measure][points]], axis=1)
            fronts[measure, name] = [points[i] for i in pareto_front(pairs_P2)]
            if not fronts[measure, name]:
                raise InputError(
                    f"methods.{name}: none of its points has both {config.accuracy}@{config.k} and "
                    f"{measure}@{config.k} on validation; leave the method or the measure out of the study"
                )
    picks: dict[tuple[str, str], int | None] = {}
    best: dict[str, str | None] = {}
    for title, goal in config.goals.items():
        scores_V = goal_score(goal, gains)
        for name, points in methods.items():
            found = pick(gains[config.accuracy][points], scores_V[points], goal.budget)
            picks[title, name] = None if found is None else points[found]
        reached = {n: scores_V[p] for n in methods if (p := picks[title, n]) is not None}
        best[title] = max(reached, key=lambda n: reached[n]) if reached else None
    return Chosen(fronts, picks, best)


def _check_reference(config: TradeoffConfig, valid: PointTable) -> None:
    """Check that the reference is not 0, as relative gains require."""
    goals = [m for goal in config.goals.values() for m in goal.gains]
    for metric in dict.fromkeys([config.accuracy, *config.diversity, *goals]):
        reference_S = valid.values[metric][0]
        for seed, value in enumerate(reference_S):
            if value == 0 or np.isnan(value):
                found = "0" if value == 0 else "not known"
                run = config.runs[config.reference_label][seed]
                raise InputError(
                    f"{metric}@{config.k} of {run}, unreranked, is {found} on validation, so nothing can be "
                    "a relative gain on it; take it out of accuracy, diversity and goals, or train a better "
                    "reference"
                )


def goal_score(goal: GoalConfig, gains: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return (V,), the smallest share of a required gain: 1 or more if all are reached."""
    return np.min([gains[measure] / wanted for measure, wanted in goal.gains.items()], axis=0)


@dataclass(frozen=True)
class Hypervolumes:
    """Hypervolumes of one method's front in one measure.

    Args:
        per_seed_S: (S,) value of each seed.
        resampled_R: (R,) mean over seeds under resamples of the users, recentred on the mean of
            ``per_seed_S``; empty without resamples.
    """

    per_seed_S: np.ndarray
    resampled_R: np.ndarray

    def summary(self) -> dict[str, Any]:
        """Return the entry in the file of results."""
        return {
            "value": float(self.per_seed_S.mean()),
            "sd": seed_spread(self.per_seed_S),
            "seeds": self.per_seed_S.tolist(),
            **({"ci95_users": interval(self.resampled_R, 0.0)} if len(self.resampled_R) else {}),
        }


def hypervolumes(config: TradeoffConfig, table: PointTable, measure: str, front: list[int]) -> Hypervolumes:
    """Return the area under a front of relative gain over relative loss, divided by the largest loss.

    The reference is the unreranked reference model of the same seed, less ``hypervolume_loss`` of its
    accuracy. Where no point is more accurate than the model, the value is the gain of diversity that the
    front gives on average over losses from 0 to that one: 0.2 for 20 %.

    A hypervolume is a running maximum over points, which noise can only raise, so resamples lie above the
    value; they are recentred on it (and so are their differences). That removes the bias of resampling
    only: the value itself is a maximum over noisy points, too, and stays a little too great.
    """
    corner = (-config.hypervolume_loss, 0.0)
    accuracy_VS, gain_VS = table.gains(config.accuracy), table.gains(measure)
    sets_SP2 = np.stack([accuracy_VS[front].T, gain_VS[front].T], axis=2)
    per_seed_S = hypervolume(sets_SP2, corner) / config.hypervolume_loss
    if not table.resampled:
        return Hypervolumes(per_seed_S, np.zeros(0))
    resampled = []
    for seed in table.seeds:
        pairs = [
            (table.seed_gains(config.accuracy, v, seed), table.seed_gains(measure, v, seed)) for v in front
        ]
        sets_RP2 = np.stack([np.stack(pair, axis=1) for pair in pairs], axis=1)
        resampled.append(hypervolume(sets_RP2, corner) / config.hypervolume_loss)
    mean = Resampled.recentred(float(per_seed_S.mean()), np.mean(resampled, axis=0))
    return Hypervolumes(per_seed_S, mean.resampled_R)


def difference(one: Hypervolumes, other: Hypervolumes) -> dict[str, Any]:
    """Return the difference of two hypervolumes, with intervals paired over users and over seeds.

    Both are recentred (see :func:`hypervolumes`), and so is their difference.
    """
    per_seed_S = one.per_seed_S - other.per_seed_S
    return {
        "value": float(per_seed_S.mean()),
        "seeds": per_seed_S.tolist(),
        "ci95_users": interval(one.resampled_R - other.resampled_R),
        "ci95_seeds": seed_interval(per_seed_S),
    }

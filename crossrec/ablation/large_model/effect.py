"""What one measure says of a small and a large model, and one sentence over all measures of diversity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np

from crossrec.ablation.large_model.user_groups import EVERYBODY
from crossrec.evaluation.config import MetricName
from crossrec.evaluation.report.glossary import info

Side = Literal["small", "large"]
SIDES: tuple[Side, Side] = ("small", "large")

DIVERSITY: tuple[MetricName, ...] = (
    "entropy",
    "entropy_norm",
    "gini",
    "coverage",
    "ild_category",
    "ild_text",
    "ild_image",
    "ild",
    "eild",
    "jaccard",
    "personalization",
)
"""Measures of how different recommended items or lists are; popularity, hits and calibration are not."""


@dataclass(frozen=True)
class Effect:
    """One measure of both models in one group of users at one list length, means over seeds.

    Args:
        group: of users.
        n_users: in the group.
        metric: name without ``@k``.
        k: length of the lists.
        small, large: values.
        ci95: of the difference, over users; the same resamples for both models and all seeds.
        seeds: the difference, large less small, of each seed.
    """

    group: str
    n_users: int
    metric: MetricName
    k: int
    small: float
    large: float
    ci95: list[float]
    seeds: list[float]

    @property
    def difference(self) -> float:
        """Large less small, the mean over seeds."""
        return float(np.mean(self.seeds))

    @property
    def spread(self) -> float:
        """Standard deviation of the difference over seeds; NaN with one seed."""
        return float(np.std(self.seeds, ddof=1)) if len(self.seeds) > 1 else float("nan")

    @property
    def settled(self) -> bool:
        """Whether the interval over users leaves out 0 and the difference has one sign in all seeds."""
        if self.ci95[0] > 0:
            return min(self.seeds) > 0
        return self.ci95[1] < 0 and max(self.seeds) < 0

    @property
    def better(self) -> bool:
        """Whether the large model has the better or more diverse value."""
        return (self.difference > 0) == (info(self.metric).higher_is_better is not False)

    def row(self) -> dict[str, object]:
        """As one row of a table."""
        low, high = self.ci95
        fields = {name: value for name, value in asdict(self).items() if name != "ci95"}
        return {**fields, "difference": self.difference, "low": low, "high": high, "spread": self.spread}


def verdict(effects: Sequence[Effect], k: int) -> str:
    """Which measures of diversity the large model lowers and raises for all users, and what that rests on."""
    found = [e for e in effects if e.group == EVERYBODY and e.k == k and e.metric in DIVERSITY]
    if not found:
        return "No measure of diversity was compared."
    moved: dict[str, list[str]] = {"less diverse": [], "more diverse": [], "not settled": []}
    for effect in found:
        kind = ("more diverse" if effect.better else "less diverse") if effect.settled else "not settled"
        moved[kind].append(effect.metric)
    parts = [f"{kind} in {', '.join(names)}" for kind, names in moved.items() if names]
    n_seeds = len(found[0].seeds)
    seeds = f" and all {n_seeds} seeds agree in sign" if n_seeds > 1 else " (one seed: others may differ)"
    return (
        f"For these models, lists of {k} of the large one are {'; '.join(parts)}. Settled: the 95 % interval "
        f"over users leaves out 0{seeds}; not corrected for {len(found)} measures."
    )

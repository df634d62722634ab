"""Effects of the large model on each metric: the verdict and the plots."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np

from crossrec.evaluation.config import MetricName
from crossrec.evaluation.report.figures import INK, MUTED, Plot, canvas, colour, marker
from crossrec.evaluation.report.glossary import format_range, format_value, info
from crossrec.studies.statistics import seed_spread

EVERYBODY = "all users"


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
    "ild_behaviour",
    "eild",
    "jaccard",
    "personalization",
)
"""Measures of diversity among items or lists, unlike popularity, hits and calibration."""


@dataclass(frozen=True)
class Effect:
    """Values of both models for one measure, group of users and list length, means over seeds.

    Args:
        group: group of users.
        n_users: number of users in the group.
        metric: name without ``@k``.
        k: length of the lists.
        small, large: values of the models.
        ci95: 95 % interval of the difference over users; the same resamples for both models and all seeds.
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
        return seed_spread(np.asarray(self.seeds))

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
        """Return one row of a table."""
        low, high = self.ci95
        fields = {name: value for name, value in asdict(self).items() if name != "ci95"}
        return {**fields, "difference": self.difference, "low": low, "high": high, "spread": self.spread}


def verdict(effects: Sequence[Effect], k: int) -> str:
    """Return one sentence: measures of diversity that the large model lowers and raises for all users."""
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


def curve(effects: Sequence[Effect], metric: str) -> Plot:
    """Plot both models' values over the length of the lists, for all users."""
    found = sorted(
        (e for e in effects if e.metric == metric and e.group == EVERYBODY), key=lambda effect: effect.k
    )
    places = range(len(found))
    with canvas(f"curve-{metric}", height=3.0) as (axes, drawn):
        for index, side in enumerate(SIDES):
            values = [getattr(effect, side) for effect in found]
            axes.plot(places, values, marker=marker(index), color=colour(index), label=side)
        axes.set(xlabel="list length", ylabel=metric, xticks=list(places))
        axes.set_xticklabels([str(effect.k) for effect in found])
        axes.margins(x=0.08, y=0.15)
        axes.legend()
    listed = "; ".join(
        f"{format_value(metric, e.small)} and {format_value(metric, e.large)} at {e.k}" for e in found
    )
    return Plot(
        f"{metric} by list length",
        info(metric).meaning,
        f"Line chart of {metric}, small and large model: {listed}.",
        drawn[0],
    )


def by_group(effects: Sequence[Effect], metric: str, k: int) -> Plot:
    """Return the large model's difference from the small one in each group of users, with 95 % intervals."""
    found = [e for e in effects if e.metric == metric and e.k == k]
    with canvas(f"groups-{metric}", height=0.9 + 0.42 * len(found)) as (axes, drawn):
        for place, effect in enumerate(found):
            shade = colour(1) if effect.settled else MUTED
            axes.plot(effect.ci95, [place, place], color=shade, linewidth=1.8)
            axes.plot(effect.difference, place, "o", color=shade, markersize=7)
        axes.axvline(0, color=INK, linewidth=1)
        axes.set(
            yticks=list(range(len(found))),
            ylim=(len(found) - 0.5, -0.5),
            xlabel=f"{metric}@{k}, large - small",
        )
        axes.set_yticklabels([effect.group for effect in found])
    listed = "; ".join(f"{e.group} {e.difference:+.4f} ({format_range(e.ci95)})" for e in found)
    return Plot(
        f"{metric}@{k} by user group",
        "Dots: differences; lines: 95 % intervals over users; gray if they contain 0 or seeds disagree.",
        f"Differences of the large model from the small one: {listed}.",
        drawn[0],
    )

"""From rounds to figures with intervals over seeds: whole runs, and differences between policies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

Kind = Literal["ratio", "sum", "mean", "last"]


@dataclass(frozen=True)
class Measure:
    """How a measure of rounds becomes one of a whole run.

    Args:
        title: heading.
        meaning: one line.
        kind: the ratio of two sums over rounds, their sum, mean or last value.
        above, below: columns of a ratio.
        higher_is_better: None where it is a matter of taste.
    """

    title: str
    meaning: str
    kind: Kind
    above: str = ""
    below: str = ""
    higher_is_better: bool | None = None


MEASURES: dict[str, Measure] = {
    "click_rate": Measure(
        "click rate", "Simulated clicks over items shown.", "ratio", "clicks", "shown", higher_is_better=True
    ),
    "conversion": Measure(
        "conversion",
        "Share of visits with a simulated purchase.",
        "ratio",
        "buying_visits",
        "visits",
        higher_is_better=True,
    ),
    "clicks_per_user": Measure(
        "clicks per user",
        "Simulated clicks over all users, those who left included.",
        "sum",
        higher_is_better=True,
    ),
    "retention": Measure(
        "retention", "Share of users who have not left for good.", "last", higher_is_better=True
    ),
    "entropy_list": Measure(
        "entropy of a list", "Shannon entropy of a list's categories, in nats, mean over visits.", "mean"
    ),
    "entropy_shown": Measure(
        "entropy shown, per user",
        "Shannon entropy, in nats, of the categories of all that a user was shown since the start.",
        "last",
        higher_is_better=True,
    ),
    "entropy_clicked": Measure(
        "entropy clicked, per user",
        "The same of what a user clicked since the start; it grows with the number of clicks.",
        "last",
        higher_is_better=True,
    ),
    "ild": Measure("distance in a list", "Mean pairwise distance of contents within lists.", "mean"),
    "ild_category": Measure(
        "category distance in a list", "Mean pairwise Jaccard distance of categories within lists.", "mean"
    ),
    "tail_share": Measure("tail share", "Share of items shown that were in the tail at the start.", "mean"),
    "homogeneity": Measure(
        "homogeneity", "Mean Jaccard overlap of two users' lists.", "mean", higher_is_better=False
    ),
    "coverage": Measure("coverage", "Share of the catalogue shown to anybody in a round.", "mean"),
    "gini": Measure("Gini of exposure", "0: all items are shown alike; 1: one gets all.", "mean"),
}
"""What tables and plots show, in this order."""


@dataclass(frozen=True)
class Spread:
    """A mean over seeds.

    Args:
        value: the mean.
        low, high: 95 % interval by Student's t over seeds; NaN with one seed.
        seeds: (S,) values.
    """

    value: float
    low: float
    high: float
    seeds: np.ndarray

    @property
    def settled(self) -> bool:
        """Whether the interval leaves out 0."""
        return bool(self.low > 0 or self.high < 0)


def over_seeds(values_S: np.ndarray) -> Spread:
    """Mean and t-interval over seeds; NaN values are left out.

    Source:
        Student: The probable error of a mean (1908).
    """
    from scipy.stats import t

    known = values_S[~np.isnan(values_S)]
    nan = float("nan")
    if not len(known):
        return Spread(nan, nan, nan, values_S)
    mean = float(known.mean())
    if len(known) < 2:
        return Spread(mean, nan, nan, values_S)
    half = float(t.ppf(0.975, len(known) - 1) * known.std(ddof=1) / np.sqrt(len(known)))
    return Spread(mean, mean - half, mean + half, values_S)


def whole_run(values: Mapping[tuple[str, str], np.ndarray], policy: str, name: str) -> np.ndarray:
    """(S,) value of a measure over a whole run, one for each seed."""
    measure = MEASURES[name]
    if measure.kind == "ratio":
        above_S = np.nansum(values[policy, measure.above], axis=1)
        below_S = np.nansum(values[policy, measure.below], axis=1)
        return np.divide(above_S, below_S, out=np.full(len(above_S), np.nan), where=below_S > 0)
    rounds_SR = values[policy, name]
    if measure.kind == "last":
        return rounds_SR[:, -1]
    return rounds_SR.sum(1) if measure.kind == "sum" else rounds_SR.mean(1)


def relative_gain(values: Mapping[tuple[str, str], np.ndarray], policy: str, other: str, name: str) -> Spread:
    """How much greater a whole run's measure is than another policy's, seed by seed, as a share of that."""
    own_S, other_S = whole_run(values, policy, name), whole_run(values, other, name)
    known_S = np.abs(other_S) > 0
    return over_seeds(
        np.divide(own_S - other_S, np.abs(other_S), out=np.full(len(own_S), np.nan), where=known_S)
    )


def settled_rounds(
    values: Mapping[tuple[str, str], np.ndarray], policy: str, other: str, name: str
) -> tuple[list[int], list[int]]:
    """Rounds in which a policy is above another, and below it: their own interval over seeds leaves out 0.

    Intervals are pointwise: of rounds without any difference, one in twenty is settled all the same.
    """
    difference_SR = values[policy, name] - values[other, name]
    spreads = [over_seeds(column) for column in difference_SR.T]
    above = [number for number, spread in enumerate(spreads) if spread.low > 0]
    below = [number for number, spread in enumerate(spreads) if spread.high < 0]
    return above, below

"""Figures over rounds and seeds, plots, tables and the page of a simulated feedback loop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from rich.table import Table

from crossrec.evaluation.report.figures import INK, Plot, canvas, colour, marker, short
from crossrec.evaluation.report.render import render
from crossrec.studies.feedback_loop.config import FeedbackLoopConfig
from crossrec.studies.statistics import Spread, over_seeds

Kind = Literal["ratio", "sum", "mean", "last"]


@dataclass(frozen=True)
class Measure:
    """A measure over rounds and its aggregation over a whole run.

    Args:
        title: title of the measure.
        meaning: one-line description.
        kind: the ratio of two sums over rounds, their sum, mean or last value.
        above, below: columns of a ratio.
        higher_is_better: None if neither direction is better.
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
        "Simulated clicks over all users, including those who left.",
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
        "Shannon entropy, in nats, of the categories of all items shown to a user since the start.",
        "last",
        higher_is_better=True,
    ),
    "entropy_clicked": Measure(
        "entropy clicked, per user",
        "Shannon entropy, in nats, of the categories of all items that a user clicked since the start; "
        "it grows with the number of clicks.",
        "last",
        higher_is_better=True,
    ),
    "ild": Measure("distance in a list", "Mean pairwise distance of contents within lists.", "mean"),
    "ild_behaviour": Measure(
        "co-click distance in a list",
        "Mean pairwise distance within lists by who had clicked the items before the start.",
        "mean",
    ),
    "ild_category": Measure(
        "category distance in a list", "Mean pairwise Jaccard distance of categories within lists.", "mean"
    ),
    "tail_share": Measure("tail share", "Share of items shown that were in the tail at the start.", "mean"),
    "homogeneity": Measure(
        "homogeneity", "Mean Jaccard overlap of two users' lists.", "mean", higher_is_better=False
    ),
    "coverage": Measure("coverage", "Share of the catalog shown to at least one user in a round.", "mean"),
    "gini": Measure(
        "Gini of exposure", "0: equal exposure for all items; 1: all exposure on one item.", "mean"
    ),
}
"""Measure of tables and plots, in this order."""


def whole_run(values: Mapping[tuple[str, str], np.ndarray], policy: str, name: str) -> np.ndarray:
    """Return (S,) value of a measure over a whole run, one per seed."""
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
    """Return the relative gain of a whole run's measure over another policy's, paired by seed."""
    own_S, other_S = whole_run(values, policy, name), whole_run(values, other, name)
    known_S = np.abs(other_S) > 0
    return over_seeds(
        np.divide(own_S - other_S, np.abs(other_S), out=np.full(len(own_S), np.nan), where=known_S)
    )


def settled_rounds(
    values: Mapping[tuple[str, str], np.ndarray], policy: str, other: str, name: str
) -> tuple[list[int], list[int]]:
    """Return the rounds in which a policy is above and below another: the interval over seeds excludes 0.

    Intervals are pointwise: of rounds without any difference, one in twenty is settled by chance.
    """
    difference_SR = values[policy, name] - values[other, name]
    spreads = [over_seeds(column) for column in difference_SR.T]
    above = [number for number, spread in enumerate(spreads) if spread.low > 0]
    below = [number for number, spread in enumerate(spreads) if spread.high < 0]
    return above, below


Values = Mapping[tuple[str, str], np.ndarray]


DIFFERENCES = ("click_rate", "entropy_list", "homogeneity")
"""Measure plotted as differences, to see where a filter bubble closes."""


def curves(config: FeedbackLoopConfig, values: Values) -> list[Plot]:
    """Return each measure over rounds."""
    known = [name for name in MEASURES if not all(np.isnan(values[p, name]).all() for p in config.policies)]
    return [_curve(config, values, name) for name in known]


def differences(config: FeedbackLoopConfig, values: Values, other: str) -> list[Plot]:
    """Return differences of all other policies from one, over rounds."""
    return [_difference(config, values, name, other) for name in DIFFERENCES]


def _curve(config: FeedbackLoopConfig, values: Values, name: str) -> Plot:
    measure, told = MEASURES[name], []
    places = np.arange(1, config.rounds + 1)
    with canvas(f"curve-{name}", height=3.6) as (axes, drawn):
        for index, policy in enumerate(config.policies):
            mean_R, low_R, high_R = _band(values[policy, name])
            _line(axes, places, (mean_R, low_R, high_R), index, policy)
            told.append(f"{policy} from {mean_R[0]:.3f} to {mean_R[-1]:.3f}")
        axes.set(xlabel="simulated round", ylabel=measure.title)
        axes.legend(fontsize=8.5)
    return Plot(
        measure.title,
        f"{measure.meaning} Lines: means over seeds; bands: 95 % intervals over seeds.",
        f"Line chart of {measure.title} over {config.rounds} simulated rounds: {'; '.join(told)}.",
        drawn[0],
    )


def _difference(config: FeedbackLoopConfig, values: Values, name: str, other: str) -> Plot:
    measure, told = MEASURES[name], []
    places = np.arange(1, config.rounds + 1)
    number = list(config.policies).index(other)
    with canvas(f"difference-{name}-{number}", height=3.4) as (axes, drawn):
        for index, policy in enumerate(config.policies):
            if policy == other:
                continue
            band = _band(values[policy, name] - values[other, name])
            _line(axes, places, band, index, policy)
            told.append(f"{policy} {band[0][0]:+.3f} in the first round, {band[0][-1]:+.3f} in the last")
        axes.axhline(0, color=INK, linewidth=1)
        axes.set(xlabel="simulated round", ylabel=f"{measure.title}, difference")
        axes.legend(fontsize=8.5)
    return Plot(
        f"{measure.title}: difference from {short(other)}",
        "Paired by seed. The difference is conclusive in rounds whose band excludes 0. Bands are pointwise, "
        "so about one round in twenty excludes 0 by chance alone.",
        f"Differences in {measure.title} from {other}: {'; '.join(told)}.",
        drawn[0],
    )


def _line(
    axes: object, places: np.ndarray, band: tuple[np.ndarray, np.ndarray, np.ndarray], index: int, name: str
) -> None:
    from matplotlib.axes import Axes
    from matplotlib.ticker import MaxNLocator

    assert isinstance(axes, Axes)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    every = max(1, len(places) // 8)
    axes.plot(
        places,
        band[0],
        marker=marker(index),
        markevery=every,
        color=colour(index),
        markersize=5,
        label=short(name),
    )
    axes.fill_between(places, band[1], band[2], color=colour(index), alpha=0.15, linewidth=0)


def _band(values_SR: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    spreads = [over_seeds(column) for column in values_SR.T]
    return (
        np.asarray([s.value for s in spreads]),
        np.asarray([s.low for s in spreads]),
        np.asarray([s.high for s in spreads]),
    )


SHOWN = (
    "click_rate",
    "conversion",
    "clicks_per_user",
    "retention",
    "entropy_shown",
    "entropy_clicked",
    "ild_category",
)
"""Columns of the table on the terminal."""


ARROWS = {True: "↑", False: "↓", None: ""}
BUBBLE = ("entropy_list", "homogeneity", "click_rate")
"""Measure named in the sentences on single rounds."""


def page(
    config: FeedbackLoopConfig, values: Values, about: dict[str, Any], found: dict[str, Any], config_text: str
) -> str:
    """Return a self-contained HTML page.

    Args:
        config: configuration of the study.
        values: (policy, measure) -> (S, R).
        about: description of the simulation.
        found: content of ``results.json``.
        config_text: the resolved configuration.
    """
    names = [name for name in MEASURES if f"{name}" in next(iter(found["policies"].values()))]
    content = {
        "about": about,
        "columns": [
            {
                "name": MEASURES[n].title,
                "meaning": MEASURES[n].meaning,
                "arrow": ARROWS[MEASURES[n].higher_is_better],
            }
            for n in names
        ],
        "rows": [_row(values, policy, names) for policy in config.policies],
        "comparisons": [_comparison(config, values, other, names) for other in config.references],
        "curves": curves(config, values),
        "config_text": config_text,
    }
    return render("crossrec.studies", "templates/feedback_loop.html", content)


def results(config: FeedbackLoopConfig, values: Values) -> dict[str, Any]:
    """Return the content of ``results.json``: whole runs, and gains relative to each of ``compare_with``."""
    names = [n for n in MEASURES if all(len(whole_run(values, p, n)) for p in config.policies)]
    return {
        "simulated": True,
        "policies": {
            p: {n: _plain(over_seeds(whole_run(values, p, n))) for n in names} for p in config.policies
        },
        "gains": {
            other: {
                p: {n: _plain(relative_gain(values, p, other, n)) for n in names}
                for p in config.policies
                if p != other
            }
            for other in config.references
        },
    }


def tables(config: FeedbackLoopConfig, values: Values) -> list[Table]:
    """Return the tables of the terminal: whole runs, then gains over each policy of ``compare_with``."""
    about = f"{config.rounds} rounds, {len(config.seeds)} seeds; simulated users"
    whole = _table(f"Full runs, {about}", "mean over seeds, 95 % intervals over seeds")
    for policy in config.policies:
        whole.add_row(policy, *(_text(over_seeds(whole_run(values, policy, n)), "{:.4f}") for n in SHOWN))
    found = [whole]
    for other in config.references:
        gains = _table(f"Gain over {other}, {about}", "relative, paired by seed; * the interval excludes 0")
        for policy in config.policies:
            if policy != other:
                spreads = [relative_gain(values, policy, other, n) for n in SHOWN]
                gains.add_row(policy, *(("* " if s.settled else "") + _text(s, "{:+.1%}") for s in spreads))
        found.append(gains)
    return found


def _table(title: str, caption: str) -> Table:
    table = Table(title=title, caption=caption, show_lines=True)
    table.add_column("policy")
    for name in SHOWN:
        table.add_column(MEASURES[name].title, justify="right")
    return table


def _row(values: Values, policy: str, names: Sequence[str]) -> dict[str, Any]:
    spreads = [over_seeds(whole_run(values, policy, name)) for name in names]
    return {"name": policy, "cells": [{**_cell(s, "{:.4f}"), "settled": False} for s in spreads]}


def _comparison(
    config: FeedbackLoopConfig, values: Values, other: str, names: Sequence[str]
) -> dict[str, Any]:
    policies = [policy for policy in config.policies if policy != other]
    rows = []
    for policy in policies:
        cells = []
        for name in names:
            spread = relative_gain(values, policy, other, name)
            cells.append({**_cell(spread, "{:+.1%}"), "settled": spread.settled})
        rows.append({"name": policy, "cells": cells})
    return {
        "other": other,
        "rows": rows,
        "plots": differences(config, values, other),
        "sentences": [_sentence(config, values, policy, other) for policy in policies],
    }


def _sentence(config: FeedbackLoopConfig, values: Values, policy: str, other: str) -> str:
    """Return a sentence on the rounds in which a policy is settled above or below another."""
    parts = []
    for name in BUBBLE:
        above, below = settled_rounds(values, policy, other, name)
        told = [f"{word} in {_rounds(r, config)}" for word, r in (("higher", above), ("lower", below)) if r]
        parts.append(f"{MEASURES[name].title} {' and '.join(told) if told else 'conclusive in no round'}")
    return f"{policy}: {'; '.join(parts)}."


def _rounds(numbers: Sequence[int], config: FeedbackLoopConfig) -> str:
    if len(numbers) == config.rounds:
        return "every round"
    return f"{len(numbers)} of {config.rounds} rounds (first {numbers[0] + 1}, last {numbers[-1] + 1})"


def _cell(spread: Spread, form: str) -> dict[str, Any]:
    known = spread.low == spread.low
    interval = f"{form.format(spread.low)} to {form.format(spread.high)}" if known else ""
    return {
        "text": "none" if spread.value != spread.value else form.format(spread.value),
        "interval": interval,
    }


def _text(spread: Spread, form: str) -> str:
    cell = _cell(spread, form)
    return f"{cell['text']}\n{cell['interval']}" if cell["interval"] else str(cell["text"])


def _plain(spread: Spread) -> dict[str, Any]:
    def number(value: float) -> float | None:
        return None if value != value else float(value)

    return {
        "value": number(spread.value),
        "ci95_seeds": [number(spread.low), number(spread.high)],
        "seeds": [number(v) for v in spread.seeds],
    }

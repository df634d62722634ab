"""The page and the table of a study of policies in a simulated feedback loop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.table import Table

from crossrec.ablation.feedback_loop.config import FeedbackLoopConfig
from crossrec.ablation.feedback_loop.plots import Values, curves, differences
from crossrec.ablation.feedback_loop.summary import (
    MEASURES,
    Spread,
    over_seeds,
    relative_gain,
    settled_rounds,
    whole_run,
)
from crossrec.evaluation.report.render import render

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
"""What the sentences on single rounds speak of."""


def page(
    config: FeedbackLoopConfig, values: Values, about: dict[str, Any], found: dict[str, Any], config_text: str
) -> str:
    """A self-contained HTML page.

    Args:
        config: of the study.
        values: (policy, measure) -> (S, R).
        about: what was simulated.
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
    return render("crossrec.ablation.feedback_loop", "template.html", content)


def results(config: FeedbackLoopConfig, values: Values) -> dict[str, Any]:
    """Content of ``results.json``: whole runs, and relative gains over each policy of ``compare_with``."""
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
    """What the terminal shows: whole runs, then gains over each policy of ``compare_with``."""
    about = f"{config.rounds} rounds, {len(config.seeds)} seeds; simulated users"
    whole = _table(f"Whole runs, {about}", "mean over seeds, 95 % intervals over seeds")
    for policy in config.policies:
        whole.add_row(policy, *(_text(over_seeds(whole_run(values, policy, n)), "{:.4f}") for n in SHOWN))
    found = [whole]
    for other in config.references:
        gains = _table(f"Gain over {other}, {about}", "relative, paired by seed; * the interval leaves out 0")
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
    """In which rounds a policy is settled above or below another."""
    parts = []
    for name in BUBBLE:
        above, below = settled_rounds(values, policy, other, name)
        told = [f"{word} in {_rounds(r, config)}" for word, r in (("higher", above), ("lower", below)) if r]
        parts.append(f"{MEASURES[name].title} {' and '.join(told) if told else 'settled in no round'}")
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

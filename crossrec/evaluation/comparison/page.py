"""Writes a comparison: ``comparison.json`` and a self-contained ``comparison.html``."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from crossrec.evaluation.comparison.compare import Comparison, Entry, split_name
from crossrec.evaluation.comparison.front import plane
from crossrec.evaluation.metrics import ACCURACY
from crossrec.evaluation.report.figures import Plot
from crossrec.evaluation.report.glossary import NO_INTERVAL, arrow, format_value, info, note_on_distances
from crossrec.evaluation.report.render import render
from crossrec.evaluation.significance import SIGNIFICANT
from crossrec.runtime.files import write_text

JSON_FILE, HTML_FILE = "comparison.json", "comparison.html"
MINUS = "\u2212"


@dataclass(frozen=True)
class Line:
    """One system's line under a metric, ready to be shown; empty text where there is nothing to say.

    ``verdict`` is True where it is better than the reference beyond chance, False where it is worse, None
    where the corrected p is not below .05 or neither end of the metric is better.
    """

    system: str
    value: str
    interval: str
    seeds: str
    difference: str = ""
    difference_interval: str = ""
    relative: str = ""
    p: str = ""
    p_holm: str = ""
    effect: str = ""
    moved: str = ""
    verdict: bool | None = None


@dataclass(frozen=True)
class Block:
    """All systems' lines of one metric."""

    metric: str
    arrow: str
    meaning: str
    lines: list[Line]


def blocks_of(comparison: Comparison) -> list[Block]:
    """A comparison as the tables show it, metric by metric."""
    return [
        Block(
            metric,
            arrow(metric),
            info(metric).meaning,
            [
                _line(comparison.entry(system, metric), comparison.entry(comparison.systems[0], metric).value)
                for system in comparison.systems
            ],
        )
        for metric in comparison.metrics
    ]


def write_comparison(comparison: Comparison, folder: Path) -> None:
    """Writes both files.

    Args:
        comparison: what was found.
        folder: made where it does not exist.
    """
    write_text(folder / JSON_FILE, json.dumps(comparison.to_dict(), indent=2, allow_nan=False) + "\n")
    write_text(folder / HTML_FILE, _render(comparison))


def _line(entry: Entry, reference: float) -> Line:
    name, difference = entry.metric, entry.difference
    many = len(entry.seeds) > 1
    seeds = f"{len(entry.seeds)} seeds, sd {format_value(name, entry.spread)}" if many else ""
    value, interval = format_value(name, entry.value), _range(name, entry.ci95)
    if difference is None:
        return Line(entry.system, value, interval, seeds)
    effect = difference.effect
    return Line(
        entry.system,
        value,
        interval,
        seeds,
        _signed(name, difference.value),
        NO_INTERVAL
        if math.isnan(difference.ci95[0])
        else " to ".join(_signed(name, end) for end in difference.ci95),
        f"{difference.value / reference:+.1%}".replace("%", " %").replace("-", MINUS) if reference else "",
        _p(difference.p),
        _p(difference.p_holm),
        ""
        if effect is None or math.isnan(effect.cohen_dz)
        else f"{effect.cohen_dz:+.2f}".replace("-", MINUS),
        ""
        if effect is None
        else f"{effect.share_higher:.0%} up, {effect.share_lower:.0%} down".replace("%", " %"),
        _verdict(name, difference.value, difference.p_holm),
    )


def _verdict(name: str, difference: float, p: float) -> bool | None:
    higher = info(name).higher_is_better
    if higher is None or not p < SIGNIFICANT or difference == 0:
        return None
    return (difference > 0) == higher


def _range(name: str, ci95: tuple[float, float]) -> str:
    return "" if math.isnan(ci95[0]) else "\u2013".join(format_value(name, end) for end in ci95)


def _signed(name: str, value: float) -> str:
    """A difference, with a decimal more than values have."""
    return ("+" if value >= 0 else MINUS) + f"{abs(value):.{info(name).digits + 1}f}"


def _p(p: float) -> str:
    if math.isnan(p):
        return ""
    return "< .001" if p < 0.001 else f"{p:.3f}".removeprefix("0")


def planes_of(comparison: Comparison) -> list[Plot]:
    """Accuracy (the first such metric that was compared) against each chosen diversity metric."""
    by_kind = {metric: split_name(metric)[0] in ACCURACY for metric in comparison.metrics}
    accuracy = next((metric for metric, accurate in by_kind.items() if accurate), None)
    if accuracy is None:
        return []
    chosen: Sequence[str] = comparison.config.diversity or [
        m for m, accurate in by_kind.items() if not accurate
    ]
    return [plane(comparison, accuracy, diversity, number) for number, diversity in enumerate(chosen)]


def _render(comparison: Comparison) -> str:
    content = {
        "comparison": comparison,
        "blocks": blocks_of(comparison),
        "plots": planes_of(comparison),
        "significant": SIGNIFICANT,
        "note_on_distances": note_on_distances((entry.metric, entry.value) for entry in comparison.entries),
    }
    return render("crossrec.evaluation.comparison", "template.html", content)

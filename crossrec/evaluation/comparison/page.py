"""Pages of a comparison: ``comparison.json`` and a self-contained ``comparison.html`` with its plots."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from crossrec.evaluation.comparison.compare import ComparedMetric, Comparison, split_name
from crossrec.evaluation.metrics import ACCURACY
from crossrec.evaluation.pareto import on_front
from crossrec.evaluation.report.figures import GRID, MUTED, Plot, canvas, colour, marker, short, spread
from crossrec.evaluation.report.glossary import NO_INTERVAL, arrow, format_value, info, note_on_distances
from crossrec.evaluation.report.render import render
from crossrec.evaluation.significance import SIGNIFICANT
from crossrec.runtime.files import write_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes


JSON_FILE, HTML_FILE = "comparison.json", "comparison.html"


MINUS = "\u2212"


@dataclass(frozen=True)
class Line:
    """One system's row under a metric; empty text where there is no value.

    ``verdict`` is True if it is significantly better than the reference, False if it is worse, None if the
    corrected p is not below 0.05 or neither direction of the metric is better.
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
    """Return a comparison as the tables show it, metric by metric."""
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
    """Write both files.

    Args:
        comparison: comparison to write.
        folder: folder of the files; created if it does not exist.
    """
    write_text(folder / JSON_FILE, json.dumps(comparison.to_dict(), indent=2, allow_nan=False) + "\n")
    write_text(folder / HTML_FILE, _render(comparison))


def _line(entry: ComparedMetric, reference: float) -> Line:
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
    """Return a signed difference, with one decimal more than values."""
    return ("+" if value >= 0 else MINUS) + f"{abs(value):.{info(name).digits + 1}f}"


def _p(p: float) -> str:
    if math.isnan(p):
        return ""
    return "< .001" if p < 0.001 else f"{p:.3f}".removeprefix("0")


def planes_of(comparison: Comparison) -> list[Plot]:
    """Plot accuracy (the first compared accuracy metric) against each chosen diversity metric."""
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


def plane(comparison: Comparison, accuracy: str, diversity: str, number: int) -> Plot:
    """Draw all systems by two metrics.

    Args:
        comparison: comparison to plot.
        accuracy: metric of the vertical axis.
        diversity: metric of the horizontal axis, which is inverted if lower values are more diverse.
        number: number of the drawing on its page.
    """
    ups = [comparison.entry(system, accuracy) for system in comparison.systems]
    rights = [comparison.entry(system, diversity) for system in comparison.systems]
    turned = info(diversity).higher_is_better is False
    sign = -1.0 if turned else 1.0
    points = np.array([[sign * right.value, up.value] for right, up in zip(rights, ups, strict=True)])
    front = on_front(points)
    with canvas(f"plane-{number}", width=5.6, height=4.2) as (axes, drawn):
        axes.set(xlabel=f"{diversity}, more diverse →", ylabel=f"{accuracy}, better →")
        axes.margins(0.12)
        for place, (right, up) in enumerate(zip(rights, ups, strict=True)):
            _draw_system(axes, place, right, up, on_front=bool(front[place]))
        if turned:
            axes.invert_xaxis()
        _draw_front(axes, sign * points[front, 0], points[front, 1], sign)
        _draw_names(axes, rights, ups)
    listed = "; ".join(
        f"{up.system} {format_value(diversity, right.value)} and {format_value(accuracy, up.value)}"
        for right, up in zip(rights, ups, strict=True)
    )
    kept = ", ".join(s for s, on in zip(comparison.systems, front, strict=True) if on) or "nobody"
    return Plot(
        f"{accuracy} against {diversity}",
        f"Higher is more accurate, further right more diverse. Lines: 95 % intervals. Dashed: Pareto front "
        f"({kept}), the systems that no other system dominates. Hollow: dominated systems.",
        f"Scatter plot of {diversity} and {accuracy}: {listed}. On the front: {kept}.",
        drawn[0],
    )


def _draw_front(axes: Axes, x: np.ndarray, y: np.ndarray, sign: float) -> None:
    """Draw a step line through the front's points: points below and left of it are dominated."""
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    axes.set(xlim=(left, right), ylim=(bottom, top))
    order = np.argsort(sign * x, kind="stable")
    if len(order):
        across = np.concatenate([[left], x[order], [x[order[-1]]]])
        up = np.concatenate([[y[order[0]]], y[order], [bottom]])
        axes.step(across, up, where="pre", color=MUTED, linestyle="--", linewidth=1.2, zorder=1)


def _draw_system(
    axes: Axes, place: int, right: ComparedMetric, up: ComparedMetric, *, on_front: bool
) -> None:
    shade = colour(place)
    axes.plot(right.ci95, [up.value] * 2, color=shade, linewidth=1.1, alpha=0.5)
    axes.plot([right.value] * 2, up.ci95, color=shade, linewidth=1.1, alpha=0.5)
    axes.plot(
        right.value,
        up.value,
        marker(place),
        color=shade,
        markersize=10 if place == 0 else 7.5,
        markerfacecolor=shade if on_front else "white",
        zorder=3,
    )


def _draw_names(axes: Axes, rights: list[ComparedMetric], ups: list[ComparedMetric]) -> None:
    """Draw names beside the points, on the free side, at distinct heights."""
    (left, right_end), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    high = top - bottom
    heights = spread(
        [up.value + 0.03 * high for up in ups], 0.065 * high, bottom + 0.03 * high, top - 0.03 * high
    )
    for place, (right, up, height) in enumerate(zip(rights, ups, heights, strict=True)):
        beyond = (right.value - left) / (right_end - left) > 0.5
        axes.annotate(
            short(up.system),
            (right.value, up.value),
            xytext=(right.value + (-0.025 if beyond else 0.025) * (right_end - left), float(height)),
            ha="right" if beyond else "left",
            va="center",
            color=colour(place),
            fontsize=9.5,
            fontweight="bold" if place == 0 else "normal",
            arrowprops={"arrowstyle": "-", "color": GRID, "linewidth": 0.7, "shrinkB": 4},
        )

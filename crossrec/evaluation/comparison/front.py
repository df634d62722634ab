"""The accuracy-diversity plane: systems as points with intervals, and the front of those not dominated."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from crossrec.evaluation.comparison.compare import Comparison, Entry
from crossrec.evaluation.pareto import on_front
from crossrec.evaluation.report.figures import GRID, MUTED, Plot, canvas, colour, marker, short, spread
from crossrec.evaluation.report.glossary import format_value, info

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plane(comparison: Comparison, accuracy: str, diversity: str, number: int) -> Plot:
    """Draws all systems by two metrics.

    Args:
        comparison: what was compared.
        accuracy: the metric upwards.
        diversity: the metric to the right; turned round where less of it is more diverse.
        number: of the drawing on its page.
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
        f"Up is more accurate, right more diverse. Lines: 95 % intervals. Dashed: the Pareto front ({kept}), "
        "the systems that no other one beats in both by value; hollow ones are beaten.",
        f"Scatter plot of {diversity} and {accuracy}: {listed}. On the front: {kept}.",
        drawn[0],
    )


def _draw_front(axes: Axes, x: np.ndarray, y: np.ndarray, sign: float) -> None:
    """Steps from edge to edge through the front's points: what is below and left of them is beaten."""
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    axes.set(xlim=(left, right), ylim=(bottom, top))
    order = np.argsort(sign * x, kind="stable")
    if len(order):
        across = np.concatenate([[left], x[order], [x[order[-1]]]])
        up = np.concatenate([[y[order[0]]], y[order], [bottom]])
        axes.step(across, up, where="pre", color=MUTED, linestyle="--", linewidth=1.2, zorder=1)


def _draw_system(axes: Axes, place: int, right: Entry, up: Entry, *, on_front: bool) -> None:
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


def _draw_names(axes: Axes, rights: list[Entry], ups: list[Entry]) -> None:
    """Names beside the points, on the side where there is room, none at another's height."""
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

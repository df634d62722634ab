"""The plots of a study: each method's front, on validation and on test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from crossrec.ablation.tradeoff.config import TradeoffConfig
from crossrec.ablation.tradeoff.outcome import Chosen
from crossrec.ablation.tradeoff.sweep import Table
from crossrec.evaluation.report.figures import INK, MUTED, Plot, canvas, colour, marker, short
from crossrec.evaluation.report.glossary import info

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH, HEIGHT = 5.2, 4.3
VIEW = 1.6
"""How much further down than a hypervolume's greatest loss the plots go, as a multiple of it."""


def front_plots(
    config: TradeoffConfig,
    valid: Table,
    test: Table,
    chosen: Chosen,
    methods: Mapping[str, Sequence[int]],
) -> list[Plot]:
    """For each measure two plots: the fronts where they were chosen, and the same points on test."""
    plots = []
    for measure in config.diversity:
        plots.append(_plot(config, valid, chosen, methods, measure, "validation"))
        plots.append(_plot(config, test, chosen, methods, measure, "test"))
    return plots


def _plot(
    config: TradeoffConfig,
    table: Table,
    chosen: Chosen,
    methods: Mapping[str, Sequence[int]],
    measure: str,
    part: str,
) -> Plot:
    x_V, y_V = table.values[measure].mean(1), table.values[config.accuracy].mean(1)
    x_name, y_name = f"{measure}@{config.k}", f"{config.accuracy}@{config.k}"
    picked = {name: _picks(chosen, measure, name, config) for name in methods}
    turned = info(measure).higher_is_better is False
    sign = 1.0 if turned else -1.0
    told = []
    with canvas(f"front-{measure}-{part}", WIDTH, HEIGHT) as (axes, drawn):
        for place, (name, points) in enumerate(methods.items()):
            front = chosen.fronts[measure, name]
            if part == "validation":
                axes.plot(x_V[points], y_V[points], ".", color=colour(place), alpha=0.25, markersize=5)
            axes.plot(
                x_V[front],
                y_V[front],
                marker=marker(place),
                markersize=4.5,
                linewidth=1.5,
                color=colour(place),
                label=short(name),
            )
            for point in picked[name]:
                _ring(axes, x_V[point], y_V[point], colour(place))
            reached = front[int(np.argmin(sign * x_V[front]))]
            told.append(f"{name} reaches {x_name} {x_V[reached]:.3f} at {y_name} {y_V[reached]:.4f}")
        axes.plot(x_V[0], y_V[0], "*", color=INK, markersize=14, label="unreranked", zorder=5)
        for budget in sorted({goal.budget for goal in config.goals.values()}):
            axes.axhline(y_V[0] * (1 - budget), color=MUTED, linestyle="--", linewidth=1)
        _limits(axes, config, chosen, methods, measure, x_V, y_V)
        better = "← better" if turned else "more diverse →"
        axes.set(xlabel=f"{x_name}, {better}", ylabel=f"{y_name}, better →")
        axes.legend(loc="lower left")
    how = (
        "Lines: fronts of the means over seeds; faint: all points."
        if part == "validation"
        else "The points that made the fronts on validation, in their order there; nothing was chosen here."
    )
    return Plot(
        f"{y_name} against {x_name}, {part}",
        f"{how} Rings: picked points. Dashed: the budget.",
        f"Fronts on {part}: {'; '.join(told)}.",
        drawn[0],
    )


def _picks(chosen: Chosen, measure: str, method: str, config: TradeoffConfig) -> list[int]:
    """Points picked for a goal that wants this measure."""
    titles = [title for title, goal in config.goals.items() if measure in goal.gains]
    found = [chosen.picks[title, method] for title in titles]
    return [point for point in dict.fromkeys(found) if point is not None]


def _ring(axes: Axes, x: float, y: float, shade: str) -> None:
    axes.plot(x, y, "o", markersize=13, markerfacecolor="none", markeredgewidth=1.8, color=shade)


def _limits(
    axes: Axes,
    config: TradeoffConfig,
    chosen: Chosen,
    methods: Mapping[str, Sequence[int]],
    measure: str,
    x_V: np.ndarray,
    y_V: np.ndarray,
) -> None:
    """Shows the fronts down to somewhat beyond the losses that count; the ruin beyond would hide them."""
    floor = y_V[0] * (1 - VIEW * config.hypervolume_loss)
    shown = [0, *(p for name in methods for p in chosen.fronts[measure, name] if y_V[p] >= floor)]
    xs, ys = x_V[shown], y_V[shown]
    x_pad = 0.06 * (xs.max() - xs.min()) or 0.01
    top = ys.max() + 0.06 * max(ys.max() - floor, 1e-6)
    axes.set_xlim(xs.min() - x_pad, xs.max() + x_pad)
    axes.set_ylim(min(floor, y_V[0] * 0.99), top)

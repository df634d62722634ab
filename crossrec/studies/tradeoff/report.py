"""Plots, tables and the HTML page of a trade-off study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.table import Table

from crossrec.evaluation.report.figures import INK, MUTED, Plot, canvas, colour, marker, short
from crossrec.evaluation.report.glossary import arrow, info
from crossrec.experiment.results import console
from crossrec.studies.folder import write_page
from crossrec.studies.tradeoff.config import TradeoffConfig
from crossrec.studies.tradeoff.fronts import Chosen
from crossrec.studies.tradeoff.sweep import PointTable

if TYPE_CHECKING:
    from matplotlib.axes import Axes


WIDTH, HEIGHT = 5.2, 4.3
VIEW = 1.6
"""Lower end of the plots, as a multiple of the hypervolume's largest loss."""


def front_plots(
    config: TradeoffConfig,
    valid: PointTable,
    test: PointTable,
    chosen: Chosen,
    methods: Mapping[str, Sequence[int]],
) -> list[Plot]:
    """Return two plots per measure: the fronts on validation, and the same points on test."""
    plots = []
    for measure in config.diversity:
        plots.append(_plot(config, valid, chosen, methods, measure, "validation"))
        plots.append(_plot(config, test, chosen, methods, measure, "test"))
    return plots


def _plot(
    config: TradeoffConfig,
    table: PointTable,
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
        "Lines: Pareto fronts of the means over seeds; faint: all points."
        if part == "validation"
        else "The points on the validation fronts, in the same order; nothing was selected on test."
    )
    return Plot(
        f"{y_name} against {x_name}, {part}",
        f"{how} Rings: selected points. Dashed: maximum allowed loss.",
        f"Fronts on {part}: {'; '.join(told)}.",
        drawn[0],
    )


def _picks(chosen: Chosen, measure: str, method: str, config: TradeoffConfig) -> list[int]:
    """Return points picked for a goal that wants this measure."""
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
    """Set axis limits so that the fronts are shown to somewhat beyond the largest loss considered."""
    floor = y_V[0] * (1 - VIEW * config.hypervolume_loss)
    shown = [0, *(p for name in methods for p in chosen.fronts[measure, name] if y_V[p] >= floor)]
    xs, ys = x_V[shown], y_V[shown]
    x_pad = 0.06 * (xs.max() - xs.min()) or 0.01
    top = ys.max() + 0.06 * max(ys.max() - floor, 1e-6)
    axes.set_xlim(xs.min() - x_pad, xs.max() + x_pad)
    axes.set_ylim(min(floor, y_V[0] * 0.99), top)


def show_picks(found: dict[str, Any]) -> None:
    """Print one table per goal, with every method's pick on test beside the reference; then hypervolumes."""
    out = console()
    for goal in found["goals"]:
        out.print(_goal_table(found, goal))
        if goal["best_method"] is not None:
            out.print(_how_to_apply(found, goal["picks"][goal["best_method"]]), highlight=False, markup=False)
    out.print(_hypervolume_table(found))


def _how_to_apply(found: dict[str, Any], point: dict[str, Any]) -> str:
    """Return the command that measures a run with the picked rerankers."""
    runs = " or ".join(found["runs"][point["model"]])
    overrides = " ".join(f"'{override}'" for override in point["overrides"])
    return f"To apply {point['label']}: evaluate.py RUN {overrides}".rstrip() + f"\n  where RUN is {runs}"


def _goal_table(found: dict[str, Any], goal: dict[str, Any]) -> Table:
    accuracy, k = found["accuracy"], found["k"]
    shown = list(dict.fromkeys([accuracy, *goal["wanted"], *found["reference"]["test"]]))
    wanted = ", ".join(f"{m}@{k} +{gain:.0%}" for m, gain in goal["wanted"].items())
    table = Table(
        title=f"{goal['goal']}: target {wanted} at a loss of at most {goal['budget']:.1%} of {accuracy}@{k}",
        caption="Test values of points selected on validation, means over seeds; relative gain below, with "
        "its 95 % interval over users. * best method on validation.",
        show_lines=True,
    )
    table.add_column("method")
    for metric in shown:
        table.add_column(f"{metric}@{k}", justify="right")
    reference = found["reference"]
    table.add_row(reference["label"], *(f"{number(reference['test'][m]['value'])}" for m in shown))
    for name, point in goal["picks"].items():
        star = "* " if name == goal["best_method"] else ""
        if point is None:
            table.add_row(f"{star}{name}", "none within the budget", *[""] * (len(shown) - 1))
            continue
        cells = [f"{number(point['test'][m]['value'])}\n{gain_text(point['test'][m])}" for m in shown]
        table.add_row(f"{star}{name}\n{point['label']}", *cells)
    return table


def _hypervolume_table(found: dict[str, Any]) -> Table:
    table = Table(
        title=f"Hypervolume: mean relative gain over losses of {found['accuracy']}@{found['k']} "
        f"from 0 to {found['hypervolume_loss']:.0%}",
        caption="Mean over seeds ± standard deviation; 95 % interval over users.",
    )
    for heading in ("measure", "method", "validation", "test", "interval"):
        table.add_column(heading, justify="left" if heading in ("measure", "method") else "right")
    for front in found["fronts"]:
        valid, test = front["hypervolume_valid"], front["hypervolume_test"]
        table.add_row(
            f"{front['measure']}@{found['k']}",
            front["method"],
            with_spread(valid),
            with_spread(test),
            range_text(test["ci95_users"]),
        )
    return table


def number(value: float | None) -> str:
    """Return a value with four decimals, or a word if it is missing."""
    return "none" if value is None else f"{value:.4f}"


def percent(value: float | None) -> str:
    """Return a relative gain, signed."""
    return "none" if value is None else f"{value:+.1%}"


def gain_text(entry: dict[str, Any]) -> str:
    """Return a relative gain with its interval over users."""
    low, high = entry["gain_ci95_users"]
    if low is None or entry["gain"] is None:
        return percent(entry["gain"])
    return f"{percent(entry['gain'])} [{low:+.1%}, {high:+.1%}]"


def with_spread(entry: dict[str, Any]) -> str:
    """Return a mean over seeds with its standard deviation, where there are several seeds."""
    return number(entry["value"]) if entry["sd"] is None else f"{number(entry['value'])} ± {entry['sd']:.4f}"


def range_text(bounds: list[float | None]) -> str:
    """Return an interval, empty where there is none."""
    low, high = bounds
    return "" if low is None or high is None else f"[{low:.4f}, {high:.4f}]"


def write_report(
    path: Path,
    config: TradeoffConfig,
    found: Mapping[str, Any],
    valid: PointTable,
    test: PointTable,
    chosen: Chosen,
    methods: Mapping[str, Sequence[int]],
    config_text: str,
) -> None:
    """Write the study's page.

    Args:
        path: path of the file.
        config: configuration of the study.
        found: content of ``picked.json``.
        valid: all points on validation.
        test: the chosen points on test.
        chosen: fronts and picks.
        methods: name -> its points.
        config_text: the resolved configuration.
    """
    content = {
        "found": found,
        "plots": front_plots(config, valid, test, chosen, methods),
        "goals": [_goal(found, goal) for goal in found["goals"]],
        "columns": [
            {
                "name": f"{m}@{found['k']}",
                "meaning": info(m).meaning,
                "arrow": arrow(m),
            }
            for m in test.values
        ],
        "fronts": _by_measure(found),
        "config_text": config_text,
    }
    write_page(path, "tradeoff", content)


def _goal(found: Mapping[str, Any], goal: Mapping[str, Any]) -> dict[str, Any]:
    k = found["k"]
    wanted = " and ".join(f"{gain:.0%} more {m}@{k}" for m, gain in goal["wanted"].items())
    reference = found["reference"]
    rows = [_row("reference", reference, best=False, of_reference=True)]
    for name, point in goal["picks"].items():
        best = name == goal["best_method"]
        if point is None:
            rows.append({"name": name, "point": "no point within the budget", "best": best, "cells": []})
        else:
            rows.append(_row(name, point, best=best, of_reference=False))
    return {
        "title": goal["goal"],
        "wanted": f"{wanted}, for at most {goal['budget']:.1%} of {found['accuracy']}@{k}",
        "verdict": _verdict(found, goal),
        "rows": rows,
    }


def _row(name: str, point: Mapping[str, Any], *, best: bool, of_reference: bool) -> dict[str, Any]:
    cells = []
    for entry in point["test"].values():
        low, high = entry["ci95_users"] if of_reference else entry["gain_ci95_users"]
        bounds = range_text([low, high]) if of_reference else _percents(low, high)
        cells.append(
            {
                "text": with_spread(entry),
                "gain": "" if of_reference else percent(entry["gain"]),
                "interval": bounds,
            }
        )
    return {"name": name, "point": point["label"], "best": best, "cells": cells}


def _percents(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f"{low:+.1%} to {high:+.1%}"


def _verdict(found: Mapping[str, Any], goal: Mapping[str, Any]) -> str:
    """Return one sentence on the test values of the point picked on validation."""
    name = goal["best_method"]
    if name is None:
        return "No method has a point within the budget on validation."
    test = goal["picks"][name]["test"]
    changes = [f"{percent(test[m]['gain'])} {m}@{found['k']}" for m in [found["accuracy"], *goal["wanted"]]]
    missed = [m for m, kept in goal["picks"][name]["kept_on_test"].items() if not kept]
    ending = f"; on test it misses the required gain of {', '.join(missed)}" if missed else ", as required"
    return (
        f"{goal['picks'][name]['label']} was selected on validation. On test: {', '.join(changes)}{ending}."
    )


def _by_measure(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    groups: dict[str, list[dict[str, Any]]] = {}
    for front in found["fronts"]:
        differences = [
            d
            for d in found["differences"]
            if d["measure"] == front["measure"] and d["other"] == front["method"]
        ]
        test, gap = front["hypervolume_test"], differences[0]["test"] if differences else None
        groups.setdefault(front["measure"], []).append(
            {
                "method": front["method"],
                "best": gap is None,
                "valid": with_spread(front["hypervolume_valid"]),
                "test": with_spread(test),
                "interval": range_text(test["ci95_users"]),
                "gap": "" if gap is None else number(gap["value"]),
                "gap_users": "" if gap is None else range_text(gap["ci95_users"]),
                "gap_seeds": "" if gap is None else range_text(gap["ci95_seeds"]),
            }
        )
    return [{"measure": f"{m}@{found['k']}", "rows": rows} for m, rows in groups.items()]

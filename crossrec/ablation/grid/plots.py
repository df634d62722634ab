"""Plots of an ablation, as matplotlib figures: for its folder, and for notebooks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import polars as pl

from crossrec.ablation.grid.checks import split_slice
from crossrec.ablation.grid.results import Results
from crossrec.evaluation.report.figures import INK, MUTED, STYLE, colour, marker, short
from crossrec.evaluation.report.glossary import arrow

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH, ROW = 3.6, 0.42


@contextmanager
def styled() -> Iterator[None]:
    """The look of the project's plots while the block runs."""
    import matplotlib

    with matplotlib.rc_context(STYLE):
        yield


def dot_plot(results: Results, metrics: Sequence[str], columns: int = 3) -> Figure:
    """A panel a metric: each variant's mean with its 95 % interval over users, and its seeds as small dots.

    The dashed line is the reference.

    Args:
        results: of a study whose variants were compared.
        metrics: some of those compared.
        columns: of panels.
    """
    from matplotlib.figure import Figure

    columns = min(columns, len(metrics))
    rows = -(-len(metrics) // columns)
    height = 0.9 + ROW * len(results.variants)
    with styled():
        figure = Figure(figsize=(1.4 + WIDTH * columns, rows * height), layout="constrained")
        panels = figure.subplots(rows, columns, sharey=True, squeeze=False).ravel()
        for axes, metric in zip(panels, metrics, strict=False):
            _panel(axes, results, metric)
        for axes in panels[len(metrics) :]:
            axes.set_visible(False)
    return figure


def _panel(axes: Axes, results: Results, metric: str) -> None:
    names = [variant.name for variant in results.variants]
    rows = results.summary.filter(pl.col("metric") == metric)
    found = {row["variant"]: row for row in rows.iter_rows(named=True)}
    seeds = (
        {}
        if results.comparison is None
        else {entry.system: entry.seeds for entry in results.comparison.entries if entry.metric == metric}
    )
    for place, name in enumerate(names):
        if name not in found:
            continue
        row = found[name]
        if "low" in row:
            axes.plot([row["low"], row["high"]], [place, place], color=colour(0), linewidth=2.2, alpha=0.55)
        own = seeds.get(name, [])
        axes.plot(own, [place + 0.18] * len(own), ".", color=MUTED, markersize=5)
        axes.plot(row["value"], place, "o", color=colour(0), markersize=7)
    if results.comparison is not None:
        reference = results.comparison.entry(results.comparison.systems[0], metric)
        axes.axvline(reference.value, color=INK, linestyle="--", linewidth=1)
    axes.set(yticks=range(len(names)), ylim=(len(names) - 0.5, -0.5), xlabel=f"{metric} {_arrow(metric)}")
    axes.set_yticklabels([short(name) for name in names])


def _arrow(metric: str) -> str:
    return arrow(split_slice(metric)[1])


def plane_plot(results: Results, diversity: Sequence[str], accuracy: str) -> Figure:
    """Accuracy against measures of diversity, a panel each; lines are 95 % intervals over users.

    Args:
        results: of a study whose variants were compared.
        diversity: measures along the horizontal axes.
        accuracy: along the vertical one.
    """
    from matplotlib.figure import Figure

    names = [variant.name for variant in results.variants]
    with styled():
        figure = Figure(figsize=(1.0 + 4.1 * len(diversity), 4.2), layout="constrained")
        panels = figure.subplots(1, len(diversity), sharey=True, squeeze=False).ravel()
        for axes, measure in zip(panels, diversity, strict=True):
            for place, name in enumerate(names):
                _cross(axes, results, name, measure, accuracy, place)
            axes.set_xlabel(f"{measure} {_arrow(measure)}")
        panels[0].set_ylabel(f"{accuracy} {_arrow(accuracy)}")
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside right center")
    return figure


def _cross(axes: Axes, results: Results, name: str, measure: str, accuracy: str, place: int) -> None:
    own = results.summary.filter(pl.col("variant") == name)
    x, y = (own.filter(pl.col("metric") == metric).row(0, named=True) for metric in (measure, accuracy))
    if "low" in x:
        axes.plot([x["low"], x["high"]], [y["value"]] * 2, color=colour(place), alpha=0.45, linewidth=1.4)
        axes.plot([x["value"]] * 2, [y["low"], y["high"]], color=colour(place), alpha=0.45, linewidth=1.4)
    shade, kind = colour(place), marker(place)
    axes.plot(x["value"], y["value"], kind, color=shade, markersize=8, label=short(name), linestyle="none")

"""Plots of a report: accuracy, its trade-off with diversity, exposure, and training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from crossrec.evaluation.report.content import RecommenderResult
from crossrec.evaluation.report.figures import (
    INK,
    MUTED,
    Plot,
    canvas,
    colour,
    marker,
    short,
    spread,
    thin,
)
from crossrec.evaluation.report.glossary import (
    CUTOFF,
    ReportedEstimate,
    at_cutoff,
    estimate,
    format_interval,
    format_value,
    is_number,
)
from crossrec.types import ABSENT

if TYPE_CHECKING:
    from matplotlib.axes import Axes


MAX_POINTS = 300
"""Maximum number of points of a training curve; more are averaged."""


STEP, EVAL = "step", "eval"


Found = list[tuple[int, str, ReportedEstimate]]


@dataclass(frozen=True)
class Point:
    """One recommender in a scatter plot; ``index`` is its index among the results."""

    index: int
    label: str
    x: ReportedEstimate
    y: ReportedEstimate

    @property
    def y_range(self) -> tuple[float, float]:
        """The interval of y, or y twice."""
        return self.y.interval or (self.y.value, self.y.value)


def accuracy_bars(results: Sequence[RecommenderResult], base: str) -> Plot | None:
    """Plot bars of one metric with 95 % intervals; None if no recommender has it."""
    name = at_cutoff(base)
    found = _found(results, name)
    if not found:
        return None
    with canvas(f"bars-{base}", height=0.7 + 0.6 * len(found)) as (axes, drawn):
        limit = max(max(one.value, *(one.interval or (0.0,))) for _, _, one in found) or 1.0
        for place, (i, label, one) in enumerate(found):
            axes.barh(place, one.value, height=0.38, color=colour(i))
            if one.interval is not None:
                low, high = one.interval
                axes.plot(
                    [low, high],
                    [place, place],
                    color=INK,
                    linewidth=1.6,
                    marker="|",
                    markersize=7,
                )
            axes.text(
                0,
                place - 0.29,
                f"{short(label)}: {format_value(name, one.value)}",
                va="bottom",
            )
        axes.set(
            xlim=(0, limit * 1.04),
            ylim=(len(found) - 0.6, -0.75),
            yticks=[],
            xlabel=name,
        )
        axes.spines["left"].set_visible(False)
        axes.grid(axis="y", visible=False)
    listed = "; ".join(
        f"{label} {format_value(name, one.value)}"
        + (f" ({format_interval(name, one)})" if one.interval else "")
        for _, label, one in found
    )
    return Plot(
        f"Accuracy: {name}",
        "Bars: values. Black lines: 95 % intervals.",
        f"Bar chart of {name}: {listed}.",
        drawn[0],
    )


def trade_off(results: Sequence[RecommenderResult], accuracy: str, diversity: str) -> Plot | None:
    """Plot accuracy against diversity, with a named point for each recommender that has both."""
    y_name, x_name = at_cutoff(accuracy), at_cutoff(diversity)
    y_of = {i: one for i, _, one in _found(results, y_name)}
    points = [Point(i, label, one, y_of[i]) for i, label, one in _found(results, x_name) if i in y_of]
    if not points:
        return None
    with canvas(f"trade-{diversity}") as (axes, drawn):
        axes.set(xlabel=f"{x_name}, more diverse →", ylabel=f"{y_name}, better →")
        axes.set_xlim(*_padded([point.x.value for point in points], 0.12))
        axes.set_ylim(*_padded([bound for point in points for bound in point.y_range], 0.1))
        _named_points(axes, points)
    listed = "; ".join(
        f"{p.label} {format_value(x_name, p.x.value)} and {format_value(y_name, p.y.value)}" for p in points
    )
    return Plot(
        f"{y_name} against {x_name}",
        "Higher is more accurate, further right more diverse: the upper right corner is best. "
        "Lines: 95 % intervals.",
        f"Scatter plot of {x_name} and {y_name}: {listed}.",
        drawn[0],
    )


def _named_points(axes: Axes, points: Sequence[Point]) -> None:
    """Draw named points, with names on the free side and at distinct heights."""
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    high, aside = top - bottom, 0.05 * (right - left)
    heights = spread([p.y.value for p in points], 0.075 * high, bottom + 0.04 * high, top - 0.04 * high)
    for point, height in zip(points, heights, strict=True):
        shade, model = colour(point.index), point.index == 0
        axes.plot([point.x.value] * 2, point.y_range, color=shade, linewidth=1.2, alpha=0.5)
        axes.plot(
            point.x.value,
            point.y.value,
            marker(point.index),
            color=shade,
            markersize=10 if model else 7,
            clip_on=False,
        )
        side = -1 if point.x.value > (left + right) / 2 else 1
        axes.annotate(
            short(point.label),
            (point.x.value, point.y.value),
            xytext=(_beside(points, point, float(height), side, 0.04 * high) + side * aside, float(height)),
            ha="right" if side < 0 else "left",
            va="center",
            color=shade,
            fontsize=9.5,
            fontweight="bold" if model else "normal",
            arrowprops={
                "arrowstyle": "-",
                "color": shade,
                "linewidth": 0.7,
                "relpos": (1.0 if side < 0 else 0.0, 0.5),
                "shrinkA": 1,
                "shrinkB": 4,
            },
        )


def _beside(points: Sequence[Point], point: Point, height: float, side: int, margin: float) -> float:
    """Return where a name may start: past the neighbours, drawn with their intervals, that block its way."""
    edge = point.x.value
    reach = 0.5 * max(abs(p.x.value - q.x.value) for p in points for q in points)
    for other in sorted(points, key=lambda p: side * p.x.value):
        low, high = other.y_range
        ahead = side * (other.x.value - edge)
        if low - margin <= height <= high + margin and 0 < ahead < reach / 2:
            edge = other.x.value
    return edge


def _padded(values: Sequence[float], share: float) -> tuple[float, float]:
    low, high = min(values), max(values)
    pad = (high - low) * share or max(abs(high) * share, 0.01)
    # The axis of a non-negative metric does not extend below 0.
    return (max(low - pad, 0.0) if low >= 0 else low - pad), high + pad


def training_curves(log: Sequence[dict[str, Any]], metrics: Sequence[str]) -> list[Plot]:
    """Plot the loss and the validation metrics by step, as far as the log has them."""
    steps = [line for line in log if line.get("kind") == STEP and is_number(line.get("loss"))]
    evals = [line for line in log if line.get("kind") == EVAL]
    plots = [_loss(steps)] if steps else []
    names = [at_cutoff(m) for m in metrics if any(is_number(line.get(at_cutoff(m))) for line in evals)]
    return [*plots, _validation(evals, names)] if names else plots


def _loss(steps: Sequence[dict[str, Any]]) -> Plot:
    at = thin(np.asarray([line["step"] for line in steps]), MAX_POINTS)
    loss = thin(np.asarray([line["loss"] for line in steps]), MAX_POINTS)
    told = f"from {loss[0]:.3g} at step {at[0]:.0f} to {loss[-1]:.3g} at step {at[-1]:.0f}"
    with canvas("loss", height=3.2) as (axes, drawn):
        axes.plot(at, loss, color=colour(0), linewidth=1.0, alpha=0.4)
        axes.plot(at, _smooth(loss), color=colour(0))
        axes.set(xlabel="step", ylabel="training loss")
    return Plot(
        "Training loss",
        "Faint: as logged; strong: moving average.",
        f"Line chart: the loss goes {told}.",
        drawn[0],
    )


def _smooth(values: np.ndarray) -> np.ndarray:
    reach = len(values) // 30
    sums = np.cumsum(np.insert(values, 0, 0.0))
    places = np.arange(len(values))
    starts, ends = np.maximum(0, places - reach), np.minimum(len(values), places + reach + 1)
    return np.asarray((sums[ends] - sums[starts]) / (ends - starts))


def _validation(evals: Sequence[dict[str, Any]], names: Sequence[str]) -> Plot:
    told = []
    with canvas("validation", height=3.2) as (axes, drawn):
        for i, name in enumerate(names):
            lines = [line for line in evals if is_number(line.get(name))]
            at = np.asarray([line["step"] for line in lines])
            values = np.asarray([line[name] for line in lines], dtype=float)
            axes.plot(at, values, marker=marker(i), markersize=5, color=colour(i), label=name)
            best = int(np.argmax(values))
            axes.plot(
                at[best],
                values[best],
                "o",
                markersize=12,
                markerfacecolor="none",
                color=colour(i),
            )
            told.append(f"{name} is highest, {values[best]:.4f}, at step {at[best]}")
        axes.set(xlabel="step", ylabel="on validation")
        axes.set_ylim(bottom=0)
        axes.legend(loc="lower right")
    return Plot(
        "Validation during training",
        "Rings mark the highest values. Test clicks are not used.",
        f"Line chart: {'; '.join(told)}.",
        drawn[0],
    )


def _found(results: Sequence[RecommenderResult], name: str) -> Found:
    found = [(i, result.name, estimate(result.metrics, name)) for i, result in enumerate(results)]
    return [(i, label, one) for i, label, one in found if one is not None]


GROUPS = 10


LORENZ_POINTS = 160


def exposure_counts(ids_QK: np.ndarray, n_items: int) -> np.ndarray:
    """Return (N,) counts of each item in the first ``CUTOFF`` ranks."""
    ids = ids_QK[:, :CUTOFF].ravel()
    return np.bincount(ids[ids != ABSENT], minlength=n_items)


def lorenz(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return at most ``LORENZ_POINTS`` cumulative shares of items and exposure, least shown first."""
    total = np.concatenate([[0], np.cumsum(np.sort(counts))]).astype(float)
    items = np.linspace(0.0, 1.0, len(total))
    # Exposure is concentrated at the right end: equal steps along the curve, not along the axis.
    length = np.cumsum(np.hypot(np.diff(items, prepend=0), np.diff(total / max(total[-1], 1.0), prepend=0)))
    picked = np.searchsorted(length, np.linspace(0, length[-1], LORENZ_POINTS)).clip(0, len(total) - 1)
    kept = np.unique(np.concatenate([[0], picked, [len(total) - 1]]))
    return items[kept], total[kept] / max(total[-1], 1.0)


def lorenz_plot(results: Sequence[RecommenderResult], n_items: int) -> Plot:
    """Plot Lorenz curves of the recommended items, with the line of equality.

    Source: Lorenz, "Methods of measuring the concentration of wealth", 1905.
    """
    name = at_cutoff("gini")
    told = []
    with canvas("lorenz", height=4.2) as (axes, drawn):
        axes.plot(
            [0, 1],
            [0, 1],
            color=MUTED,
            linewidth=1.2,
            linestyle="--",
            label="equal exposure",
        )
        for i, result in enumerate(results):
            gini = estimate(result.metrics, name)
            label = short(result.name) + (f", Gini {format_value(name, gini.value)}" if gini else "")
            told.append(label)
            items, shares = lorenz(exposure_counts(result.lists.ids, n_items))
            axes.plot(
                items,
                shares,
                color=colour(i),
                label=label,
                linewidth=2.6 if i == 0 else 1.8,
            )
        axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="share of items, least recommended first")
        axes.set_ylabel("share of recommendations")
        axes.legend(loc="upper left")
    return Plot(
        "Exposure",
        f"Distribution of the top {CUTOFF} ranks over all {n_items:,} items; closer to the dashed"
        " line is more even.",
        f"Lorenz curves of exposure: {'; '.join(told)}.",
        drawn[0],
    )


def decile_of(train_counts: np.ndarray) -> np.ndarray:
    """Return (N,) popularity decile of each item, 0 for the most clicked tenth of the catalogue."""
    n = len(train_counts)
    group = np.empty(n, dtype=np.int64)
    group[np.argsort(-np.asarray(train_counts), kind="stable")] = np.arange(n) * GROUPS // max(n, 1)
    return group


def decile_shares(counts: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Return (GROUPS,) share of ``counts`` in each popularity group; zeros where there are none."""
    sums = np.bincount(group, weights=counts, minlength=GROUPS)
    return np.asarray(sums / max(float(sums.sum()), 1.0))


def popularity_plot(results: Sequence[RecommenderResult], train_counts: np.ndarray) -> Plot:
    """Share of training clicks and of recommendations by popularity decile of the items."""
    group = decile_of(train_counts)
    places = np.arange(1, GROUPS + 1)
    clicks = decile_shares(train_counts, group)
    told = [f"training clicks {clicks[0]:.0%}"]
    with canvas("popularity", height=4.2) as (axes, drawn):
        axes.bar(places, 100 * clicks, color="#cfd6e2", width=0.8, label="training clicks")
        for i, result in enumerate(results):
            shares = decile_shares(exposure_counts(result.lists.ids, len(train_counts)), group)
            told.append(f"{result.name} {shares[0]:.0%}")
            axes.plot(
                places,
                100 * shares,
                color=colour(i),
                marker=marker(i),
                markersize=5,
                label=short(result.name),
            )
        axes.set(
            xticks=places,
            xlabel="item decile, most clicked first",
            ylabel="share in %",
            ylim=(0, None),
        )
        axes.grid(axis="x", visible=False)
        axes.legend(loc="upper right")
    return Plot(
        "Popularity of recommended items",
        "Above the gray bars: the recommender favors that decile of items more than the clicks do.",
        f"Share of the most clicked decile of items: {'; '.join(told)}.",
        drawn[0],
    )

"""The plots of accuracy, its trade-off with diversity, and training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from crossrec.evaluation.report.content import RecommenderResult
from crossrec.evaluation.report.figures import (
    INK,
    Plot,
    canvas,
    colour,
    marker,
    short,
    spread,
    thin,
)
from crossrec.evaluation.report.glossary import (
    Estimate,
    at_cutoff,
    estimate,
    format_interval,
    format_value,
)

MAX_POINTS = 300
"""Points drawn of a training curve; more are averaged."""
STEP, EVAL = "step", "eval"

Found = list[tuple[int, str, Estimate]]


def accuracy_bars(results: Sequence[RecommenderResult], base: str) -> Plot | None:
    """Bars of one metric with 95 % intervals; None where nobody has it."""
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
        "Bars are values, black lines 95 % intervals.",
        f"Bar chart of {name}: {listed}.",
        drawn[0],
    )


def trade_off(results: Sequence[RecommenderResult], accuracy: str, diversity: str) -> Plot | None:
    """Accuracy against diversity, a named point for each recommender that has both."""
    y_name, x_name = at_cutoff(accuracy), at_cutoff(diversity)
    y_of = {i: one for i, _, one in _found(results, y_name)}
    found = [(i, label, one, y_of[i]) for i, label, one in _found(results, x_name) if i in y_of]
    if not found:
        return None
    with canvas(f"trade-{diversity}") as (axes, drawn):
        xs, ys = (np.asarray([entry[column].value for entry in found]) for column in (2, 3))
        highest = max(max(y.value, *(y.interval or (0.0,))) for _, _, _, y in found) or 1.0
        axes.set(
            ylim=(0, highest * 1.12),
            xlabel=f"{x_name}, more diverse →",
            ylabel=f"{y_name}, better →",
        )
        axes.set_xlim(*_padded(xs))
        middle = float(np.mean(axes.get_xlim()))
        for side in (False, True):
            members = [k for k in range(len(found)) if (xs[k] > middle) == side]
            heights = spread(ys[members], highest * 0.085, highest * 0.03, highest * 1.08)
            for k, height in zip(members, heights, strict=True):
                _named_point(axes, found[k], float(height), label_left=side)
    listed = "; ".join(
        f"{label} {format_value(x_name, x.value)} and {format_value(y_name, y.value)}"
        for _, label, x, y in found
    )
    return Plot(
        f"{y_name} against {x_name}",
        "Up is more accurate, right is more diverse: the upper right corner is best.",
        f"Scatter plot of {x_name} and {y_name}: {listed}.",
        drawn[0],
    )


def _named_point(
    axes: Any,
    entry: tuple[int, str, Estimate, Estimate],
    height: float,
    *,
    label_left: bool,
) -> None:
    i, label, x, y = entry
    if y.interval is not None:
        axes.plot([x.value, x.value], y.interval, color=colour(i), linewidth=1.2, alpha=0.55)
    axes.plot(x.value, y.value, marker(i), color=colour(i), markersize=9 if i == 0 else 7)
    low, high = axes.get_xlim()
    axes.annotate(
        short(label),
        (x.value, y.value),
        xytext=(x.value + (high - low) * (-0.035 if label_left else 0.035), height),
        ha="right" if label_left else "left",
        va="center",
        color=colour(i),
        fontsize=9.5,
        fontweight="bold" if i == 0 else "normal",
        arrowprops={
            "arrowstyle": "-",
            "color": colour(i),
            "linewidth": 0.6,
            "shrinkA": 0,
            "shrinkB": 4,
        },
    )


def _padded(values: np.ndarray) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    pad = (high - low) * 0.12 or max(abs(high) * 0.1, 0.05)
    return low - pad, high + pad


def training_curves(log: Sequence[dict[str, Any]], metrics: Sequence[str]) -> list[Plot]:
    """The loss by step and the validation metrics by step; only what the log holds."""
    steps = [line for line in log if line.get("kind") == STEP and "loss" in line]
    evals = [line for line in log if line.get("kind") == EVAL]
    plots = [_loss(steps)] if steps else []
    names = [at_cutoff(m) for m in metrics if any(at_cutoff(m) in line for line in evals)]
    return [*plots, _validation(evals, names)] if names else plots


def _loss(steps: Sequence[dict[str, Any]]) -> Plot:
    at = thin(np.asarray([line["step"] for line in steps]), MAX_POINTS)
    loss = thin(np.asarray([line["loss"] for line in steps]), MAX_POINTS)
    with canvas("loss", height=3.2) as (axes, drawn):
        axes.plot(at, loss, color=colour(0), linewidth=1.0, alpha=0.4)
        axes.plot(at, _smooth(loss), color=colour(0))
        axes.set(xlabel="step", ylabel="training loss")
    return Plot(
        "Training loss",
        "Faint: as logged; strong: moving average.",
        f"Line chart: the loss goes from {loss[0]:.3g} at step {at[0]:.0f} to {loss[-1]:.3g} at step {at[-1]:.0f}.",
        drawn[0],
    )


def _smooth(values: np.ndarray) -> np.ndarray:
    window = max(1, len(values) // 15)
    sums = np.cumsum(np.insert(values, 0, 0.0))
    ends = np.arange(1, len(values) + 1)
    starts = np.maximum(0, ends - window)
    return np.asarray((sums[ends] - sums[starts]) / (ends - starts))


def _validation(evals: Sequence[dict[str, Any]], names: Sequence[str]) -> Plot:
    told = []
    with canvas("validation", height=3.2) as (axes, drawn):
        for i, name in enumerate(names):
            lines = [line for line in evals if name in line]
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
        "Rings mark the highest values; the test clicks play no part here.",
        f"Line chart: {'; '.join(told)}.",
        drawn[0],
    )


def _found(results: Sequence[RecommenderResult], name: str) -> Found:
    found = [(i, result.name, estimate(result.metrics, name)) for i, result in enumerate(results)]
    return [(i, label, one) for i, label, one in found if one is not None]

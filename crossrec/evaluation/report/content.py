"""Content of the report's tables and headline, as plain values for the template."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from crossrec.evaluation.bootstrap import estimate_difference
from crossrec.evaluation.report.glossary import (
    ReportedEstimate,
    arrow,
    at_cutoff,
    estimate,
    format_interval,
    format_value,
    info,
)
from crossrec.evaluation.significance import SIGNIFICANT, p_values
from crossrec.types import TopK

MAIN_METRICS = (
    "ndcg",
    "recall",
    "mrr",
    "coverage",
    "gini",
    "ild",
    "ild_behaviour",
    "novelty",
    "tail_share",
)
SLICE_METRICS = ("ndcg", "recall", "mrr", "hit")
HEADLINE_METRICS = ("ndcg", "recall", "coverage", "gini", "ild")


PERMUTATIONS = 4_999
"""Permutations of the headline's test."""


@dataclass(frozen=True)
class RecommenderResult:
    """One recommender's metrics and lists on the report's queries.

    Args:
        name: display name, such as ``item-kNN BM25``.
        metrics: ``ndcg@10`` to ``{"value": v, "ci95": [low, high]}``; the interval may be absent.
        slices: ``cold_items`` to ``{"n_queries": n, "metrics": {...}}``, metrics of the same shape;
            an optional ``"note"`` describes the slice.
        lists: (Q, K) ranked catalogue indices.
        per_user: ``user`` and a column per metric, for paired tests; None if unknown.
    """

    name: str
    metrics: dict[str, dict[str, Any]]
    slices: dict[str, dict[str, Any]]
    lists: TopK
    per_user: pl.DataFrame | None = None


@dataclass(frozen=True)
class Cell:
    """One number of a table; empty text if it was not measured."""

    text: str = ""
    interval: str = ""
    best: bool = False


@dataclass(frozen=True)
class Column:
    """Heading of a table's column."""

    name: str
    arrow: str
    meaning: str


@dataclass(frozen=True)
class MetricRow:
    """One row of a table."""

    name: str
    cells: list[Cell]
    meaning: str = ""


@dataclass(frozen=True)
class SliceRows:
    """One group of rows in the table of slices."""

    label: str
    n_queries: int
    note: str
    rows: list[MetricRow]


@dataclass(frozen=True)
class Tile:
    """One figure of the headline: the model's value and the best other one."""

    metric: str
    arrow: str
    value: str
    interval: str
    rival: str


def columns_of(names: Sequence[str]) -> list[Column]:
    """Return column headings of metrics, in the given order."""
    return [Column(name, arrow(name), info(name).meaning) for name in names]


def measured(maps: Sequence[Mapping[str, Any]], bases: Sequence[str]) -> list[str]:
    """Return the metrics, at the cutoff, that at least one recommender has."""
    names = [at_cutoff(base) for base in bases]
    return [name for name in names if any(estimate(metrics, name) for metrics in maps)]


def cells_of(name: str, maps: Sequence[Mapping[str, Any]]) -> list[Cell]:
    """Return the cells of a metric for every recommender, with the best value marked."""
    found = [estimate(metrics, name) for metrics in maps]
    best = _best(name, found)
    return [
        Cell()
        if one is None
        else Cell(format_value(name, one.value), format_interval(name, one), one.value == best)
        for one in found
    ]


def _best(name: str, found: Sequence[ReportedEstimate | None]) -> float | None:
    values = [one.value for one in found if one is not None]
    higher = info(name).higher_is_better
    # No marks if all values are equal.
    if len(set(values)) < 2 or higher is None:
        return None
    return max(values) if higher else min(values)


def rows_by_recommender(
    names: Sequence[str], recommenders: Sequence[str], maps: Sequence[Mapping[str, Any]]
) -> list[MetricRow]:
    """Return a table with recommenders as rows and metrics as columns."""
    by_metric = [cells_of(name, maps) for name in names]
    return [
        MetricRow(recommender, [cells[i] for cells in by_metric])
        for i, recommender in enumerate(recommenders)
    ]


def rows_by_metric(results: Sequence[RecommenderResult]) -> list[MetricRow]:
    """Return a table of every metric that was measured, recommenders as columns."""
    names = list(dict.fromkeys(name for result in results for name in result.metrics))
    maps = [result.metrics for result in results]
    kept = [name for name in names if any(estimate(metrics, name) for metrics in maps)]
    return [
        MetricRow(f"{name}\u00a0{arrow(name)}".strip(), cells_of(name, maps), info(name).meaning)
        for name in kept
    ]


def slice_table(results: Sequence[RecommenderResult]) -> tuple[list[str], list[SliceRows]]:
    """Return the metrics and groups of the table of slices; a recommender without a slice has empty cells."""
    slices = list(dict.fromkeys(name for result in results for name in result.slices))
    every = [entry["metrics"] for result in results for entry in result.slices.values()]
    metrics = measured(every, SLICE_METRICS)
    groups = []
    for name in slices:
        maps = [result.slices.get(name, {}).get("metrics", {}) for result in results]
        first = next(result.slices[name] for result in results if name in result.slices)
        rows = rows_by_recommender(metrics, [result.name for result in results], maps)
        groups.append(
            SliceRows(
                name.replace("_", " ").capitalize(), int(first["n_queries"]), first.get("note", ""), rows
            )
        )
    return metrics, groups


def headline(results: Sequence[RecommenderResult]) -> tuple[str, list[Tile]]:
    """Return a sentence that compares the model with the strongest baseline, and a few tiles."""
    model, names = results[0], measured([results[0].metrics], HEADLINE_METRICS)
    tiles = []
    for name in names:
        value = estimate(model.metrics, name)
        if value is not None:
            tiles.append(
                Tile(
                    name,
                    arrow(name),
                    format_value(name, value.value),
                    format_interval(name, value),
                    _rival(name, results[1:]),
                )
            )
    return _verdict(results), tiles


def _rival(name: str, others: Sequence[RecommenderResult]) -> str:
    found = [(other.name, one) for other in others if (one := estimate(other.metrics, name)) is not None]
    if not found:
        return ""
    sign = -1.0 if info(name).higher_is_better is False else 1.0
    rival, best = max(found, key=lambda pair: sign * pair[1].value)
    return f"best other: {format_value(name, best.value)}, {rival}"


def strongest_baseline(results: Sequence[RecommenderResult]) -> int | None:
    """Return the index of the best recommender by ndcg after the first; 1 if none was measured."""
    if len(results) < 2:
        return None
    name = at_cutoff("ndcg")
    values = [estimate(result.metrics, name) for result in results]
    return max(
        range(1, len(results)),
        key=lambda i: one.value if (one := values[i]) is not None else -1.0,
    )


def _verdict(results: Sequence[RecommenderResult]) -> str:
    rival, name = strongest_baseline(results), at_cutoff("ndcg")
    model = estimate(results[0].metrics, name)
    other = None if rival is None else estimate(results[rival].metrics, name)
    if model is None or other is None or rival is None:
        return ""
    ending = _paired(results[0], results[rival], name)
    if ending is None:
        ending = {
            True: " The 95 % intervals overlap: the difference may be due to chance.",
            False: " The 95 % intervals do not overlap.",
            None: "",
        }[model.overlaps(other)]
    relation = _relation(model.value, other.value)
    return (
        f"On {name}, {results[0].name} is {relation} {results[rival].name}, the strongest baseline.{ending}"
    )


def _paired(model: RecommenderResult, other: RecommenderResult, name: str) -> str | None:
    """Return a sentence on the users' differences between two recommenders; None if they are unknown."""
    if model.per_user is None or other.per_user is None:
        return None
    both = model.per_user.select("user", name).join(
        other.per_user.select("user", name), on="user", suffix="_other"
    )
    difference_U = (both[name] - both[f"{name}_other"]).to_numpy().astype(float)
    found = estimate_difference(difference_U)
    (p,) = p_values("randomisation", difference_U[:, None], PERMUTATIONS, seed=0)
    if np.isnan(p) or not np.isfinite(found["ci95"]).all():
        return None
    low, high = found["ci95"]
    sentence = (
        f" Paired by user, the difference is {found['value']:+.4f} [{low:+.4f}, {high:+.4f}], p {p:.2g}"
    )
    return (
        f"{sentence}: it may be due to chance." if p >= SIGNIFICANT else f"{sentence} (randomization test)."
    )


def _relation(mine: float, other: float) -> str:
    if mine == other:
        return "level with"
    side = "ahead of" if mine > other else "behind"
    return f"{abs(mine / other - 1):.0%} {side}".replace("%", " %") if other > 0 else side

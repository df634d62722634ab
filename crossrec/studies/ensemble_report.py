"""Page of an ensemble study: weights, table of members and ensemble, differences, plots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from crossrec.evaluation.comparison.compare import ComparedMetric, Comparison
from crossrec.evaluation.metrics import AGGREGATE
from crossrec.evaluation.report import RecommenderResult
from crossrec.evaluation.report.figures import Plot
from crossrec.evaluation.report.glossary import (
    arrow,
    estimate,
    format_interval,
    format_range,
    format_value,
    info,
)
from crossrec.evaluation.report.plots import accuracy_bars, trade_off
from crossrec.evaluation.significance import SIGNIFICANT
from crossrec.experiment.results import MeasuredRecommender
from crossrec.studies.folder import write_page


def write_report(
    path: Path,
    found: Mapping[str, Any],
    measured: Sequence[MeasuredRecommender],
    comparison: Comparison,
    config_text: str,
) -> None:
    """Write the study's page.

    Args:
        path: path of the file.
        found: content of ``ensemble.json``.
        measured: evaluations, the ensemble's first.
        comparison: comparison of the ensemble with its best member.
        config_text: the resolved configuration.
    """
    metrics = comparison.metrics
    content = {
        "found": found,
        "columns": [{"name": m, "meaning": info(m).meaning, "arrow": arrow(m)} for m in metrics],
        "rows": [_row(one, metrics, found) for one in measured],
        "members": _members(found),
        "trials": [_trial(trial, found) for trial in found["trials"]],
        "differences": [_difference(e) for e in comparison.entries if e.difference is not None],
        "test": comparison.config.test,
        "plots": _plots(measured),
        "config_text": config_text,
    }
    write_page(path, "ensemble", content)


def _row(one: MeasuredRecommender, metrics: Sequence[str], found: Mapping[str, Any]) -> dict[str, Any]:
    cells = []
    for metric in metrics:
        value = estimate(one.evaluation.metrics, metric)
        if value is None:
            cells.append({"text": "none", "interval": ""})
        else:
            cells.append(
                {"text": format_value(metric, value.value), "interval": format_interval(metric, value)}
            )
    return {"name": one.name, "best": one.name == found["best_member"], "cells": cells}


def _members(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "weight": f"{weight:.3f}",
            "valid": f"{found['member_validation'][name]:.4f}",
            "best": name == found["best_member"],
        }
        for name, weight in found["weights"].items()
    ]


def _trial(trial: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, Any]:
    spread = trial["cross_fitted_sd"]
    return {
        "label": trial["label"],
        "chosen": trial["fusion"] == found["fusion"],
        "weights": ", ".join(f"{name} {weight:.2f}" for name, weight in trial["weights"].items()),
        "value": f"{trial['value']:.4f}",
        "cross_fitted": f"{trial['cross_fitted']:.4f}" + ("" if spread is None else f" ± {spread:.4f}"),
        "tried": f"{trial['tried']:,}",
    }


def _difference(entry: ComparedMetric) -> dict[str, Any]:
    found = entry.difference
    if found is None:
        raise ValueError(f"{entry.system} has no difference in {entry.metric}")
    higher = info(entry.metric).higher_is_better
    settled = found.p_holm < SIGNIFICANT and higher is not None
    return {
        "metric": entry.metric,
        "meaning": info(entry.metric).meaning,
        "arrow": arrow(entry.metric),
        "value": f"{found.value:+.4f}",
        "interval": format_range(found.ci95),
        "p": f"{found.p:.4f}",
        "p_holm": f"{found.p_holm:.4f}",
        "how": "swaps" if entry.metric.partition("@")[0] in AGGREGATE else "",
        "better": ((found.value > 0) == higher) if settled else None,
    }


def _plots(measured: Sequence[MeasuredRecommender]) -> list[Plot]:
    results = [
        RecommenderResult(m.name, {n: dict(e) for n, e in m.evaluation.metrics.items()}, {}, m.lists)
        for m in measured
    ]
    drawn = [
        accuracy_bars(results, "ndcg"),
        accuracy_bars(results, "recall"),
        trade_off(results, "ndcg", "coverage"),
        trade_off(results, "ndcg", "ild_category"),
    ]
    return [plot for plot in drawn if plot is not None]

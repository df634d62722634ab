"""Assembly of the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from crossrec.data.catalog import Catalog
from crossrec.evaluation.report.cards import N_HISTORY, build_users, choose_users
from crossrec.evaluation.report.content import (
    MAIN_METRICS,
    RecommenderResult,
    columns_of,
    headline,
    measured,
    rows_by_metric,
    rows_by_recommender,
    slice_table,
    strongest_baseline,
)
from crossrec.evaluation.report.figures import Plot
from crossrec.evaluation.report.glossary import CUTOFF, estimate, note_on_distances
from crossrec.evaluation.report.plots import (
    accuracy_bars,
    lorenz_plot,
    popularity_plot,
    trade_off,
    training_curves,
)
from crossrec.evaluation.report.render import render
from crossrec.runtime.files import write_text
from crossrec.types import Sequences


class ReportError(ValueError):
    """Invalid input of a report; the message names the inconsistency."""


def write_report(
    path: Path,
    *,
    title: str,
    data_note: str,
    protocol: str,
    counts: Mapping[str, object],
    results: Sequence[RecommenderResult],
    catalog: Catalog,
    histories: Sequences,
    targets: Sequences,
    user_ids: Sequence[str],
    train_counts: np.ndarray,
    log: Sequence[dict[str, Any]],
    config_text: str,
    n_shown_users: int = 6,
    seed: int = 0,
) -> None:
    """Write one self-contained HTML file that needs neither a network nor JavaScript.

    Args:
        path: path of the file; its folder is created.
        title: heading.
        data_note: note on the data, shown prominently; may be empty.
        protocol: one-line description of the split.
        counts: counts such as ``{"users": 3000}``, in display order.
        results: results of the model, followed by the others on the same queries.
        catalog: catalogue of N items.
        histories: Q rows, the history of each list.
        targets: Q rows of the next clicks.
        user_ids: (Q,) original ids.
        train_counts: (N,) training clicks of each item.
        log: lines of ``log.jsonl``; may be empty.
        config_text: the resolved configuration.
        n_shown_users: number of users whose lists are shown as pictures.
        seed: seed of the draw of those users.

    Raises:
        ReportError: if there are no results, or lengths of arrays don't fit.
    """
    _check(results, catalog, histories, targets, user_ids, train_counts)
    rival = strongest_baseline(results)
    shown = [results[0]] if rival is None else [results[0], results[rival]]
    showcase = choose_users(results[0].lists, targets, user_ids, n_shown_users, seed)
    users, pictures = build_users(showcase, catalog, histories, targets, user_ids, shown)
    maps, recommenders = (
        [result.metrics for result in results],
        [result.name for result in results],
    )
    names = measured(maps, MAIN_METRICS)
    slice_metrics, slices = slice_table(results)
    verdict, tiles = headline(results)
    content = {
        "title": title,
        "data_note": data_note,
        "protocol": protocol,
        "counts": [(key.replace("_", " "), _format_count(value)) for key, value in counts.items()],
        "verdict": verdict,
        "tiles": tiles,
        "recommenders": recommenders,
        "columns": columns_of(names),
        "rows": rows_by_recommender(names, recommenders, maps),
        "every_metric": rows_by_metric(results),
        "note_on_distances": note_on_distances(
            (name, found.value)
            for metrics in maps
            for name in metrics
            if (found := estimate(metrics, name)) is not None
        ),
        "slice_columns": columns_of(slice_metrics),
        "slices": slices,
        "plots": _plots(results, catalog, train_counts),
        "curves": training_curves(log, ("ndcg", "recall")),
        "showcase": showcase,
        "seed": seed,
        "users": users,
        "pictures": pictures,
        "cutoff": CUTOFF,
        "n_history": N_HISTORY,
        "config_text": config_text,
    }
    write_text(path, render("crossrec.evaluation.report", "template.html", content))


def _check(
    results: Sequence[RecommenderResult],
    catalog: Catalog,
    histories: Sequences,
    targets: Sequences,
    user_ids: Sequence[str],
    train_counts: np.ndarray,
) -> None:
    if not results:
        raise ReportError("a report needs at least one recommender's results")
    n_queries = len(targets)
    lengths = {"histories": len(histories), "user_ids": len(user_ids)}
    lengths |= {f"lists of '{result.name}'": len(result.lists) for result in results}
    for name, length in lengths.items():
        if length != n_queries:
            raise ReportError(f"{name}: {length} rows, but there are {n_queries} rows of targets")
    if len(train_counts) != len(catalog):
        raise ReportError(f"train_counts: {len(train_counts)} items, but the catalogue has {len(catalog)}")
    for result in results:
        if int(result.lists.ids.max(initial=0)) >= len(catalog):
            raise ReportError(f"lists of '{result.name}': an item beyond the catalogue's {len(catalog)} rows")


def _plots(results: Sequence[RecommenderResult], catalog: Catalog, train_counts: np.ndarray) -> list[Plot]:
    drawn = [
        accuracy_bars(results, "ndcg"),
        accuracy_bars(results, "recall"),
        trade_off(results, "ndcg", "coverage"),
        trade_off(results, "ndcg", "ild"),
        lorenz_plot(results, len(catalog)),
        popularity_plot(results, train_counts),
    ]
    return [plot for plot in drawn if plot is not None]


def _format_count(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {_format_count(inner)}" for key, inner in value.items()) or "none"
    if isinstance(value, (int, np.integer)) and not isinstance(value, bool):
        return f"{value:,}"
    return f"{value:,.4g}" if isinstance(value, (float, np.floating)) else str(value)

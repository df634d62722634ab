"""Measurement of recommenders on a split, files of results, and tables."""

from __future__ import annotations

import html
import json
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import yaml
from rich.console import Console
from rich.table import Table

from crossrec.data.prepare import PreparedData
from crossrec.data.segments import ClusterAssignment
from crossrec.data.splits.base import Queries
from crossrec.evaluation.bootstrap import Estimate
from crossrec.evaluation.evaluate import evaluate_lists, rank_queries
from crossrec.evaluation.predictions import load_predictions, save_recommendations
from crossrec.evaluation.report import RecommenderResult, write_report
from crossrec.evaluation.report.glossary import note_on_distances
from crossrec.evaluation.results import DATA_FILE, Evaluation
from crossrec.evaluation.slices import Slice, evaluate_slice, of_targets
from crossrec.experiment.prepared import PreparedExperiment
from crossrec.runtime import distributed
from crossrec.runtime.files import write_text
from crossrec.training.tracking import read_log
from crossrec.types import Recommender, TopK

SplitPart = Literal["valid", "test"]


class NamedRecommender(Recommender, Protocol):
    """Recommender with a name for tables."""

    name: str


@dataclass(frozen=True)
class MeasuredRecommender:
    """One recommender's lists and their evaluation.

    Args:
        name: name in tables.
        lists: (Q, K) ranked lists.
        evaluation: evaluation of these lists.
        seconds: time that this process's lists took; NaN for lists that were read from a file.
    """

    name: str
    lists: TopK
    evaluation: Evaluation
    seconds: float = float("nan")


def evaluate_recommenders(
    prepared: PreparedExperiment, recommenders: Sequence[NamedRecommender], part: SplitPart
) -> list[MeasuredRecommender]:
    """Rank and evaluate; every process must call this, and all get the same result."""
    config = prepared.config.evaluation
    split = prepared.data.split
    queries = split.queries(part)
    found = []
    for recommender in recommenders:
        start = time.perf_counter()
        lists = rank_queries(recommender, split, queries, max(config.ks), config.exclude_seen, config.batch)
        seconds = time.perf_counter() - start
        found.append(replace(_evaluate(prepared, recommender.name, lists, queries), seconds=seconds))
    return found


def evaluate_predictions(prepared: PreparedExperiment, path: Path, part: SplitPart) -> MeasuredRecommender:
    """Evaluate lists that any tool wrote."""
    queries = prepared.data.split.queries(part)
    user_ids = prepared.data.clicks.user_ids[queries.users]
    k = max(prepared.config.evaluation.ks)
    lists = load_predictions(path, user_ids, prepared.data.catalog.item_ids, k)
    return _evaluate(prepared, path.stem, lists, queries)


def _evaluate(prepared: PreparedExperiment, name: str, lists: TopK, queries: Queries) -> MeasuredRecommender:
    split = prepared.data.split
    evaluation = evaluate_lists(
        lists, queries, split.histories(queries), prepared.items, prepared.config.evaluation, split.protocol
    )
    if prepared.segments is not None:
        slices = segment_slices(prepared, prepared.segments, lists, queries)
        evaluation = replace(evaluation, slices={**evaluation.slices, **slices})
    if prepared.item_groups is not None:
        slices = item_group_slices(prepared, prepared.item_groups, lists, queries)
        evaluation = replace(evaluation, slices={**evaluation.slices, **slices})
    return MeasuredRecommender(name, lists, evaluation)


def segment_slices(
    prepared: PreparedExperiment, segments: ClusterAssignment, lists: TopK, queries: Queries
) -> dict[str, dict[str, Any]]:
    """Return slices ``user_segment_1`` (the largest) and so on: accuracy for a segment's users."""
    parts = {}
    for number, note in enumerate(segments.notes):
        rows = np.flatnonzero(segments.labels[queries.users] == number)
        parts[f"user_segment_{number + 1}"] = Slice(rows, queries.targets.take(rows), note)
    return _evaluate_slices(prepared, parts, lists, queries)


def item_group_slices(
    prepared: PreparedExperiment, groups: ClusterAssignment, lists: TopK, queries: Queries
) -> dict[str, dict[str, Any]]:
    """Return slices ``item_group_1`` (the largest) and so on: accuracy for targets in a group of items."""
    parts = {}
    for number, note in enumerate(groups.notes):
        wanted_N = groups.labels == number
        parts[f"item_group_{number + 1}"] = of_targets(
            queries, wanted_N, f"{note}; other targets count as misses"
        )
    return _evaluate_slices(prepared, parts, lists, queries)


def _evaluate_slices(
    prepared: PreparedExperiment, parts: dict[str, Slice], lists: TopK, queries: Queries
) -> dict[str, dict[str, Any]]:
    config, histories = prepared.config.evaluation, prepared.data.split.histories(queries)
    ids_QK = lists.ids[:, : max(config.ks)]
    return {
        name: evaluate_slice(part, ids_QK, queries, histories, prepared.items.n_items, config)
        for name, part in parts.items()
    }


def save_results(
    prepared: PreparedExperiment,
    found: Sequence[MeasuredRecommender],
    folder: Path,
    part: SplitPart,
    log: Path,
    *,
    report: bool = True,
) -> None:
    """Write metrics, per-user tables, recommendations and the report; on the main process only.

    The first recommender's files are in ``folder`` itself, the others' in ``folder/baselines/``.

    Args:
        prepared: prepared experiment of the run.
        found: measured recommenders.
        folder: folder of the results.
        part: measured split.
        log: log of the training, for the report's curves.
        report: whether to write the page with plots and pictures.
    """
    if not distributed.is_main():
        return
    data = prepared.data
    queries = data.split.queries(part)
    for number, measured in enumerate(found):
        own = folder if number == 0 else folder / "baselines" / slug(measured.name)
        measured.evaluation.save(own, data.clicks.user_ids)
        save_recommendations(
            own / "recommendations.parquet",
            measured.lists,
            queries,
            data.clicks.user_ids,
            data.catalog.item_ids,
        )
        write_text(own / DATA_FILE, json.dumps(data.identity.measured_on(part), indent=2) + "\n")
    if report:
        _write_page(prepared, found, folder / "report.html", queries, log)


def _write_page(
    prepared: PreparedExperiment,
    found: Sequence[MeasuredRecommender],
    path: Path,
    queries: Queries,
    log: Path,
) -> None:
    data = prepared.data
    write_report(
        path,
        title=f"{prepared.config.name}: {found[0].name} on {data.name}",
        data_note=data.note,
        protocol=found[0].evaluation.protocol,
        counts=data.summary(),
        results=[_for_report(m) for m in found],
        catalog=data.catalog,
        histories=data.split.histories(queries),
        targets=queries.targets,
        user_ids=[str(u) for u in data.clicks.user_ids[queries.users]],
        train_counts=data.split.train_counts,
        log=read_log(log),
        config_text=yaml.safe_dump(prepared.config.model_dump(mode="json"), sort_keys=False),
        seed=prepared.config.seed,
    )


def _for_report(measured: MeasuredRecommender) -> RecommenderResult:
    slices: dict[str, dict[str, Any]] = {}
    for name, content in measured.evaluation.slices.items():
        metrics = {key: value for key, value in content.items() if isinstance(value, dict)}
        slices[name] = {"n_queries": content["n_queries"], "note": content["note"], "metrics": metrics}
    return RecommenderResult(
        measured.name,
        {name: dict(e) for name, e in measured.evaluation.metrics.items()},
        slices,
        measured.lists,
        measured.evaluation.per_user,
    )


def slug(name: str) -> str:
    """Turn a name into a folder name."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


COLUMNS = ("ndcg", "recall", "coverage", "gini", "ild", "ild_behaviour", "ild_category")


WIDTH = 200
"""Characters per line of tables that are not printed on a terminal, so that no interval is broken."""

LOWER_IS_BETTER = ("gini",)


COLD = "cold_items"


def console() -> Console:
    """Return a console on standard output, wide enough for the tables if it is not a terminal."""
    out = Console()
    return out if out.is_terminal else Console(width=WIDTH)


def table_text(table: Table) -> str:
    """Return a table as plain text."""
    plain = Console(width=WIDTH, color_system=None)
    with plain.capture() as captured:
        plain.print(table, highlight=False)
    return captured.get().rstrip()


def table_html(table: Table) -> str:
    """Return a table as HTML, for notebooks."""
    cells = [[str(cell) for cell in column.cells] for column in table.columns]
    head = "".join(f"<th>{html.escape(str(column.header))}</th>" for column in table.columns)
    rows = "".join(
        "<tr>" + "".join(f"<td>{html.escape(c).replace(chr(10), '<br>')}</td>" for c in row) + "</tr>"
        for row in zip(*cells, strict=True)
    )
    title, caption = (html.escape(str(part)).replace("\n", "<br>") for part in (table.title, table.caption))
    return (
        f"<table><caption>{title}</caption><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
        f"<small>{caption}</small>"
    )


def show(text: str) -> None:
    """Print a line on the main process."""
    if distributed.is_main():
        console().print(text, highlight=False, markup=False)


def show_account(prepared: PreparedExperiment) -> None:
    """Print what cleaning dropped, and the counts of the remaining data."""
    data = prepared.data
    if data.note:
        show(f"Data: {data.name} ({data.note})")
    for line in data.report.lines():
        show(f"  {line}")
    for warning in data.report.warnings:
        show(f"Warning: {warning}")
    show(f"Split: {data.split.protocol}")
    for reason, count in data.split.excluded.items():
        if count:
            show(f"  left out, {reason}: {count:,}")
    counts = data.summary()
    show("Counts: " + ", ".join(f"{k.replace('_', ' ')} {_number(v)}" for k, v in counts.items()))


def show_results(prepared: PreparedExperiment, found: Sequence[MeasuredRecommender], part: str) -> None:
    """Print the final table: recommenders by metrics with 95 % intervals, the best of each starred."""
    if distributed.is_main():
        console().print(results_table(prepared.data, found, part, max(prepared.config.evaluation.ks)))


def results_table(data: PreparedData, found: Sequence[MeasuredRecommender], part: str, k: int) -> Table:
    """Return the table of recommenders by metrics at k with 95 % intervals, the best of each starred."""
    names = [f"{c}@{k}" for c in COLUMNS if f"{c}@{k}" in found[0].evaluation.metrics]
    note = f"{data.name}: {data.note}" if data.note else data.name
    evaluation = found[0].evaluation
    title = f"{part}, {evaluation.n_users:,} users, {evaluation.n_queries:,} queries ({note})"
    shown = [(name, m.evaluation.metrics[name]["value"]) for name in names for m in found]
    caption = "\n".join(part for part in (evaluation.protocol, note_on_distances(shown)) if part)
    table = Table(title=title, caption=caption, show_lines=True)
    table.add_column("recommender")
    for name in [*names, f"cold recall@{k}"]:
        table.add_column(name, justify="right", overflow="fold")
    columns = [[m.evaluation.metrics[name] for m in found] for name in names]
    columns.append([m.evaluation.slices.get(COLD, {}).get(f"recall@{k}", _UNKNOWN) for m in found])
    marked = [_mark(column, name.split("@")[0]) for column, name in zip(columns, [*names, ""], strict=True)]
    for row, measured in enumerate(found):
        table.add_row(measured.name, *(cells[row] for cells in marked))
    return table


_UNKNOWN: Estimate = {"value": float("nan"), "ci95": [], "n_users": 0}


def _mark(estimates: Sequence[Estimate], metric: str) -> list[str]:
    values = [e["value"] for e in estimates]
    known = [v for v in values if v == v]
    best = None if not known else (min(known) if metric in LOWER_IS_BETTER else max(known))
    # A best value of zero is not starred.
    return [_cell(e, starred=e["value"] == best != 0 and len(values) > 1) for e in estimates]


def _cell(estimate: Estimate, *, starred: bool) -> str:
    value, ci = estimate["value"], estimate.get("ci95")
    if value != value:
        return "none"
    interval = "" if not ci or ci[0] != ci[0] else f"\n[{ci[0]:.4f}, {ci[1]:.4f}]"
    return f"{'* ' if starred else ''}{value:.4f}{interval}"


def _number(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)

"""Measures recommenders on a part of the split, writes what was found and shows the table."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import yaml

from crossrec.data.segments import Groups
from crossrec.data.splits import Queries
from crossrec.evaluation.evaluate import evaluate_lists
from crossrec.evaluation.predictions import load_predictions, save_recommendations
from crossrec.evaluation.ranking import rank_queries
from crossrec.evaluation.report import RecommenderResult, write_report
from crossrec.evaluation.results import DATA_FILE, Evaluation
from crossrec.evaluation.slices import Slice, evaluate_slice, of_targets
from crossrec.experiment.assembly import Setting
from crossrec.runtime import distributed
from crossrec.runtime.files import write_text
from crossrec.training.tracking import read_log
from crossrec.types import Recommender, TopK

SplitPart = Literal["valid", "test"]


class NamedRecommender(Recommender, Protocol):
    """A recommender that tables can name."""

    name: str


@dataclass(frozen=True)
class Measured:
    """One recommender's lists and what they are worth.

    Args:
        name: for tables.
        lists: (Q, K) ranked lists.
        evaluation: of these lists.
    """

    name: str
    lists: TopK
    evaluation: Evaluation


def measure(setting: Setting, recommenders: Sequence[NamedRecommender], part: SplitPart) -> list[Measured]:
    """Ranks and evaluates; every process must call this, all get the same result."""
    config = setting.config.evaluation
    split = setting.data.split
    queries = split.part(part)
    found = []
    for recommender in recommenders:
        lists = rank_queries(recommender, split, queries, max(config.ks), config.exclude_seen, config.batch)
        found.append(_evaluate(setting, recommender.name, lists, queries))
    return found


def measure_predictions(setting: Setting, path: Path, part: SplitPart) -> Measured:
    """Evaluates lists that any tool wrote."""
    queries = setting.data.split.part(part)
    user_ids = setting.data.clicks.user_ids[queries.users]
    k = max(setting.config.evaluation.ks)
    lists = load_predictions(path, user_ids, setting.data.catalog.item_ids, k)
    return _evaluate(setting, path.stem, lists, queries)


def _evaluate(setting: Setting, name: str, lists: TopK, queries: Queries) -> Measured:
    split = setting.data.split
    evaluation = evaluate_lists(
        lists, queries, split.histories(queries), setting.facts, setting.config.evaluation, split.protocol
    )
    if setting.segments is not None:
        slices = segment_slices(setting, setting.segments, lists, queries)
        evaluation = replace(evaluation, slices={**evaluation.slices, **slices})
    if setting.item_groups is not None:
        slices = item_group_slices(setting, setting.item_groups, lists, queries)
        evaluation = replace(evaluation, slices={**evaluation.slices, **slices})
    return Measured(name, lists, evaluation)


def segment_slices(
    setting: Setting, segments: Groups, lists: TopK, queries: Queries
) -> dict[str, dict[str, Any]]:
    """``user_segment_1`` (the largest) and so on: accuracy on the queries of a segment's users."""
    parts = {}
    for number, note in enumerate(segments.notes):
        rows = np.flatnonzero(segments.labels[queries.users] == number)
        parts[f"user_segment_{number + 1}"] = Slice(rows, queries.targets.take(rows), note)
    return _evaluate_slices(setting, parts, lists, queries)


def item_group_slices(
    setting: Setting, groups: Groups, lists: TopK, queries: Queries
) -> dict[str, dict[str, Any]]:
    """``item_group_1`` (the largest) and so on: accuracy on the targets of a group of items."""
    parts = {}
    for number, note in enumerate(groups.notes):
        wanted_N = groups.labels == number
        parts[f"item_group_{number + 1}"] = of_targets(
            queries, wanted_N, f"{note}; other targets count as misses"
        )
    return _evaluate_slices(setting, parts, lists, queries)


def _evaluate_slices(
    setting: Setting, parts: dict[str, Slice], lists: TopK, queries: Queries
) -> dict[str, dict[str, Any]]:
    config, histories = setting.config.evaluation, setting.data.split.histories(queries)
    ids_QK = lists.ids[:, : max(config.ks)]
    return {
        name: evaluate_slice(part, ids_QK, queries, histories, setting.facts.n_items, config)
        for name, part in parts.items()
    }


def save_results(
    setting: Setting,
    found: Sequence[Measured],
    folder: Path,
    part: SplitPart,
    log: Path,
    *,
    report: bool = True,
) -> None:
    """Writes metrics, per-user tables, recommendations and the report; on the main process only.

    The first recommender's files stand in ``folder`` itself, the others' in ``folder/baselines/``.

    Args:
        setting: of the run.
        found: what was measured.
        folder: where it goes.
        part: that was measured.
        log: of the training, for the report's curves.
        report: whether the page with plots and pictures is written too.
    """
    if not distributed.is_main():
        return
    data = setting.data
    queries = data.split.part(part)
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
        _write_page(setting, found, folder / "report.html", queries, log)


def _write_page(setting: Setting, found: Sequence[Measured], path: Path, queries: Queries, log: Path) -> None:
    data = setting.data
    write_report(
        path,
        title=f"{setting.config.name}: {found[0].name} on {data.name}",
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
        config_text=yaml.safe_dump(setting.config.model_dump(mode="json"), sort_keys=False),
        seed=setting.config.seed,
    )


def _for_report(measured: Measured) -> RecommenderResult:
    slices: dict[str, dict[str, Any]] = {}
    for name, content in measured.evaluation.slices.items():
        metrics = {key: value for key, value in content.items() if isinstance(value, dict)}
        slices[name] = {"n_queries": content["n_queries"], "note": content["note"], "metrics": metrics}
    return RecommenderResult(
        measured.name,
        {name: dict(e) for name, e in measured.evaluation.metrics.items()},
        slices,
        measured.lists,
    )


def slug(name: str) -> str:
    """A name as a folder name."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")

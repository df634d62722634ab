"""Results of an ablation: all metrics in one long table, and comparisons with the reference."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from crossrec.data.dataset import Dataset
from crossrec.data.item_table import ItemTable
from crossrec.data.prepare import PreparedData
from crossrec.evaluation.comparison.compare import (
    USUAL,
    ComparedMetric,
    Comparison,
    compare_systems,
    split_name,
)
from crossrec.evaluation.comparison.systems import LISTS_FILE, Measurement, System
from crossrec.evaluation.config import EvaluationConfig
from crossrec.evaluation.matching import match_targets
from crossrec.evaluation.metrics import ACCURACY
from crossrec.evaluation.predictions import load_predictions
from crossrec.evaluation.results import DATA_FILE as MEASURED_ON_FILE
from crossrec.evaluation.results import METRICS_FILE, Evaluation
from crossrec.evaluation.slices import Slice, UserGroups, make_slices
from crossrec.experiment.run_folder import DATA_FILE
from crossrec.studies.grid.config import AblationConfig, Part
from crossrec.studies.grid.plan import (
    SLICE_MARK,
    StudyTrial,
    Variant,
    reference_of,
    split_slice,
    wanted_metrics,
)
from crossrec.studies.grid.scheduler import TrialResult
from crossrec.studies.statistics import seed_spread
from crossrec.types import InputError


def with_slices(
    measured: Measurement,
    metrics: Sequence[str],
    data: PreparedData,
    part: Part,
    evaluation: EvaluationConfig,
) -> Measurement:
    """Return a measurement with one more column per slice metric, NaN for users without one.

    Args:
        measured: measurement of one run; its lists are read from its folder.
        metrics: metrics such as ``cold_items:recall@10``; those without a slice are ignored.
        data: data of the run.
        part: measured split.
        evaluation: options of the evaluation.
    """
    wanted = [metric for metric in metrics if split_slice(metric)[0]]
    if not wanted:
        return measured
    split, queries = data.split, data.split.queries(part)
    histories, n_items = split.histories(queries), len(data.catalog)
    items = ItemTable(split.train_counts, data.catalog.category_matrix)
    slices = make_slices(queries, histories, items, evaluation)
    user_ids = data.clicks.user_ids[queries.users]
    lists = load_predictions(
        measured.folder / LISTS_FILE, user_ids, data.catalog.item_ids, max(evaluation.ks)
    )
    groups = UserGroups.of(queries.users)
    columns = {"user_id": [str(user) for user in data.clicks.user_ids[groups.users]]}
    metrics_there = dict(measured.evaluation.metrics)
    for metric in wanted:
        name, base = split_slice(metric)
        own: Slice = slices[name]
        ranked = match_targets(lists.ids[own.rows], own.targets, histories.take(own.rows), n_items)
        accuracy, k = split_name(base)
        value_Q = np.full(len(queries), np.nan)
        value_Q[own.rows] = ACCURACY[accuracy](ranked.hits_QK, ranked.n_targets_Q, k)
        columns[metric] = groups.mean(value_Q).tolist()
        metrics_there[metric] = measured.evaluation.slices[name][base]
    frame = pl.DataFrame(columns, schema_overrides=dict.fromkeys(wanted, pl.Float64))
    per_user = measured.evaluation.per_user.join(frame, on="user_id", how="left", maintain_order="left")
    return replace(
        measured, evaluation=replace(measured.evaluation, per_user=per_user, metrics=metrics_there)
    )


PARTS: tuple[Part, ...] = ("valid", "test")


EVERYBODY = "all"
"""The slice of all users."""


@dataclass(frozen=True)
class Results:
    """Results of a study.

    Args:
        config: configuration of the study.
        trials: all trials.
        outcomes: name of a trial -> its result.
        comparison: comparison of the finished variants with the reference; None where nothing is compared.
    """

    config: AblationConfig
    trials: Sequence[StudyTrial]
    outcomes: Mapping[str, TrialResult]
    comparison: Comparison | None

    @property
    def done(self) -> list[StudyTrial]:
        """Measured trials."""
        return [t for t in self.trials if t.name in self.outcomes and self.outcomes[t.name].status == "done"]

    @property
    def failed(self) -> list[StudyTrial]:
        """Trials that ended with an error."""
        return [t for t in self.trials if t.name in self.outcomes and self.outcomes[t.name].status != "done"]

    @property
    def variants(self) -> list[Variant]:
        """Variants with a measured trial, in the order of the plan."""
        return list({trial.variant.name: trial.variant for trial in self.done}.values())

    @property
    def reference(self) -> str:
        """Variant with which all others are compared."""
        return reference_of(self.config, list({t.variant.name: t.variant for t in self.trials}.values()))

    def run_folder(self, variant: str, seed: int) -> Path:
        """Run folder of a variant and a seed."""
        return next(
            t for t in self.trials if (t.variant.name, t.config.seed) == (variant, seed)
        ).config.run_folder

    def seeds_of(self, variant: str) -> list[int]:
        """Return the seeds with which a variant is measured."""
        return [trial.config.seed for trial in self.done if trial.variant.name == variant]

    def against(self, reference: str) -> Results:
        """Return the same trials, compared with another variant."""
        config = self.config.model_copy(update={"reference": reference})
        return collect(config, self.trials, self.outcomes)

    @cached_property
    def long(self) -> pl.DataFrame:
        """Return one row per trial, split, slice and metric: ``value``, ``low``, ``high`` (95 % over users).

        Other columns: ``trial``, ``variant``, one per axis, ``seed``, ``n_users``.
        """
        rows = [row for trial in self.done for row in _rows(trial)]
        return pl.DataFrame(rows, infer_schema_length=None)

    @cached_property
    def summary(self) -> pl.DataFrame:
        """A row a variant and compared metric: mean over seeds with its 95 % interval over users, standard
        deviation over seeds, difference from the reference with interval and p.

        Without a comparison: means and standard deviations over seeds alone.
        """
        if self.comparison is None:
            return _means(self)
        return pl.DataFrame([_compared(self, e) for e in self.comparison.entries], infer_schema_length=None)


def collect(
    config: AblationConfig, trials: Sequence[StudyTrial], outcomes: Mapping[str, TrialResult]
) -> Results:
    """Read the finished trials' metrics, and compare variants if configured."""
    results = Results(config, trials, outcomes, None)
    _check_same_data(config.measured_part, results.done)
    if not config.compare or config.search is not None or not results.done:
        return results
    by_variant: dict[str, list[StudyTrial]] = {}
    for trial in results.done:
        by_variant.setdefault(trial.variant.name, []).append(trial)
    reference = results.reference
    if reference not in by_variant or len(by_variant) < 2:
        return results
    ordered = [reference, *(name for name in by_variant if name != reference)]
    read = _Reader(config, results.done[0])
    systems = [System(name, [read(trial) for trial in by_variant[name]]) for name in ordered]
    return Results(config, trials, outcomes, compare_systems(systems, read.n_items, config.comparison))


def _check_same_data(part: Part, trials: Sequence[StudyTrial]) -> None:
    """Check that no data files changed between the measurements of trials.

    Raises:
        InputError: if trials with the same configuration of data were measured on other data.
    """
    first: dict[str, tuple[StudyTrial, str]] = {}
    for trial in trials:
        path = trial.config.run_folder / "eval" / part / MEASURED_ON_FILE
        if not path.exists():
            continue
        evaluation = trial.config.evaluation
        configured = f"{trial.config.data.model_dump_json(exclude={'cache_dir'})} {evaluation.repeats}"
        one, there = first.setdefault(configured, (trial, path.read_text(encoding="utf-8")))
        if json.loads(there) != json.loads(path.read_text(encoding="utf-8")):
            raise InputError(
                f"{trial.config.run_folder} and {one.config.run_folder} were measured on other data, though "
                "their configurations name the same: its files have changed since; remove the runs that are "
                "measured on the old files, or name another folder with out=..."
            )


class _Reader:
    """Reader of trials' measurements; their common data are prepared only for slices."""

    def __init__(self, config: AblationConfig, trial: StudyTrial) -> None:
        self.config = config
        self._metrics = [metric for metric in wanted_metrics(config) if SLICE_MARK in metric]
        self._data: PreparedData | None = None
        if self._metrics:
            repeats = trial.config.evaluation.repeats
            self._data = Dataset.from_config(trial.config.data).split(repeats=repeats)
        self._evaluation = trial.config.evaluation
        self.n_items = _catalogue_size(trial)

    def __call__(self, trial: StudyTrial) -> Measurement:
        part = self.config.measured_part
        found = Measurement.read(trial.config.run_folder / "eval" / part)
        if self._data is None:
            return found
        return with_slices(found, self._metrics, self._data, part, self._evaluation)


def _catalogue_size(trial: StudyTrial) -> int:
    content = json.loads((trial.config.run_folder / DATA_FILE).read_text(encoding="utf-8"))
    return int(content["counts"]["items"])


def _rows(trial: StudyTrial) -> list[dict[str, Any]]:
    axes = dict(trial.variant.labels)
    common = {"trial": trial.name, "variant": trial.variant.name, **axes, "seed": trial.config.seed}
    rows = []
    for part in PARTS:
        folder = trial.config.run_folder / "eval" / part
        if not (folder / METRICS_FILE).exists():
            continue
        evaluation = Evaluation.load(folder)
        for name, metrics in {EVERYBODY: evaluation.metrics, **evaluation.slices}.items():
            for metric, estimate in metrics.items():
                if isinstance(estimate, dict):
                    low, high = estimate["ci95"]
                    rows.append(
                        {
                            **common,
                            "part": part,
                            "slice": name,
                            "metric": metric,
                            "value": float(estimate["value"]),
                            "low": float(low),
                            "high": float(high),
                            "n_users": int(estimate["n_users"]),
                        }
                    )
    return rows


def _compared(results: Results, entry: ComparedMetric) -> dict[str, Any]:
    variant = next(v for v in results.variants if v.name == entry.system)
    difference, nan = entry.difference, math.nan
    low, high = (nan, nan) if difference is None else difference.ci95
    return {
        "variant": entry.system,
        **variant.labels,
        "metric": entry.metric,
        "value": entry.value,
        "low": entry.ci95[0],
        "high": entry.ci95[1],
        "sd": entry.spread,
        "seeds": len(entry.seeds),
        "difference": 0.0 if difference is None else difference.value,
        "difference_low": low,
        "difference_high": high,
        "p": nan if difference is None else difference.p,
        "p_holm": nan if difference is None else difference.p_holm,
    }


def _means(results: Results) -> pl.DataFrame:
    part, metrics = results.config.measured_part, wanted_metrics(results.config)
    rows = []
    named = results.long.filter(pl.col("part") == part).with_columns(
        pl.when(pl.col("slice") == EVERYBODY)
        .then(pl.col("metric"))
        .otherwise(pl.col("slice") + SLICE_MARK + pl.col("metric"))
        .alias("metric")
    )
    for variant in results.variants:
        own = named.filter(pl.col("variant") == variant.name)
        for metric in metrics or _usual(own):
            values = own.filter(pl.col("metric") == metric)["value"].to_numpy()
            spread = seed_spread(values)
            value = float(np.mean(values)) if len(values) else math.nan
            rows.append(
                {
                    "variant": variant.name,
                    **variant.labels,
                    "metric": metric,
                    "value": value,
                    "sd": spread,
                    "seeds": len(values),
                }
            )
    return pl.DataFrame(rows, infer_schema_length=None)


def _usual(rows: pl.DataFrame) -> list[str]:
    there = rows["metric"].unique(maintain_order=True).to_list()
    return [metric for metric in there if metric.partition("@")[0] in USUAL]

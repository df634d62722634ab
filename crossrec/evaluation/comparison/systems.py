"""Systems to compare, each measured with one or more seeds on the same queries."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from crossrec.evaluation.metrics.exposure import UserLists
from crossrec.evaluation.results import DATA_FILE, METRICS_FILE, PER_USER_FILE, Evaluation
from crossrec.types import InputError

LISTS_FILE = "recommendations.parquet"


@dataclass(frozen=True)
class Measurement:
    """Evaluation of one run.

    Args:
        folder: folder of the evaluation; the recommender's name for an evaluation without files.
        evaluation: result of the evaluation.
        measured_on: number of items and digests of the data; empty in folders of earlier versions.
        recommendations: the lists, as the folder's file has them; read from there when None.
    """

    folder: Path
    evaluation: Evaluation
    measured_on: Mapping[str, Any] = field(default_factory=dict)
    recommendations: pl.DataFrame | None = None

    @classmethod
    def read(cls, folder: Path) -> Measurement:
        """Read an evaluation's folder.

        Raises:
            InputError: if it contains no evaluation, or one without original user ids.
        """
        for name in (METRICS_FILE, PER_USER_FILE, LISTS_FILE):
            if not (folder / name).exists():
                raise InputError(f"{folder / name} does not exist; run evaluate.py on this run first")
        evaluation = Evaluation.load(folder)
        if "user_id" not in evaluation.per_user.columns:
            raise InputError(f"{folder / PER_USER_FILE} lacks the column 'user_id'; run evaluate.py again")
        path = folder / DATA_FILE
        return cls(folder, evaluation, json.loads(path.read_text(encoding="utf-8")) if path.exists() else {})

    @cached_property
    def users(self) -> pl.DataFrame:
        """One row per user, sorted by original id."""
        return self.evaluation.per_user.sort("user_id")

    def values(self, metric: str) -> np.ndarray:
        """Return (U,) one value per user, NaN where there is none."""
        return self.users[metric].to_numpy()

    @cached_property
    def lists(self) -> pl.DataFrame:
        """One row per recommendation, with ``row``, the index of its user in ``users``."""
        rows = self.users.select("user_id").with_row_index("row")
        columns, frame = ["user_id", "query", "rank", "item_id"], self.recommendations
        if frame is None:
            frame = pl.read_parquet(self.folder / LISTS_FILE, columns=columns)
        joined = frame.select(columns).join(rows, on="user_id", how="left")
        if joined["row"].null_count():
            stranger = joined.filter(pl.col("row").is_null())["user_id"][0]
            raise InputError(
                f"{self.folder / LISTS_FILE}: user '{stranger}' is missing in {PER_USER_FILE}; "
                "run evaluate.py again"
            )
        return joined

    def shown(self, k: int) -> UserLists:
        """Return the items in the first k ranks of all lists."""
        from scipy.sparse import csr_matrix

        kept, lists_U = self.lists.filter(pl.col("rank") <= k), self.users["n_queries"].to_numpy()
        items_I, column_T = np.unique(kept["item_id"].to_numpy(), return_inverse=True)
        entries = (np.ones(len(kept)), (kept["row"].to_numpy(), column_T))
        return UserLists(csr_matrix(entries, shape=(len(lists_U), len(items_I))), lists_U, items_I)


@dataclass(frozen=True)
class System:
    """A recommender in a comparison.

    Args:
        name: name in tables.
        seeds: measurements, one per seed of training.
    """

    name: str
    seeds: Sequence[Measurement]

    def values(self, metric: str) -> np.ndarray:
        """Return (U,) each user's mean over the seeds that have a value; NaN where none has."""
        values_SU = np.stack([seed.values(metric) for seed in self.seeds])
        known_U = (~np.isnan(values_SU)).sum(0)
        empty_U = np.full(len(known_U), np.nan)
        return np.divide(np.nansum(values_SU, axis=0), known_U, out=empty_U, where=known_U > 0)

    def seed_values(self, metric: str) -> list[float]:
        """Return the metric's value for each seed."""
        return [float(seed.evaluation.metrics[metric]["value"]) for seed in self.seeds]


def check_comparable(systems: Sequence[System]) -> None:
    """Check that systems share protocol, users and queries.

    Raises:
        InputError: for fewer than two systems, a repeated name, or a difference in protocol, catalogue,
            users or queries; the message names the folders.
    """
    if len(systems) < 2:
        raise InputError("a comparison needs at least two systems; name more runs, or add --baselines")
    names = [system.name for system in systems]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InputError(f"two systems are called '{twice}'; name them: first=RUN second=RUN")
    first, *others = [seed for system in systems for seed in system.seeds]
    for other in others:
        _check_protocol(first, other)
        _check_data(first, other)
        _check_users(first, other)


def _check_protocol(first: Measurement, other: Measurement) -> None:
    ours, theirs = (m.evaluation.how_measured for m in (first, other))
    if ours != theirs:
        there = next(((a, b) for a, b in zip(ours, theirs, strict=False) if a != b), (ours, theirs))
        raise InputError(
            f"{other.folder} was measured by another protocol than {first.folder}: '{there[1]}' against "
            f"'{there[0]}'; run evaluate.py on both with the same settings"
        )


def _check_data(first: Measurement, other: Measurement) -> None:
    names = {"catalog": "catalogue", "queries": "queries (histories and targets)"}
    for key, name in names.items():
        ours, theirs = first.measured_on.get(key), other.measured_on.get(key)
        if ours and theirs and ours != theirs:
            raise InputError(
                f"{other.folder} and {first.folder} were measured on other data: their {name} differ; run "
                "evaluate.py on both with the same data, and compare the folders that it names"
            )


def _check_users(first: Measurement, other: Measurement) -> None:
    columns = ["user_id", "n_queries"]
    ours, theirs = first.users.select(columns), other.users.select(columns)
    if ours.equals(theirs):
        return
    joined = ours.join(theirs, on="user_id", how="full", coalesce=True, suffix="_other").sort("user_id")
    differs = pl.col("n_queries").ne_missing(pl.col("n_queries_other"))
    user, here, there = joined.filter(differs).row(0)
    raise InputError(
        f"{other.folder} and {first.folder} were not measured on the same queries: user '{user}' has "
        f"{there or 0} there and {here or 0} here; run evaluate.py on both with the same data and split"
    )


def check_metrics(systems: Sequence[System], metrics: Sequence[str]) -> None:
    """Check that all systems have the metrics.

    Raises:
        InputError: if a system lacks the metric; the message names the folder and the nearest metric.
    """
    for seed in (seed for system in systems for seed in system.seeds):
        known = list(seed.evaluation.metrics)
        for metric in metrics:
            if metric not in known:
                close = difflib.get_close_matches(metric, known, n=1)
                hint = f"did you mean '{close[0]}'? " if close else ""
                raise InputError(f"{seed.folder} has no metric '{metric}'; {hint}It has {', '.join(known)}")

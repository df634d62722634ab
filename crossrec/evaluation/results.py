"""The result of an evaluation, and its files ``metrics.json`` and ``per_user.parquet``."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from crossrec.evaluation.bootstrap import Estimate
from crossrec.runtime.files import atomic_path, write_text

METRICS_FILE = "metrics.json"
PER_USER_FILE = "per_user.parquet"
DATA_FILE = "measured_on.json"
"""Number of items, and digests of the catalogue, the training clicks and the queries."""


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation found.

    Args:
        metrics: ``"ndcg@10"`` -> value, 95 % interval, users behind it (those with a value).
        slices: slice name -> metric -> the same, with ``n_users``, ``n_queries`` and ``note``.
        per_user: one row a user in order of first query: ``user`` (row of the split's clicks),
            ``n_queries``, a column a metric (NaN without a value); ``user_id`` once saved with ids.
        n_users: users with a query.
        n_queries: queries.
        protocol: one line that says how it was measured.
        counts: empty and short lists, queries without target, targets that are excluded as seen.
        left_out: metrics that were asked for -> why they could not be computed.
    """

    metrics: dict[str, Estimate]
    slices: dict[str, dict[str, Any]]
    per_user: pl.DataFrame
    n_users: int
    n_queries: int
    protocol: str
    counts: dict[str, int] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)

    def save(self, folder: Path, user_ids: np.ndarray | None = None) -> None:
        """Writes both files, each at once; NaN becomes null in JSON.

        Args:
            folder: made where it does not exist.
            user_ids: original ids of all rows of the split's clicks; adds the column ``user_id``.
        """
        per_user = self.per_user
        if user_ids is not None:
            ids = [str(user_id) for user_id in user_ids[per_user["user"].to_numpy()]]
            per_user = per_user.select(pl.Series("user_id", ids, dtype=pl.String), pl.exclude("user_id"))
        with atomic_path(folder / PER_USER_FILE) as temporary:
            per_user.write_parquet(temporary)
        summary = {
            **self.metrics,
            "n_users": self.n_users,
            "n_queries": self.n_queries,
            "protocol": self.protocol,
            "counts": self.counts,
            "left_out": self.left_out,
            "slices": self.slices,
        }
        text = json.dumps(_map_numbers(summary, _to_null), indent=2, allow_nan=False)
        write_text(folder / METRICS_FILE, text + "\n")

    @classmethod
    def load(cls, folder: Path) -> Evaluation:
        """Reads what :meth:`save` wrote.

        Raises:
            FileNotFoundError: the folder holds no evaluation.
        """
        path = folder / METRICS_FILE
        if not path.exists():
            raise FileNotFoundError(f"{path} does not exist; run evaluate.py on this run first")
        summary = json.loads(path.read_text(encoding="utf-8"))
        rest = {name: summary.pop(name) for name in ("n_users", "n_queries", "protocol")}
        counts, left_out = summary.pop("counts"), summary.pop("left_out")
        slices = _map_numbers(summary.pop("slices"), _to_nan)
        per_user = pl.read_parquet(folder / PER_USER_FILE)
        metrics = _map_numbers(summary, _to_nan)
        return cls(metrics, slices, per_user, counts=counts, left_out=left_out, **rest)


def _map_numbers(value: Any, change: Any) -> Any:
    if isinstance(value, dict):
        return {key: _map_numbers(inner, change) for key, inner in value.items()}
    if isinstance(value, list):
        return [_map_numbers(inner, change) for inner in value]
    return change(value)


def _to_null(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _to_nan(value: Any) -> Any:
    return math.nan if value is None else value

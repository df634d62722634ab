"""The result of an evaluation, and its files ``metrics.json`` and ``per_user.parquet``."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field, replace
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
CI = "ci95"
INTERVALS_PART = "95 % "
"""Beginning of the part of a protocol line that describes intervals."""


@dataclass(frozen=True)
class Evaluation:
    """Result of an evaluation.

    Args:
        metrics: ``"ndcg@10"`` -> value, 95 % interval (NaN where there is none), number of users with a
            value.
        slices: slice name -> metric -> the same, with ``n_users``, ``n_queries`` and ``note``.
        per_user: one row per user in order of first query: ``user`` (row of the split's clicks),
            ``n_queries``, one column per metric (NaN without a value); ``user_id`` once saved with ids.
        n_users: number of users with a query.
        n_queries: number of queries.
        protocol: one-line description of the measurement.
        counts: numbers of empty and short lists, queries without target, targets excluded as seen.
        left_out: configured metrics that could not be computed -> reason.
    """

    metrics: dict[str, Estimate]
    slices: dict[str, dict[str, Any]]
    per_user: pl.DataFrame
    n_users: int
    n_queries: int
    protocol: str
    counts: dict[str, int] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)

    @property
    def how_measured(self) -> list[str]:
        """Parts of the protocol line on which values depend: all but those on intervals."""
        return [part for part in self.protocol.split("; ") if not part.startswith(INTERVALS_PART)]

    def with_user_ids(self, user_ids: np.ndarray) -> Evaluation:
        """Return the evaluation with the column ``user_id`` in ``per_user``.

        Args:
            user_ids: original ids of all rows of the split's clicks.
        """
        ids = [str(user_id) for user_id in user_ids[self.per_user["user"].to_numpy()]]
        named = self.per_user.select(pl.Series("user_id", ids, dtype=pl.String), pl.exclude("user_id"))
        return replace(self, per_user=named)

    def save(self, folder: Path, user_ids: np.ndarray | None = None) -> None:
        """Write both files, each atomically; NaN becomes null in JSON, as does ``ci95`` without an interval.

        Args:
            folder: folder of the files; created if it does not exist.
            user_ids: original ids of all rows of the split's clicks; adds the column ``user_id``.
        """
        per_user = (self if user_ids is None else self.with_user_ids(user_ids)).per_user
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
        text = json.dumps(to_plain(summary), indent=2, allow_nan=False)
        write_text(folder / METRICS_FILE, text + "\n")

    @classmethod
    def load(cls, folder: Path) -> Evaluation:
        """Read what :meth:`save` wrote.

        Raises:
            FileNotFoundError: if the folder contains no evaluation.
        """
        path = folder / METRICS_FILE
        if not path.exists():
            raise FileNotFoundError(f"{path} does not exist; run evaluate.py on this run first")
        summary = json.loads(path.read_text(encoding="utf-8"))
        rest = {name: summary.pop(name) for name in ("n_users", "n_queries", "protocol")}
        counts, left_out = summary.pop("counts"), summary.pop("left_out")
        slices = _from_plain(summary.pop("slices"))
        per_user = pl.read_parquet(folder / PER_USER_FILE)
        metrics = _from_plain(summary)
        return cls(metrics, slices, per_user, counts=counts, left_out=left_out, **rest)


def to_plain(value: Any) -> Any:
    """Return a value for JSON: NaN becomes None, and so does an interval (``ci95``) without ends."""
    if isinstance(value, dict):
        return {key: None if key == CI and no_interval(v) else to_plain(v) for key, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_plain(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def no_interval(ends: Any) -> bool:
    """Return whether an interval has no ends: None, or NaN or None in either place."""
    return ends is None or any(end is None or math.isnan(end) for end in ends)


def _from_plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: [math.nan, math.nan] if key == CI and inner is None else _from_plain(inner)
            for key, inner in value.items()
        }
    if isinstance(value, list):
        return [_from_plain(inner) for inner in value]
    return math.nan if value is None else value

"""What every driver is given and what it hands back: one JSON request in, one JSON result and the lists out.

Runs in every framework's own environment, so it needs nothing but Python and numpy.
"""

from __future__ import annotations

import json
import resource
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

ABSENT = -1
RESULT, LISTS = "result.json", "lists.npy"
REPORTED = ("torch", "numpy", "pandas", "lightning", "pytorch-lightning")


@dataclass(frozen=True)
class Request:
    """One run of one framework: the same settings for all of them.

    Args:
        data: folder with ``clicks.npz``, and the same clicks as tables.
        out: folder of the result.
        length: clicks that the model sees at once.
        limit_seconds: training ends after the epoch in which so much time is over; None for no limit.
        k: length of the lists.
        rank_batches: users ranked at a time, growing; every framework is given all, its best one counts.
        rank_rounds: how often each of them is timed.
        overrides: for crossrec alone.
        recbole_as_is: leaves on the anomaly detection that importing RecBole's models switches on.
    """

    data: str
    out: str
    length: int
    width: int
    blocks: int
    heads: int
    dropout: float
    batch: int
    epochs: int
    lr: float
    seed: int
    threads: int
    limit_seconds: float | None
    k: int
    rank_batches: tuple[int, ...]
    rank_rounds: int
    overrides: tuple[str, ...] = ()
    recbole_as_is: bool = False


@dataclass(frozen=True)
class Clicks:
    """The prepared data; rows are CSR arrays, oldest click first, users and items are numbered from 0.

    Args:
        train_offsets: (U + 1,) row u of the training clicks is user u.
        train_items: (T,).
        query_users: (Q,) the user of each test query.
        history_offsets: (Q + 1,).
        history_items: all clicks of the user but the last.
        n_items: N, size of the catalogue.
    """

    train_offsets: np.ndarray
    train_items: np.ndarray
    query_users: np.ndarray
    history_offsets: np.ndarray
    history_items: np.ndarray
    n_items: int

    @classmethod
    def load(cls, folder: Path) -> Clicks:
        """Reads ``clicks.npz``."""
        with np.load(folder / "clicks.npz") as arrays:
            return cls(
                train_offsets=arrays["train_offsets"],
                train_items=arrays["train_items"],
                query_users=arrays["query_users"],
                history_offsets=arrays["history_offsets"],
                history_items=arrays["history_items"],
                n_items=int(arrays["n_items"]),
            )

    def train_rows(self) -> list[np.ndarray]:
        """One array a user."""
        return np.split(self.train_items, self.train_offsets[1:-1])

    def history_rows(self) -> list[np.ndarray]:
        """One array a query."""
        return np.split(self.history_items, self.history_offsets[1:-1])

    def windowed_targets(self, length: int) -> int:
        """Clicks that an epoch predicts where it sees only each user's last ``length`` inputs."""
        return int(np.clip(np.diff(self.train_offsets) - 1, 0, length).sum())


@dataclass
class Report:
    """What a driver notes while it works."""

    limit_seconds: float | None
    epoch_seconds: list[float] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    out_of_time: bool = False
    _started: float = 0.0

    def epoch_begins(self) -> None:
        """Starts the clock."""
        self._started = time.perf_counter()

    def epoch_ends(self) -> bool:
        """Stops the clock; whether training must end here."""
        self.epoch_seconds.append(time.perf_counter() - self._started)
        self.out_of_time = self.limit_seconds is not None and sum(self.epoch_seconds) >= self.limit_seconds
        return self.out_of_time


Rank = Callable[[int], np.ndarray]
"""Ranks all test queries, so many at a time: from the fitted model to (Q, k) items, ``ABSENT`` where none."""

Drive = Callable[[Request, Clicks, Report], Rank]
"""Trains a framework's model and returns what ranks with it."""


def run_driver(drive: Drive) -> None:
    """Reads the request that the command line names, runs the driver, writes what it found."""
    request = Request(**json.loads(Path(sys.argv[1]).read_text()))
    out = Path(request.out)
    report = Report(request.limit_seconds)
    imported = peak_rss()
    try:
        result = _measure(drive, request, report, out)
    except Exception as error:
        traceback.print_exc()
        result = {"error": f"{type(error).__name__}: {error}".splitlines()[0][:300]}
    (out / RESULT).write_text(
        json.dumps({"request": asdict(request), "peak_rss_imports": imported, **result}, indent=2)
    )
    sys.exit("error" in result)


def _measure(drive: Drive, request: Request, report: Report, out: Path) -> dict[str, Any]:
    started = time.perf_counter()
    rank = drive(request, Clicks.load(Path(request.data)), report)
    trained = time.perf_counter() - started
    if request.epochs and not report.epoch_seconds:
        raise RuntimeError("no epoch was timed: the framework did not pass by the clock")
    peaks: dict[int, int] = {}
    seconds: dict[int, list[float]] = {batch: [] for batch in request.rank_batches}
    lists = np.zeros(0)
    for _ in range(request.rank_rounds):
        for batch, found in seconds.items():
            started = time.perf_counter()
            lists = rank(batch)
            found.append(time.perf_counter() - started)
            peaks.setdefault(
                batch, peak_rss()
            )  # a peak never falls: only the first round tells batches apart
    np.save(out / LISTS, lists.astype(np.int64))
    return {
        "epoch_seconds": report.epoch_seconds,
        "out_of_time": report.out_of_time,
        "setup_seconds": trained - sum(report.epoch_seconds),
        "rank_seconds": seconds,
        "n_queries": len(lists),
        "peak_rss": peaks,
        "versions": _versions(),
        **report.facts,
    }


def peak_rss() -> int:
    """Bytes of memory that this process held at most.

    On Linux from /proc: ``ru_maxrss`` would start at the size of the process that launched this one.
    """
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _versions() -> dict[str, str]:
    found = {"python": sys.version.split()[0]}
    for package in REPORTED:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found

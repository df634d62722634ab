"""The data that every framework is given: cleaned and divided once, by crossrec."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from crossrec.config import validate
from crossrec.data.dataset import Dataset
from crossrec.data.prepare import DataConfig, PreparedData
from crossrec.types import Sequences

SYNTHETIC = "synthetic-full"
SYNTHETIC_USERS, SYNTHETIC_ITEMS, SYNTHETIC_CLICKS = 10_000, 5_000, (48, 52)
TASTES = 16


def make_data(name: str, folder: Path, root: Path | None, users: int | None) -> PreparedData:
    """Writes ``items.csv``, ``interactions.csv`` and ``clicks.npz`` where they are missing, and loads them.

    Args:
        name: ``synthetic-full``, or that of a log.
        folder: where the files go.
        root: of the raw data, an item and an interaction table; not used by synthetic data.
        users: keep only so many users.
    """
    done = folder / "note.json"
    if not done.exists():
        clicks = _synthetic(users or SYNTHETIC_USERS) if name == SYNTHETIC else _cleaned(root, users)
        _write_tables(clicks, folder)
        _write_arrays(load_data(folder, name, ""), folder / "clicks.npz")
        done.write_text(json.dumps(_note(name, users)))
    return load_data(folder, name, json.loads(done.read_text()))


def load_data(folder: Path, name: str, note: str) -> PreparedData:
    """The written tables, divided leave-one-out; nothing more is cleaned."""
    source = {"type": "table", "name": name, "note": note}
    return _read({"source": source, "root": str(folder), "split": {"type": "leave_one_out"}})


def _read(content: dict[str, Any]) -> PreparedData:
    return Dataset.from_config(validate(DataConfig, content, "benchmarks/peers.py")).split()


def _note(name: str, users: int | None) -> str:
    parts = ["synthetic: made so that hardly anything is padded"] if name == SYNTHETIC else []
    return "; ".join(parts + ([f"only {users} users"] if users else []))


def _cleaned(root: Path | None, users: int | None) -> Sequences:
    """The 5-core of a table, items renumbered where users are left out."""
    cleaning = {"k_users": 5, "k_items": 5, "catalog": "clicked"}
    split = {"type": "leave_one_out"}
    data = _read({"source": {"type": "table"}, "root": str(root), "cleaning": cleaning, "split": split})
    clicks = data.split.clicks
    if users is None:
        return clicks
    few = clicks.take(np.arange(min(users, len(clicks))))
    return Sequences(few.offsets, np.unique(few.items, return_inverse=True)[1])


def _synthetic(users: int) -> Sequences:
    """Distinct items by popularity (Zipf) and taste, drawn by the Gumbel trick; the order says nothing."""
    generator = np.random.default_rng(0)
    popularity = -np.log(np.arange(1, SYNTHETIC_ITEMS + 1))
    tastes = generator.normal(size=(SYNTHETIC_ITEMS, TASTES))
    low, high = SYNTHETIC_CLICKS
    rows = []
    for _ in range(users):
        liking = popularity + tastes @ generator.normal(size=TASTES) * 0.5
        keys = liking + generator.gumbel(size=SYNTHETIC_ITEMS)
        rows.append(generator.permutation(np.argpartition(-keys, high)[: generator.integers(low, high + 1)]))
    return Sequences.from_lists(rows)


def _write_tables(clicks: Sequences, folder: Path) -> None:
    """Ids are the numbers of users and items; a click's time is its place in its user's row."""
    folder.mkdir(parents=True, exist_ok=True)
    user = clicks.row_of_click
    place = np.arange(len(clicks.items)) - np.repeat(clicks.offsets[:-1], clicks.lengths)
    log = pl.DataFrame({"user_id": user, "item_id": clicks.items, "timestamp": place})
    log.write_csv(folder / "interactions.csv")
    pl.DataFrame({"item_id": np.arange(clicks.items.max() + 1)}).write_csv(folder / "items.csv")


def _write_arrays(data: PreparedData, path: Path) -> None:
    split = data.split
    histories = split.histories(split.test)
    np.savez(
        path,
        train_offsets=split.train.offsets,
        train_items=split.train.items.astype(np.int64),
        query_users=split.test.users,
        history_offsets=histories.offsets,
        history_items=histories.items.astype(np.int64),
        n_items=len(data.catalog),
    )

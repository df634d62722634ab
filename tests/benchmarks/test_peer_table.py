"""What the comparison with other frameworks makes of the files that their drivers leave."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from crossrec.data.prepare import PreparedData

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def parts() -> dict[str, ModuleType]:
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        names = ("contract", "peer_data", "scoring", "table")
        return {name: importlib.import_module(f"peer_drivers.{name}") for name in names}
    finally:
        sys.path.pop(0)


@pytest.fixture(scope="module")
def data(parts: dict[str, ModuleType], tmp_path_factory: pytest.TempPathFactory) -> PreparedData:
    folder = tmp_path_factory.mktemp("data")
    return parts["peer_data"].make_data("synthetic-full", folder, None, 12)


def write_result(folder: Path, lists: np.ndarray, **values: Any) -> Path:
    folder.mkdir()
    np.save(folder / "lists.npy", lists)
    content: dict[str, Any] = {
        "request": {"epochs": 3},
        "epoch_seconds": [9.0, 2.0, 4.0],
        "out_of_time": False,
        "rank_seconds": {"256": [4.0, 2.0], "1024": [1.0, 3.0]},
        "n_queries": len(lists),
        "peak_rss": {"256": 10**9, "1024": 2 * 10**9},
        "peak_rss_imports": 10**8,
        "precision": "fp32",
    }
    (folder / "result.json").write_text(json.dumps(content | values))
    return folder


def perfect(data: PreparedData) -> np.ndarray:
    """Each query's target first, then items that it has not seen."""
    split = data.split
    histories = split.histories(split.test)
    rows = []
    for query in range(len(split.test)):
        target = split.test.targets.row(query)
        rest = np.setdiff1d(np.arange(split.n_items), np.concatenate([target, histories.row(query)]))
        rows.append(np.concatenate([target, rest])[:10])
    return np.stack(rows)


def test_written_arrays_are_the_leave_one_out_split(
    parts: dict[str, ModuleType], data: PreparedData, tmp_path: Path
) -> None:
    parts["peer_data"]._write_arrays(data, tmp_path / "clicks.npz")
    clicks = parts["contract"].Clicks.load(tmp_path)
    whole = data.clicks.sequences
    for query, user in enumerate(clicks.query_users):
        row = whole.row(int(user))
        assert 48 <= len(row) <= 52
        assert len(np.unique(row)) == len(row)
        np.testing.assert_array_equal(clicks.train_rows()[user], row[:-2])
        np.testing.assert_array_equal(clicks.history_rows()[query], row[:-1])
    assert clicks.windowed_targets(20) == 20 * len(whole)


def test_summary_leaves_the_first_epoch_out_and_takes_the_best_batch(
    parts: dict[str, ModuleType], data: PreparedData, tmp_path: Path
) -> None:
    lists = perfect(data)
    row = parts["scoring"].summarise(write_result(tmp_path / "run", lists), data)
    assert row["ndcg@10"] == row["recall@10"] == 1
    assert (row["first_epoch_seconds"], row["epoch_seconds"]) == (9, 3)
    assert (row["rank_batch"], row["rank_users_per_second"]) == (1024, len(lists))
    assert row["peak_rss_gb"] == 2


def test_lists_with_seen_items_are_refused_and_keep_their_row(
    parts: dict[str, ModuleType], data: PreparedData, tmp_path: Path
) -> None:
    lists = perfect(data)
    lists[0, -1] = data.split.histories(data.split.test).row(0)[0]
    row = parts["scoring"].summarise(write_result(tmp_path / "run", lists), data)
    assert "of their own history" in row["error"]
    assert parts["table"].cells("Peer", row)[:2] == ["Peer", "failed"]
    assert parts["table"].notes({"peer": "Peer"}, {"peer": row}) == [f"Peer failed: {row['error']}"]


def test_ratios_say_how_many_times_faster_and_smaller_ours_is(
    parts: dict[str, ModuleType], data: PreparedData, tmp_path: Path
) -> None:
    lists = perfect(data)
    ours = parts["scoring"].summarise(write_result(tmp_path / "ours", lists), data)
    slow = {"epoch_seconds": [20.0, 30.0], "rank_seconds": {"256": [8.0]}, "peak_rss": {"256": 4 * 10**9}}
    theirs = parts["scoring"].summarise(write_result(tmp_path / "theirs", lists, **slow), data)
    rows = {"ours": ours, "theirs": theirs, "failed": {"error": "no"}}
    parts["table"].add_ratios(rows, "ours")
    assert (theirs["epoch_ratio"], theirs["rank_ratio"], theirs["rss_ratio"]) == (10, 8, 2)
    assert "epoch_ratio" not in ours

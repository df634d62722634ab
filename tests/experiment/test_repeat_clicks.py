"""Repeat clicks: targets where lists may hold seen items, from the split to the last table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from crossrec.cli import runs
from crossrec.data.splits.base import SplitError
from crossrec.data.splits.leave_one_out import LeaveOneOutSplitter
from crossrec.data.splits.temporal import TemporalSplitter
from crossrec.types import Sequences

LOGS = st.lists(st.lists(st.integers(0, 3), max_size=9), min_size=1, max_size=6)


def timed(rows: list[list[int]]) -> Sequences:
    """Clicks at times 0, 1, … in each row."""
    clicks = Sequences.from_lists(rows)
    times = [time for row in rows for time in range(len(row))]
    return Sequences(clicks.offsets, clicks.items, np.asarray(times, dtype=np.int64))


@given(LOGS, st.integers(1, 2))
@settings(max_examples=60, deadline=None)
def test_with_repeats_every_left_out_click_is_a_target(rows: list[list[int]], n_last: int) -> None:
    expected = [[row[place]] for row in rows if len(row) > 2 * n_last for place in range(-n_last, 0)]
    try:
        split = LeaveOneOutSplitter.Options(n_last=n_last).build().split(timed(rows), 4, repeats=True)
    except SplitError:
        assert not expected
        return
    assert [split.test.targets.row(q).tolist() for q in range(len(split.test))] == expected


@given(LOGS)
@settings(max_examples=60, deadline=None)
def test_with_repeats_a_window_keeps_each_item_once(rows: list[list[int]]) -> None:
    config = TemporalSplitter.Options(valid_from=3, test_from=6, unit="time")
    expected = [list(dict.fromkeys(row[6:])) for row in rows if len(row) > 6]
    try:
        split = config.build().split(timed(rows), 4, repeats=True)
    except SplitError:
        return
    assert [split.test.targets.row(q).tolist() for q in range(len(split.test))] == expected
    assert "repeat clicks are targets" in split.protocol
    assert not any("already in the history" in reason for reason in split.excluded)


def write_shop(folder: Path, users: list[list[str]]) -> None:
    """A click a second, one user after the other starting at the same time."""
    rows = [(f"u{u}", item, 100 * step) for u, row in enumerate(users) for step, item in enumerate(row)]
    pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp"], orient="row").write_csv(
        folder / "interactions.csv"
    )
    items = sorted({item for row in users for item in row})
    pl.DataFrame({"item_id": items, "title": items, "text": items}).write_csv(folder / "items.csv")


def trained(folder: Path, **evaluation: Any) -> Path:
    """A run of one epoch beside the baseline of popular items, tuned by nothing."""
    config = {
        "name": "repeats" if not evaluation else "-".join(f"{k}-{v}" for k, v in evaluation.items()),
        "runs_dir": str(folder / "runs"),
        "data": {
            "source": {"type": "table"},
            "root": str(folder),
            "cache_dir": str(folder / "cache"),
            "split": {"type": "leave_one_out"},
        },
        "model": {
            "text": None,
            "image": None,
            "item_id": True,
            "width": 8,
            "sequence": {"type": "sasrec", "max_length": 8},
        },
        "trainer": {"epochs": 1, "batch_size": 8, "precision": "no", "metric": "recall@1"},
        "spaces": {"text": None, "image": None},
        "baselines": [{"type": "popularity"}],
        "evaluation": {"n_bootstrap": 0, "ks": [1], "metrics": ["recall"], **evaluation},
    }
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(config))
    assert runs.train([str(path)]) == 0
    return folder / "runs" / str(config["name"])


def test_recall_of_repeats_by_hand(tmp_path: Path) -> None:
    """Most popular in training is "tea". Of four test clicks two are tea, both repeats: recall@1 is 1/2."""
    write_shop(
        tmp_path,
        [
            ["tea", "tea", "mug", "tea", "tea"],
            ["tea", "pot", "tea", "pot", "tea"],
            ["tea", "tea", "pot", "mug", "pot"],
            ["tea", "jar", "jar", "tea", "jar"],
        ],
    )
    run = trained(tmp_path, exclude_seen=False)
    metrics = json.loads((run / "eval/test/baselines/popularity/metrics.json").read_text())
    assert metrics["n_queries"] == 4
    assert metrics["recall@1"]["value"] == pytest.approx(0.5)
    assert "seen items allowed" in metrics["protocol"]
    model = json.loads((run / "eval/test/metrics.json").read_text())
    assert model["n_queries"] == 4
    counts = json.loads((run / "data.json").read_text())["counts"]
    assert (counts["valid_targets"], counts["test_targets"]) == (4, 4)


def test_excluded_by_default(tmp_path: Path) -> None:
    """The same shop with one new item at each user's end: only these are targets."""
    write_shop(
        tmp_path, [["tea", "tea", "pot", "tea"], ["tea", "mug", "pot", "jar"], ["pot", "tea", "mug", "jar"]]
    )
    run = trained(tmp_path)
    metrics = json.loads((run / "eval/test/metrics.json").read_text())
    assert metrics["n_queries"] == 2
    assert (
        json.loads((run / "data.json").read_text())["left_out"]["test: targets already in the history"] == 1
    )

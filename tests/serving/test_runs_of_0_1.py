"""A run folder that version 0.1 wrote loads, recommends and is measured as it was then.

The fixture holds a generated log of 30 users and 24 items, a run of 0.1 on it with a SASRec over smoothed ids
and groups, reranked by MMR, and what 0.1 recommended and measured.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

import crossrec
from crossrec.cli.commands import main

SAVED = Path(__file__).parent / "run_0_1"
EXPECTED: dict[str, Any] = json.loads((SAVED / "expected.json").read_text())


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    copy = tmp_path / "shop"
    shutil.copytree(SAVED, copy)
    monkeypatch.chdir(copy)
    return copy


def test_it_recommends_the_same(folder: Path) -> None:
    loaded = crossrec.load(folder / "runs" / "run_0_1")
    for user, expected in EXPECTED["users"].items():
        history = loaded.history_of(user)
        assert history == expected["history"]
        found = loaded.recommend(history, k=6)
        assert [place.item_id for place in found] == [item for item, _ in expected["lists"]]
        assert [place.score for place in found] == pytest.approx([s for _, s in expected["lists"]], abs=1e-4)


def test_it_is_measured_the_same(folder: Path) -> None:
    run = folder / "runs" / "run_0_1"
    assert main(["evaluate", str(run)]) == 0
    (written,) = run.glob("eval/test*/metrics.json")
    metrics = json.loads(written.read_text())
    for name, value in EXPECTED["metrics"].items():
        assert metrics[name]["value"] == pytest.approx(value, abs=1e-6), name
    assert 0 < metrics["ild_behaviour@10"]["value"] < 1, "metrics that are new since then are measured too"

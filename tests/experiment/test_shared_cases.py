"""Shops that went wrong: a catalogue that changes under a trained run, and customers who buy again."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from crossrec.cli.runs import evaluate, train

CASES = Path(os.environ.get("CROSSREC_SHARED", Path(__file__).parents[2] / ".." / "shared")) / "cases"
QUICK = ["evaluation.n_bootstrap=20", "baselines=[{type: item_knn, similarity: cosine}]"]

pytestmark = pytest.mark.skipif(
    not (CASES / "config.yaml").is_file(), reason="the shared cases are not there (CROSSREC_SHARED)"
)


def trained(case: str, folder: Path, *overrides: str) -> Path:
    """The run folder of a case."""
    given = [f"data.root={CASES / case}", f"runs_dir={folder}", *QUICK, *overrides]
    assert train([str(CASES / "config.yaml"), *given]) == 0
    return folder / "case"


def figures(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "metrics.json").read_text())
    return {name: found[name]["value"] for name in ("ndcg@10", "recall@10", "coverage@10")}


def lists(folder: Path) -> pl.DataFrame:
    return pl.read_parquet(folder / "recommendations.parquet").sort(pl.all())


def test_a_run_follows_item_ids(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    run = trained("items-changed/shop", tmp_path)
    test = run / "eval" / "test"
    before, listed = figures(test), lists(test)

    assert evaluate([str(run), f"data.root={CASES / 'items-changed' / 'sorted'}"]) == 0
    assert figures(test) == before
    assert lists(test).equals(listed)

    assert evaluate([str(run), f"data.root={CASES / 'items-changed' / 'grown'}"]) == 0
    assert "1 new (treated as cold items), 0 removed" in caplog.text
    assert figures(test) == before, "other data never replace a run's own figures"
    assert len(list((run / "eval").glob("test-*"))) == 1


def test_repeat_purchases_are_targets_where_seen_items_are_allowed(tmp_path: Path) -> None:
    repeats = trained("repeat-purchases", tmp_path / "with", "evaluation.exclude_seen=false")
    new = trained("repeat-purchases", tmp_path / "without")
    counts = [json.loads((run / "data.json").read_text()) for run in (repeats, new)]
    left_out = [
        sum(n for reason, n in found["left_out"].items() if "already in" in reason) for found in counts
    ]
    assert left_out[0] == 0
    assert left_out[1] > 200
    targets = [found["counts"]["valid_targets"] + found["counts"]["test_targets"] for found in counts]
    twice = sum(n for reason, n in counts[1]["left_out"].items() if "clicked twice" in reason)
    assert targets[0] > targets[1] + twice
    knn = [figures(run / "eval" / "test" / "baselines" / "item-knn-cosine") for run in (repeats, new)]
    assert knn[0]["recall@10"] > knn[1]["recall@10"]

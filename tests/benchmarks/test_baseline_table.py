"""The table of baselines: which trials are taken up again."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from crossrec.config import validate
from crossrec.experiment.config import ExperimentConfig

PATH = Path(__file__).parents[2] / "benchmarks" / "baselines.py"


def benchmark() -> Any:
    spec = importlib.util.spec_from_file_location("baseline_table", PATH)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_trials_are_kept_by_all_that_decides_their_values() -> None:
    table = benchmark()
    changes: list[dict[str, Any]] = [
        {},
        {"spaces": {"text": None}},
        {"evaluation": {"exclude_seen": False}},
        {"trainer": {"metric": "recall@10"}},
        {"data": {"split": {"type": "leave_one_out"}}},
    ]
    keys = [table._validated_on(validate(ExperimentConfig, change, "test")) for change in changes]
    assert len(set(keys)) == len(keys)
    same: list[dict[str, Any]]
    same = [{"name": "other"}, {"data": {"cache_dir": "elsewhere"}}, {"trainer": {"epochs": 3}}]
    assert {table._validated_on(validate(ExperimentConfig, s, "test")) for s in same} == {keys[0]}

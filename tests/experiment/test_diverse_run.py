"""A run that trains for diversity and reranks for it: what it leaves, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from crossrec.config import validate
from crossrec.experiment.config import ExperimentConfig
from crossrec.serving.training import run_training
from crossrec.types import InputError

TERMS = {"type": "terms", "terms": {"kinds": {"type": "similarity", "weight": 2.0}}}
MMR = {"stages": [{"type": "mmr", "diversity": 0.9, "space": "category"}], "candidates": 20}


def experiment(id_shop: dict[str, Any], **changes: Any) -> ExperimentConfig:
    return validate(ExperimentConfig, {**id_shop, **changes}, "test")


def lists_of(folder: Path) -> list[list[str]]:
    rows = pl.read_parquet(folder / "recommendations.parquet").sort("user_id", "query", "rank")
    return rows.group_by("user_id", "query", maintain_order=True).agg("item_id")["item_id"].to_list()


@pytest.fixture(scope="module")
def folder(id_shop: dict[str, Any]) -> Path:
    config = experiment(id_shop, name="diverse", diversity=TERMS, rerank=MMR)
    run_training(config)
    return config.run_folder


def test_reranked_lists_come_first_and_the_models_own_stand_beside(folder: Path) -> None:
    test = folder / "eval" / "test"
    own = test / "baselines" / "sasrec-id"
    found = {
        name: json.loads((at / "metrics.json").read_text()) for name, at in (("mmr", test), ("own", own))
    }
    distance = {name: metrics["ild_category@10"]["value"] for name, metrics in found.items()}
    assert distance["mmr"] > distance["own"]
    assert lists_of(test) != lists_of(own)
    assert "mmr 0.9" in (test / "report.html").read_text(encoding="utf-8")


def test_terms_are_logged_beside_the_ranking_loss(folder: Path) -> None:
    steps = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    kinds = [line["kinds"] for line in steps if line["kind"] == "step"]
    assert kinds
    assert all(0 <= value <= 1 for value in kinds)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"diversity": {"type": "terms", "terms": {"a": {"type": "similarity", "space": "text"}}}}, "'text'"),
        ({"rerank": {"stages": [{"type": "context", "column": "brand", "max_per_value": 1}]}}, "brand"),
    ],
)
def test_what_the_catalogue_lacks_is_named_before_training(
    id_shop: dict[str, Any], changes: dict[str, Any], told: str
) -> None:
    config = experiment(id_shop, name="lacking", **changes)
    with pytest.raises(InputError, match=told):
        run_training(config)
    assert not config.run_folder.exists()

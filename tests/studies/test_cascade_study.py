"""``crossrec cascade``: a retriever's candidates scored by a run, beside the run over the whole catalogue."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

from crossrec.cli.commands import main
from crossrec.config import validate
from crossrec.experiment.config import ExperimentConfig
from crossrec.serving.training import run_training

N_ITEMS = 30


@pytest.fixture(scope="module")
def run(id_shop: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained run."""
    folder = tmp_path_factory.mktemp("cascade")
    content = {**id_shop, "runs_dir": str(folder), "name": "shop"}
    content["evaluation"] = {**id_shop["evaluation"], "ks": [10, 15]}
    content["trainer"] = {**id_shop["trainer"], "epochs": 1}
    run_training(validate(ExperimentConfig, content, "test"))
    return folder / "shop"


def lists(folder: Path) -> pl.DataFrame:
    return pl.read_parquet(folder / "recommendations.parquet").sort("query", "rank")


def cascade(run: Path, out: Path, retriever: str, *arguments: str) -> dict[str, Any]:
    assert main(["cascade", retriever, str(run), *arguments, "--out", str(out), "--resamples", "400"]) == 0
    return json.loads((out / "cascade.json").read_text())


def test_all_items_as_candidates_give_the_rankers_lists_and_few_lose(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = cascade(run, tmp_path, "popularity", "--candidates", str(N_ITEMS), "20")
    assert found["retriever"] == "popularity"
    assert found["ranker"] == found["reference"] == "shop"
    assert found["candidates"] == {f"cascade of {N_ITEMS}": N_ITEMS, "cascade of 20": 20}
    assert list(found["test"]) == [*found["candidates"], "shop", "popularity"]
    whole, few, ranker = (found["test"][name] for name in (f"cascade of {N_ITEMS}", "cascade of 20", "shop"))
    assert whole == ranker
    assert few["ndcg@10"] != ranker["ndcg@10"]
    test = tmp_path / "eval" / "test"
    places = ("query", "rank", "item_id")
    assert lists(test).select(places).equals(lists(test / "baselines" / "shop").select(places))
    saved = json.loads((test / "baselines" / "cascade-of-20" / "metrics.json").read_text())
    assert saved["ndcg@10"]["value"] == few["ndcg@10"]["value"]
    compared = [e for e in found["comparison"]["entries"] if e["metric"] == "ndcg@10"]
    assert [entry["system"] for entry in compared] == ["shop", *found["candidates"]]
    assert compared[1]["difference"]["value"] == 0
    assert compared[2]["value"] == pytest.approx(few["ndcg@10"]["value"])
    assert all(spent > 0 for spent in found["microseconds"].values())
    assert list(found["stages"]["cascade of 20"]) == ["retrieve", "rank"]
    printed = capsys.readouterr().out.replace("\n", " ")
    assert "100.0% of it" in printed
    assert "cascade of 20: ndcg@10" in printed
    assert "Differences from shop" in printed
    assert (tmp_path / "comparison.html").exists()
    assert yaml.safe_load((tmp_path / "config.yaml").read_text())["retriever"] == "popularity"


def test_reranking_has_the_same_pool_in_the_cascade_and_beside_it(run: Path, tmp_path: Path) -> None:
    arguments = ("--candidates", str(N_ITEMS), "--rerank", "mmr", "--strength", "0.6")
    found = cascade(run, tmp_path, "neighbours", *arguments)
    assert found["reranking"] == "mmr 0.6"
    assert found["reference"] == "shop, mmr 0.6"
    assert found["retriever"] == "neighbours in shop"
    assert list(found["stages"][f"cascade of {N_ITEMS}"]) == ["retrieve", "rank", "rerank"]
    # Items that are nobody's neighbour are out of the pool, so only the measures of the lists are close.
    assert 0 < found["test"][f"cascade of {N_ITEMS}"]["ild_category@10"]["value"] <= 1
    again = cascade(run, tmp_path / "again", "popularity", *arguments)
    assert again["test"][f"cascade of {N_ITEMS}"] == again["test"]["shop, mmr 0.6"]


@pytest.mark.skipif(importlib.util.find_spec("faiss") is None, reason="needs faiss-cpu")
def test_a_run_retrieves_for_itself_by_its_index(run: Path, tmp_path: Path) -> None:
    found = cascade(run, tmp_path, str(run), "--index", "faiss", "--candidates", "25")
    assert found["retriever"] == "shop (FAISS)"
    assert found["test"]["cascade of 25"] == found["test"]["shop"]


def test_what_cannot_be_is_named(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = ["--out", str(tmp_path)]

    def message(*arguments: str) -> str:
        assert main(["cascade", *arguments, *out]) == 2
        return capsys.readouterr().err

    assert "give --candidates" in message("popularity", str(run), "--candidates", "5")
    assert "evaluation.ks; give --candidates" in message("popularity", str(run), "--candidates", "14")
    assert "index: faiss" in message(str(run), str(run))
    assert "a ranker is a run or a baseline" in message("popularity", "neighbours")
    assert "crossrec cascade needs at least one run folder" in message("item_knn", "popularity")
    assert "index 'faiss' needs item vectors" in message("popularity", str(run), "--index", "faiss")
    assert "mmr" in message("popularity", str(run), "--rerank", "mmrr")
    assert "repeats a number" in message("popularity", str(run), "--candidates", "20", "20")
    with pytest.raises(SystemExit):
        main(["cascade", "popularity", str(run), "--strength", "0.5", *out])
    assert "--strength needs --rerank" in capsys.readouterr().err

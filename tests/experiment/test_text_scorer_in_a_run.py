"""A run with a text scorer: trained, measured, loaded, saved, served, and resumed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from safetensors.torch import load_file

import crossrec as cr
from crossrec.config import validate
from crossrec.experiment.config import ExperimentConfig
from crossrec.experiment.evaluate import run_evaluation
from crossrec.experiment.text_scorer import FOLDER, SCORER_FILE, titles_of
from crossrec.model.text_scored import TextScoredRecommender
from crossrec.serving.training import run_training
from crossrec.types import InputError

KINDS = ("shirt", "shoe", "hat", "coat", "bag")
TITLES = [
    f"{color} {stuff} {kind}" for color in ("red", "blue") for stuff in ("wool", "silk") for kind in KINDS
]
N = len(TITLES)
PROMPT = "the shopper viewed : {history} . next : {item} ? Answer :"


def write_shop(folder: Path, titles: list[str]) -> None:
    """Shoppers of one color each, who take its items in random order."""
    rng = np.random.default_rng(0)
    rows = []
    for user in range(40):
        own = rng.permutation(np.arange(N // 2) + (user % 2) * (N // 2))[:6]
        rows += [(f"u{user}", f"i{item}", 100 * place + user) for place, item in enumerate(own)]
    folder.mkdir(parents=True, exist_ok=True)
    names = ["user_id", "item_id", "timestamp"]
    pl.DataFrame(rows, schema=names, orient="row").write_csv(folder / "interactions.csv")
    pl.DataFrame({"item_id": [f"i{i}" for i in range(N)], "title": titles}).write_csv(folder / "items.csv")


def content(folder: Path, llama: Path, name: str, **changes: Any) -> dict[str, Any]:
    scorer = {
        "weights": str(llama),
        "prompt": PROMPT,
        "history": 3,
        "precision": "fp32",
        "lora": None,
        "candidates": 12,
        "steps": 25,
        "batch_size": 8,
        "negatives": 4,
        "lr": 0.01,
        **changes,
    }
    return {
        "name": name,
        "runs_dir": str(folder / "runs"),
        "data": {
            "source": {"type": "table"},
            "root": str(folder / "shop"),
            "cache_dir": str(folder / "cache"),
            "split": {"type": "leave_one_out"},
        },
        "model": {"text": None, "image": None, "item_id": True, "width": 8, "sequence": {"type": "gru4rec"}},
        "trainer": {"epochs": 1, "batch_size": 8, "lr": 0.001},
        "text_scorer": scorer,
        "rerank": {"stages": [{"type": "popularity", "diversity": 0.1}], "candidates": 10},
        "spaces": {"text": None, "image": None},
        "baselines": [],
        "evaluation": {"n_bootstrap": 0},
    }


def config(folder: Path, llama: Path, name: str, **changes: Any) -> ExperimentConfig:
    return validate(ExperimentConfig, content(folder, llama, name, **changes), "test")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, reading_llama: Path) -> Path:
    folder = tmp_path_factory.mktemp("scored")
    write_shop(folder / "shop", ["", *TITLES[1:]])
    run_training(config(folder, reading_llama, "scored"), report=False)
    return folder


def test_the_words_raise_the_lists_and_every_stage_is_measured(trained: Path) -> None:
    run = trained / "runs" / "scored"
    account = json.loads((run / "data.json").read_text())["text_scorer"]
    assert account["weight"] > 0
    assert account["mixed"] > 1.3 * account["alone"]
    assert account["n_queries"] == 40
    assert 0 < account["ceiling"] <= 1
    assert (run / FOLDER / SCORER_FILE).exists()
    assert not (run / FOLDER / "progress.safetensors").exists()
    lines = [json.loads(line) for line in (run / FOLDER / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(1, 26))
    assert np.mean([line["loss"] for line in lines[-5:]]) < lines[0]["loss"]
    figures = {
        path.parent.name: json.loads(path.read_text())["ndcg@10"]["value"]
        for path in (run / "eval" / "test").rglob("metrics.json")
    }
    reranked, (scored, alone) = figures.pop("test"), sorted(figures.values(), reverse=True)
    assert scored > 1.3 * alone
    assert reranked not in (scored, alone)


def test_a_loaded_run_a_saved_folder_and_an_evaluation_give_the_same_lists(
    trained: Path, tmp_path: Path
) -> None:
    run = cr.load(trained / "runs" / "scored")
    assert isinstance(run.recommender, TextScoredRecommender)
    frame = run.recommend(users=["u0", "u1"], k=5)
    run.save_pretrained(tmp_path / "shared", with_users=True)
    again = cr.load(tmp_path / "shared")
    assert again.recommend(users=["u0", "u1"], k=5).equals(frame)
    # Those of the first stage alone differ, and are what some modalities would be.
    histories = run.users.histories(["u0", "u1"])
    own = run.recommender.recommend(histories, 5, histories)
    listed = frame.filter(pl.col("user_id") == "u0")["item_id"].to_list()
    assert listed == [f"i{item}" for item in own.ids[0]]
    first = run.model.recommender.recommend(histories, 5, histories)
    assert (first.ids != own.ids).any()
    reranked = run.recommend(users=["u0"], k=5, rerank="run")
    assert len(reranked) == 5
    before = (trained / "runs" / "scored" / "eval" / "test" / "metrics.json").read_text()
    run_evaluation(run.config, "test", report=False)
    assert (trained / "runs" / "scored" / "eval" / "test" / "metrics.json").read_text() == before


def test_new_items_are_read_by_their_titles(trained: Path) -> None:
    run = cr.load(trained / "runs" / "scored")
    scorer = run.model.text_scorer
    assert scorer is not None
    grown = run.catalog.extended(
        type(run.catalog).from_columns({"item_id": ["new"], "title": ["red linen hat"]})
    )
    scorer.set_titles(titles_of(grown, "title"))
    assert scorer.has_title.tolist() == [False, *[True] * N]


def test_a_finished_run_keeps_its_scorer_and_an_unfinished_one_goes_on(
    trained: Path, reading_llama: Path
) -> None:
    path = trained / "runs" / "scored" / FOLDER / SCORER_FILE
    before = load_file(path)
    written = path.stat().st_mtime_ns
    run_training(config(trained, reading_llama, "scored"), report=False)
    assert path.stat().st_mtime_ns == written
    path.unlink()
    with pytest.raises(InputError, match="the text scorer has not been tuned to the end; start the training"):
        cr.load(trained / "runs" / "scored")
    run_training(config(trained, reading_llama, "scored"), report=False)
    again = load_file(path)
    assert all(torch.equal(again[name], value) for name, value in before.items())


def test_python_takes_the_same_options(trained: Path, reading_llama: Path) -> None:
    data = cr.Dataset.from_config(config(trained, reading_llama, "x").data).split()
    options = content(trained, reading_llama, "x", steps=2, queries=5, weight=0.5)["text_scorer"]
    model = cr.SequentialRecommender(
        modalities={"id": cr.ItemId()},
        sequence=cr.GRU4Rec(),
        width=8,
        text_scorer=cr.TextScorer(**options),
    ).fit(data, epochs=1, batch_size=8)
    assert isinstance(model.recommender, TextScoredRecommender)
    assert float(model.recommender.scorer.mix_weight) == 0.5
    found = cr.evaluate([model], data, ks=[5], n_bootstrap=0)
    assert found[0].lists.ids.shape == (40, 5)
    assert model.recommend(users=["u3"], k=4).height == 4


def test_a_run_with_a_text_scorer_can_not_teach(trained: Path, reading_llama: Path) -> None:
    student = content(trained, reading_llama, "student")
    student |= {"text_scorer": None, "distil": {"teacher": str(trained / "runs" / "scored"), "k": 5}}
    with pytest.raises(InputError, match=r"distil.teacher: run 'scored' has a text scorer"):
        run_training(validate(ExperimentConfig, student, "test"), report=False)


def test_a_catalog_without_titles_is_rejected_before_training(tmp_path: Path, reading_llama: Path) -> None:
    write_shop(tmp_path / "shop", [""] * N)
    with pytest.raises(InputError, match=r"text_scorer.column: no item has a text in column 'title'"):
        run_training(config(tmp_path, reading_llama, "bare"), report=False)
    with pytest.raises(InputError, match=r"read from column 'titel'.*title"):
        run_training(config(tmp_path, reading_llama, "bare", column="titel"), report=False)
    assert not (tmp_path / "runs" / "bare").exists()

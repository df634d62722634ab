"""A run that learns from another run: the same items and clicks, in any order of the catalogue."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import crossrec as cr
from crossrec.config import validate
from crossrec.experiment import distillation
from crossrec.experiment.config import ExperimentConfig
from crossrec.experiment.distillation import teacher_lists
from crossrec.experiment.evaluate import load_recommender
from crossrec.experiment.prepared import PreparedExperiment
from crossrec.serving.training import run_training
from crossrec.training.teacher import LISTS
from crossrec.types import ABSENT, ConfigError, InputError

N_ITEMS = 30


def write_shop(folder: Path, *, reverse: bool = False, users: int = 40, more: int = 0) -> None:
    """Shoppers who go from item i to item i + 1."""
    rows = [
        (f"u{u}", f"i{(3 * u + s) % N_ITEMS}", 100 * s + u) for u in range(users) for s in range(4 + u % 4)
    ]
    folder.mkdir(parents=True, exist_ok=True)
    names = ["user_id", "item_id", "timestamp"]
    pl.DataFrame(rows, schema=names, orient="row").write_csv(folder / "interactions.csv")
    items = [f"i{i}" for i in range(N_ITEMS + more)]
    pl.DataFrame({"item_id": items[::-1] if reverse else items}).write_csv(folder / "items.csv")


def config(folder: Path, name: str, shop: str = "shop", **changes: Any) -> ExperimentConfig:
    content = {
        "name": name,
        "runs_dir": str(folder / "runs"),
        "data": {
            "source": {"type": "table"},
            "root": str(folder / shop),
            "cache_dir": str(folder / "cache"),
            "split": {"type": "leave_one_out"},
        },
        "model": {"text": None, "image": None, "item_id": True, "width": 8, "sequence": {"type": "gru4rec"}},
        "trainer": {"epochs": 2, "batch_size": 8, "lr": 0.01},
        "spaces": {"text": None, "image": None},
        "baselines": [],
        "evaluation": {"n_bootstrap": 0},
        **changes,
    }
    return validate(ExperimentConfig, content, "test")


def student(folder: Path, name: str, shop: str = "shop", **changes: Any) -> ExperimentConfig:
    distil = {"teacher": str(folder / "runs" / "teacher"), "k": 6}
    return config(folder, name, shop, **{"distil": distil, **changes})


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a shop, the same shop in another order, and a run on the first."""
    folder = tmp_path_factory.mktemp("distil")
    write_shop(folder / "shop")
    write_shop(folder / "reverse", reverse=True)
    write_shop(folder / "more", more=1)
    write_shop(folder / "fewer", users=39)
    run_training(config(folder, "teacher"), report=False)
    return folder


def test_lists_are_the_teachers_own_whatever_the_order_of_the_catalog(trained: Path) -> None:
    own = PreparedExperiment.of(config(trained, "teacher"))
    teacher = load_recommender(own)
    prepared = PreparedExperiment.of(student(trained, "reversed", "reverse"))
    train = prepared.data.split.train
    lists = teacher_lists(prepared, train, teacher.device)
    assert lists is not None
    names, own_names = prepared.data.catalog.item_ids, own.data.catalog.item_ids
    assert names[0] != own_names[0]
    at = int(train.offsets[5]) + 2
    history = own.data.split.train.take(np.array([5]), np.array([2]))
    expected = teacher.recommend(history, 6, history)
    soft = lists.take(np.array([at]))
    assert [names[i] for i in soft.ids_TK[0]] == [own_names[i] for i in expected.ids[0]]
    np.testing.assert_allclose(soft.scores_TK[0], expected.scores[0] - expected.scores[0, 0], atol=2e-3)
    assert (expected.ids[0] != ABSENT).all()


def test_a_run_distils_and_keeps_the_lists(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_training(student(trained, "student"), report=False)
    folder = trained / "runs" / "student"
    steps = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert all(line["distillation"] > 0 for line in steps if line["kind"] == "step")
    assert len(list((folder / "teacher").glob(f"*/{LISTS}"))) == 1
    monkeypatch.setattr(distillation, "load_recommender", lambda *_: pytest.fail("the lists are there"))
    prepared = PreparedExperiment.of(student(trained, "student"))
    train = prepared.data.split.train
    found = teacher_lists(prepared, train, load_recommender(prepared).device)
    assert found is not None
    assert (
        found.take(np.arange(len(train.items))).taught_T.sum() == len(train.items) - (train.lengths > 0).sum()
    )


def test_a_student_without_weight_is_an_ordinary_run(trained: Path) -> None:
    distil = {"teacher": str(trained / "runs" / "teacher"), "k": 6, "weight": 0.0}
    run_training(student(trained, "unweighted", distil=distil), report=False)
    plain, unweighted = (
        load_recommender(PreparedExperiment.of(config(trained, name))).item_vectors().numpy()
        for name in ("teacher", "unweighted")
    )
    np.testing.assert_allclose(plain, unweighted, atol=1e-5)


@pytest.mark.parametrize(
    ("shop", "message"), [("more", "1 new"), ("fewer", "the training clicks are others")]
)
def test_a_teacher_of_other_data_is_rejected(trained: Path, shop: str, message: str) -> None:
    with pytest.raises(InputError, match=rf"distil\.teacher: .*trained on other data.*{message}"):
        run_training(student(trained, f"on_{shop}", shop), report=False)
    assert not (trained / "runs" / f"on_{shop}").exists()


def test_a_teacher_that_is_not_there_is_rejected_before_the_data_are_read(trained: Path) -> None:
    for distil, message in (({}, "is missing"), ({"teacher": str(trained / "shop")}, "is no trained run")):
        with pytest.raises(InputError, match=message):
            run_training(student(trained, "orphan", "no_such_shop", distil=distil), report=False)
    with pytest.raises(ConfigError, match=r"distil\.weight"):
        student(trained, "orphan", distil={"weight": 2})


def test_in_python_any_fitted_recommender_teaches(trained: Path, tmp_path: Path) -> None:
    frames = [pl.read_csv(trained / "shop" / f"{name}.csv") for name in ("items", "interactions")]
    data = cr.Dataset(*frames, name="shop").split("leave_one_out")
    knn = cr.ItemKNN().fit(data)
    model = cr.SequentialRecommender(
        modalities={"id": cr.ItemId()}, sequence=cr.GRU4Rec(), width=8, distil={"weight": 1.0, "k": 6}
    )
    model.fit(data, epochs=10, lr=0.02, teacher=knn, batch_size=8, folder=tmp_path / "run")
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    losses = [line["distillation"] for line in lines if line["kind"] == "step"]
    assert losses[-1] < 0.8 * losses[0]
    with pytest.raises(InputError, match="is missing"):
        model.fit(data, epochs=1)
    with pytest.raises(InputError, match="no option distil"):
        cr.SequentialRecommender(modalities={"id": cr.ItemId()}).fit(data, epochs=1, teacher=knn)

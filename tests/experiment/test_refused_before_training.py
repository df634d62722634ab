"""``train.py`` refuses what can't end well before it encodes anything: one line, status 2."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
import yaml

from crossrec.cli import runs
from crossrec.config import validate
from crossrec.experiment import checks
from crossrec.experiment.config import ExperimentConfig
from crossrec.model.encoded_catalog import EncodedCatalog
from crossrec.runtime.device import memory_of
from crossrec.types import ConfigError, InputError


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """Sixteen items with texts, twelve users."""
    rows = [(f"u{u}", f"i{(u + step) % 16}", 100 * step + u) for u in range(12) for step in range(5)]
    pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp"], orient="row").write_csv(
        tmp_path / "interactions.csv"
    )
    items = [f"i{i}" for i in range(16)]
    pl.DataFrame({"item_id": items, "title": items, "text": items, "brand": items}).write_csv(
        tmp_path / "items.csv"
    )
    return tmp_path


def content(shop: Path, **changes: Any) -> dict[str, Any]:
    """A small experiment on ids alone."""
    return {
        "name": "run",
        "runs_dir": str(shop / "runs"),
        "data": {
            "source": {"type": "table"},
            "root": str(shop),
            "cache_dir": str(shop / "cache"),
            "split": {"type": "leave_one_out"},
        },
        "model": {
            "text": None,
            "image": None,
            "item_id": True,
            "width": 8,
            "sequence": {"type": "sasrec", "max_length": 8},
        },
        "trainer": {"epochs": 1, "batch_size": 8},
        "spaces": {"text": None, "image": None},
        "baselines": [],
        "evaluation": {"n_bootstrap": 0},
        **changes,
    }


def train(shop: Path, *overrides: str, **changes: Any) -> int:
    path = shop / "run.yaml"
    path.write_text(yaml.safe_dump(content(shop, **changes)))
    return runs.train([str(path), *overrides])


REFUSED: dict[str, tuple[list[str], str]] = {
    "metric": (["trainer.metric=ndgc@10"], "trainer.metric: 'ndgc@10' is not measured"),
    "metric length": (["trainer.metric=ndcg@7"], "there are recall@10, ndcg@10"),
    "timm model": (["spaces.image.model=tf_efficientnet_lite9"], "timm has no model 'tf_efficientnet_lite9'"),
    "weights": (["spaces.text.weights=package:minilmm"], "no such package is known"),
    "other weights": (["spaces.image.weights=package:minilm"], "not of tf_efficientnet_lite0"),
    "tokens": (["spaces.text.max_tokens=100000"], "this model takes at most 512"),
    "column": (
        ["rerank.stages=[{type: context, column: brandd, max_per_value: 1}]"],
        "column 'brandd' is not in the catalogue; there are ['brand'",
    ),
    "space": (
        ["rerank.stages=[{type: mmr, space: imagee}]"],
        "in the space 'imagee'; there are behaviour, model",
    ),
    "term": (
        ["diversity={type: terms, terms: {a: {type: similarity, space: texts}}}"],
        "in the space 'texts'; there are behaviour, model",
    ),
    "baseline": (
        ["baselines=[{type: vbpr}]"],
        "baselines: vbpr needs item vectors in the space 'image'; there are behaviour",
    ),
    "baseline on the model": (
        ["baselines=[{type: vbpr, modality: model}]"],
        "baselines: vbpr needs item vectors in the space 'model'; there are behaviour",
    ),
    "heads": (["model.sequence.heads=3"], "does not divide the item width"),
    "memory": (["model.width=65536", "model.sequence.layers=900"], "GiB for training"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_in_one_line_before_anything_is_encoded(
    name: str, shop: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def never(*args: Any) -> Any:
        raise AssertionError("encoded too early")

    monkeypatch.setattr(EncodedCatalog, "text_features", never)
    monkeypatch.setattr(EncodedCatalog, "image_features", never)
    overrides, told = REFUSED[name]
    spaces: dict[str, Any] | None
    spaces = {"text": {}, "image": {}} if any("spaces" in o for o in overrides) else None
    assert train(shop, *overrides, **({"spaces": spaces} if spaces else {})) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: ")
    assert told in error
    assert not [path for path in (shop / "runs").rglob("*") if path.suffix != ".lock"]


def test_a_run_folder_that_is_a_file(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (shop / "runs").write_text("")
    assert train(shop) == 2
    assert "is a file; choose another folder" in capsys.readouterr().err


def test_divergence_is_told_and_what_was_written_stays(
    shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(shop, "model.similarity=dot", "trainer.epochs=30", "trainer.lr=100", "name=wild",
                 "objective.type=full_softmax", "objective.temperature=1.0e-38") == 2  # fmt: skip
    assert "training has diverged. Lower trainer.lr" in capsys.readouterr().err
    assert (shop / "runs" / "wild" / "config.yaml").exists()


def test_long_lists_and_single_users_are_warned_of(shop: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert train(shop, "evaluation.ks=[10, 50]") == 0
    assert "lists of 50 are longer than the catalogue of 16 items" in caplog.text


def test_estimate_is_the_number_of_parameters(shop: Path) -> None:
    for kind in ("sasrec", "esasrec", "bert4rec", "hstu", "gru4rec"):
        given = content(shop)
        given["model"]["sequence"] = {"type": kind, "max_length": 8}
        model = validate(ExperimentConfig, given, "c").model
        built = model.sequence.build(model.width, shop)
        expected = sum(p.numel() for p in built.parameters()) + 16 * model.width
        assert checks.count_parameters(model, 16, shop) == expected
    with pytest.raises(InputError, match="for training"):
        checks.check_memory(model, memory_of(torch.device("cpu")), torch.device("cpu"), shop)


def test_trackers_that_can_not_log_are_refused(
    shop: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    assert train(shop, "trainer.tracker=tensorboard") == 2
    assert "tensorboard is not installed: pip install tensorboard" in capsys.readouterr().err
    import wandb

    monkeypatch.setattr(wandb, "login", lambda prompt=True: False)
    assert train(shop, "trainer.tracker=wandb", "trainer.wandb_mode=online") == 2
    assert "wandb online has no account: run 'wandb login'" in capsys.readouterr().err


def test_tensorboard_gets_steps_and_final_figures(shop: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    assert train(shop, "trainer.tracker=tensorboard") == 0
    (events,) = (shop / "runs" / "run").rglob("events.out.*")
    read = EventAccumulator(str(events)).Reload()
    measured = json.loads((shop / "runs/run/eval/test/metrics.json").read_text())["ndcg@10"]["value"]
    assert read.Scalars("test/ndcg@10")[-1].value == pytest.approx(measured)
    assert read.Scalars("step/loss")
    assert read.Scalars("eval/ndcg@10")


def test_wandb_gets_the_final_figures_and_the_report(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import wandb

    kept: dict[str, Any] = {}
    finish = wandb.Run.finish

    def finished(run: Any, *args: Any, **kwargs: Any) -> Any:
        kept.update(dict(run.summary))
        return finish(run, *args, **kwargs)

    monkeypatch.setattr(wandb.Run, "finish", finished)
    assert train(shop, "trainer.tracker=wandb") == 0
    measured = json.loads((shop / "runs/run/eval/test/metrics.json").read_text())["ndcg@10"]["value"]
    assert kept["test/ndcg@10"] == pytest.approx(measured)
    assert "test/report" in kept
    assert list((shop / "runs" / "run").rglob("*.html"))


def test_the_same_baseline_twice_is_refused() -> None:
    knn = {"type": "item_knn", "similarity": "cosine"}
    validate(ExperimentConfig, {"baselines": [knn, {**knn, "neighbours": 7}]}, "shop.yaml")
    with pytest.raises(ConfigError, match=r"shop\.yaml.*lists the same 'item_knn' twice: remove one"):
        validate(ExperimentConfig, {"baselines": [knn, {"type": "popularity"}, knn]}, "shop.yaml")

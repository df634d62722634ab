"""``train.py`` and ``evaluate.py`` on a small shop, and what they say of bad input."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import yaml
from PIL import Image
from safetensors.numpy import load_file

from crossrec.cli import runs
from crossrec.experiment.run_folder import hold_run

REPOSITORY = Path(__file__).parents[2]
SCRIPT_ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
N_ITEMS = 40


def write_shop(root: Path) -> None:
    """A shop whose shoppers mostly go from item i to item i + 1; coloured pictures, one of them broken."""
    generator = np.random.default_rng(0)
    (root / "pictures").mkdir(parents=True)
    for item in range(N_ITEMS):
        colour = tuple(int(c) for c in generator.integers(0, 255, 3))
        Image.new("RGB", (32, 32), colour).save(root / "pictures" / f"i{item}.png")
    (root / "pictures" / "i7.png").write_bytes(b"\x89PNG\r\n\x1a\n, but no picture")
    pl.DataFrame(
        {
            "item_id": [f"i{i}" for i in range(N_ITEMS)],
            "title": [f"Thing {i}" for i in range(N_ITEMS)],
            "text": [f"A thing of kind {i % 5}." for i in range(N_ITEMS)],
            "categories": [f"kind {i % 5}" for i in range(N_ITEMS)],
            "price": [float(i) for i in range(N_ITEMS)],
        }
    ).write_csv(root / "items.csv")
    rows = []
    for user in range(60):
        start = int(generator.integers(0, N_ITEMS))
        steps = range(int(generator.integers(4, 12)))
        rows += [(f"u{user}", f"i{(start + step) % N_ITEMS}", 100 * step + user) for step in steps]
    pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp"], orient="row").write_csv(
        root / "interactions.csv"
    )


CONFIG = {
    "name": "shop",
    "data": {
        "source": {"type": "table", "images": "pictures"},
        "split": {"type": "leave_one_out"},
    },
    "model": {
        "text": None,
        "image": {"type": "timm", "model": "test_resnet", "weights": "random", "image_size": 32},
        "item_id": True,
        "width": 16,
        "sequence": {"type": "sasrec", "max_length": 8},
    },
    "trainer": {"epochs": 3, "batch_size": 8, "lr": 0.01, "precision": "no"},
    "spaces": {"text": None, "image": None},
    "evaluation": {"n_bootstrap": 50},
}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the shop's data and a configuration for it."""
    folder = tmp_path_factory.mktemp("shop")
    write_shop(folder / "data")
    (folder / "shop.yaml").write_text(yaml.safe_dump(CONFIG))
    return folder


def run(script: str, shop: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A script as users start it, in a process of its own."""
    return subprocess.run(
        [sys.executable, str(REPOSITORY / script), *arguments],
        env=SCRIPT_ENVIRONMENT,
        cwd=shop,
        capture_output=True,
        text=True,
    )


def call(
    command: Callable[[Sequence[str]], int], shop: Path, *arguments: str
) -> subprocess.CompletedProcess[str]:
    """A command within this process: starting one takes longer than most of what is asked here."""
    with (
        contextlib.chdir(shop),
        contextlib.redirect_stdout(io.StringIO()) as out,
        contextlib.redirect_stderr(io.StringIO()) as err,
    ):
        status = command(arguments)
    return subprocess.CompletedProcess(arguments, status, out.getvalue(), err.getvalue())


def train(shop: Path, *overrides: str) -> subprocess.CompletedProcess[str]:
    return call(runs.train, shop, "shop.yaml", "data.root=data", *overrides)


@pytest.fixture(scope="module")
def trained(shop: Path) -> Path:
    """The run folder of a finished training."""
    finished = run("train.py", shop, "shop.yaml", "data.root=data")
    assert finished.returncode == 0, finished.stderr
    for expected in (
        "Split: leave-one-out",
        "Model: sasrec (id+image, gated)",
        "popularity",
        "item-kNN BM25",
    ):
        assert expected in finished.stdout
    assert "1 of 40 items can't be read" in finished.stderr
    return shop / "runs" / "shop"


def test_the_run_folder_is_complete(trained: Path) -> None:
    config = yaml.safe_load((trained / "config.yaml").read_text())
    assert config["seed"] == 0
    assert set(config["provenance"]) == {"versions", "git_commit"}
    metrics = json.loads((trained / "eval" / "test" / "metrics.json").read_text())
    assert set(metrics["ndcg@10"]) >= {"value", "ci95"}
    assert metrics["n_users"] == 60
    assert "leave-one-out" in metrics["protocol"]
    lists = pl.read_parquet(trained / "eval" / "test" / "recommendations.parquet")
    assert set(lists["item_id"]) <= {f"i{i}" for i in range(N_ITEMS)}
    assert lists["user_id"].n_unique() == 60
    assert (trained / "checkpoints" / "best" / "model.safetensors").exists()
    assert {p.name for p in (trained / "eval" / "test" / "baselines").iterdir()} == {
        "popularity",
        "item-knn-bm25",
    }
    assert "Thing" in (trained / "eval" / "test" / "report.html").read_text()
    account = json.loads((trained / "data.json").read_text())
    assert account["counts"]["items"] == N_ITEMS


def test_evaluate_repeats_the_training_s_own_figures(shop: Path, trained: Path) -> None:
    before = json.loads((trained / "eval" / "test" / "metrics.json").read_text())
    finished = call(runs.evaluate, shop, "runs/shop", "evaluation.ks=[5,10]")
    assert finished.returncode == 0, finished.stderr
    after = json.loads((trained / "eval" / "test" / "metrics.json").read_text())
    assert after["ndcg@10"] == before["ndcg@10"]
    assert "ndcg@5" in after


def test_evaluate_scores_a_predictions_file_like_the_model_that_wrote_it(shop: Path, trained: Path) -> None:
    lists = trained / "eval" / "test" / "recommendations.parquet"
    pl.read_parquet(lists).select("user_id", "item_id", "rank").write_csv(shop / "mine.csv")
    finished = call(runs.evaluate, shop, "runs/shop", "--predictions", "mine.csv")
    assert finished.returncode == 0, finished.stderr
    theirs = json.loads((trained / "eval" / "test" / "predictions-mine" / "metrics.json").read_text())
    ours = json.loads((trained / "eval" / "test" / "metrics.json").read_text())
    for name in ("ndcg@10", "recall@10", "coverage@10", "gini@10"):
        assert theirs[name]["value"] == pytest.approx(ours[name]["value"], abs=1e-12)


def test_a_run_is_repeated_from_its_own_configuration(
    shop: Path, trained: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="crossrec"):
        finished = call(runs.train, shop, "runs/shop/config.yaml", "name=again")
    assert finished.returncode == 0, finished.stderr
    assert "runs/shop/config.yaml is of an earlier run: its key 'provenance' is left out" in caplog.text
    first, again = (
        json.loads((folder / "eval" / "test" / "metrics.json").read_text())
        for folder in (trained, trained.parent / "again")
    )
    for name in ("ndcg@10", "recall@10", "coverage@10", "gini@10"):
        assert again[name] == first[name]


def test_a_run_with_another_configuration_is_not_overwritten(shop: Path, trained: Path) -> None:
    refused = train(shop, "trainer.lr=0.5")
    assert refused.returncode == 2
    assert "trainer.lr: 0.01 there, 0.5 requested" in refused.stderr
    assert "choose another name" in refused.stderr


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["trainer.epohcs=3"], "trainer: unknown key 'epohcs'; did you mean 'epochs'?"),
        (["data.root=nowhere"], "nowhere"),
        (["data.source.interaction_columns.user=customer"], "customer"),
        (["model.image.weights=package:nonesuch"], "package:nonesuch"),
        (["model.image=null", "model.item_id=false"], "a model needs at least one of them"),
        (["data.cleaning.k_users=1000"], "k-core"),
    ],
)
def test_bad_input_is_one_message_without_a_traceback(shop: Path, overrides: list[str], message: str) -> None:
    refused = train(shop, "name=refused", *overrides)
    assert refused.returncode == 2, refused.stderr
    assert message in refused.stderr
    assert "Traceback" not in refused.stderr
    assert refused.stderr.count("error: ") == 1
    assert not (shop / "runs" / "refused").exists()


def test_an_encoder_in_the_training_step_and_a_sampled_loss(shop: Path) -> None:
    finished = train(
        shop,
        "name=finetuned",
        "model.image.training=finetune",
        "model.item_id=false",
        "objective.type=sampled_softmax",
        "objective.negatives=8",
        "trainer.epochs=1",
        "trainer.accumulation=2",
        "baselines=[]",
    )
    assert finished.returncode == 0, finished.stderr
    run_folder = shop / "runs" / "finetuned"
    weights = load_file(run_folder / "checkpoints" / "best" / "model.safetensors")
    tuned = [name for name in weights if name.startswith("items.modalities.image.encoder.")]
    assert tuned


def test_a_run_can_be_measured_while_it_is_trained(shop: Path, trained: Path) -> None:
    with contextlib.chdir(shop), hold_run(Path("runs/shop")):
        again = train(shop)
        assert (again.returncode, "is being trained by" in again.stderr) == (2, True)
        assert call(runs.evaluate, shop, "runs/shop", "data.root=data").returncode == 0


@pytest.mark.slow
def test_evaluate_is_a_script_too(shop: Path, trained: Path) -> None:
    before = json.loads((trained / "eval" / "test" / "metrics.json").read_text())
    finished = run("evaluate.py", shop, "runs/shop", "data.root=data", "evaluation.ks=[5,10]")
    assert finished.returncode == 0, finished.stderr
    after = json.loads((trained / "eval" / "test" / "metrics.json").read_text())
    assert after["ndcg@10"] == before["ndcg@10"]


@pytest.mark.slow
def test_two_processes_print_one_table(shop: Path) -> None:
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    arguments = ["shop.yaml", "data.root=data", "name=two"]
    finished = subprocess.run(
        [*launcher, str(REPOSITORY / "train.py"), *arguments],
        env={**SCRIPT_ENVIRONMENT, "ACCELERATE_USE_CPU": "true"},
        cwd=shop,
        capture_output=True,
        text=True,
    )
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.count("Report with pictures") == 1


def test_evaluate_says_what_is_missing(shop: Path) -> None:
    refused = call(runs.evaluate, shop, "runs/absent")
    assert refused.returncode == 2
    assert "holds no run" in refused.stderr


@pytest.mark.parametrize(
    ("imported", "heavy"),
    [
        ("crossrec.cli.commands, crossrec.cli.runs", ("torch", "pyarrow", "transformers")),
        ("crossrec.experiment.config", ("transformers", "timm", "peft", "datasets", "matplotlib")),
    ],
)
def test_help_and_errors_load_no_heavy_library(imported: str, heavy: tuple[str, ...]) -> None:
    program = f"import sys; import {imported}; print([name for name in {heavy} if name in sys.modules])"
    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert finished.stdout.strip() == "[]"

"""Training: learns an order, resumes a killed run to the same losses, and is the same on two processes."""

from __future__ import annotations

import json
import os
import runpy
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from torch import nn

from crossrec.training.config import TrainerConfig
from crossrec.training.trainer import build_optimizer, rate_factor

PROGRAM = Path(__file__).with_name("small_training.py")
train = runpy.run_path(str(PROGRAM))["train"]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}


def run(
    folder: Path, *arguments: str, processes: int = 1, objective: str = "full"
) -> subprocess.CompletedProcess:
    launcher = [sys.executable]
    if processes > 1:
        launcher += ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
    return subprocess.run(
        [*launcher, str(PROGRAM), str(folder), *arguments],
        env={**ENVIRONMENT, "OBJECTIVE": objective},
        capture_output=True,
        text=True,
    )


def lines(folder: Path, kind: str) -> list[dict]:
    parsed = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [line for line in parsed if line["kind"] == kind]


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unbroken")
    train(folder)
    return folder


def test_a_module_scales_the_rates_of_what_is_in_it() -> None:
    class Scaled(nn.Sequential):
        lr_scale = 0.5

    network = nn.ModuleDict(
        {"out": Scaled(nn.Linear(2, 2), Scaled(nn.Linear(2, 3))), "into": nn.Linear(2, 4)}
    )
    task = nn.ModuleDict({"network": nn.ModuleDict({"sequence": network})})
    optimizer = build_optimizer(task, TrainerConfig(lr=0.1, weight_decay=0.3))
    rates = {
        (len(parameter), parameter.ndim): (group["lr"], group["weight_decay"])
        for group in optimizer.param_groups
        for parameter in group["params"]
    }
    assert rates == {
        (2, 2): (0.05, 0.3),
        (2, 1): (0.05, 0.0),
        (3, 2): (0.025, 0.3),
        (3, 1): (0.025, 0.0),
        (4, 2): (0.1, 0.3),
        (4, 1): (0.1, 0.0),
    }


def test_the_rate_rises_to_its_full_size_and_falls_along_a_cosine() -> None:
    config = TrainerConfig(warmup=0.2, final_lr=0.1)
    found = [rate_factor(progress, config) for progress in (0.0, 0.1, 0.2, 0.6, 1.0)]
    assert found == pytest.approx([0.0, 0.5, 1.0, 0.55, 0.1])


def test_an_order_is_learned(unbroken: Path) -> None:
    values = [line["ndcg@10"] for line in lines(unbroken, "eval")]
    chance = np.mean([1 / np.log2(r + 2) if r < 10 else 0 for r in range(60)])
    assert max(values) > 4 * chance
    outcome = json.loads((unbroken / "outcome.json").read_text())
    # fit() hands back the best weights, not the last ones.
    assert outcome["ndcg@10"] == pytest.approx(max(values), abs=1e-9)


@pytest.mark.parametrize("die_at", [3, pytest.param(24, marks=pytest.mark.slow)])
def test_a_killed_run_resumes_to_the_same_losses(unbroken: Path, tmp_path: Path, die_at: int) -> None:
    killed = run(tmp_path, str(die_at))
    assert killed.returncode == -signal.SIGKILL
    train(tmp_path)
    for kind, names in (("step", ("step", "epoch", "loss", "lr")), ("eval", ("step", "ndcg@10"))):
        ours, theirs = lines(tmp_path, kind), lines(unbroken, kind)
        assert [[line[n] for n in names] for line in ours] == [[line[n] for n in names] for line in theirs]


def test_a_finished_run_is_not_trained_again(unbroken: Path) -> None:
    before = (unbroken / "log.jsonl").read_text()
    train(unbroken)
    assert (unbroken / "log.jsonl").read_text() == before


# Shorter ones run by default: losses in test_contrastive_training, ranking in tests/evaluation.
@pytest.mark.slow
@pytest.mark.parametrize("objective", ["full", "sampled"])
def test_two_processes_give_one_process_metrics(unbroken: Path, tmp_path: Path, objective: str) -> None:
    reference = unbroken
    if objective != "full":
        reference = tmp_path / "one"
        train(reference, objective=objective)
    finished = run(tmp_path / "two", processes=2, objective=objective)
    assert finished.returncode == 0, finished.stderr
    for kind, name in (("step", "loss"), ("eval", "ndcg@10")):
        ours = [line[name] for line in lines(tmp_path / "two", kind)]
        theirs = [line[name] for line in lines(reference, kind)]
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)


def test_checkpoints_hold_safetensors_that_open_without_the_project(unbroken: Path) -> None:
    with safe_open(unbroken / "checkpoints" / "best" / "model.safetensors", framework="np") as file:
        assert "items.modalities.id.embedding.weight" in file.keys()  # noqa: SIM118
        assert file.get_tensor("items.modalities.id.embedding.weight").shape == (60, 16)
    assert not list((unbroken / "checkpoints").glob(".*tmp"))

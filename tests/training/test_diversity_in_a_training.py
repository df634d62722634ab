"""Runs with diversity terms: what weighs nothing changes nothing, broken runs resume, processes agree."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState

from crossrec.training.config import TrainerConfig
from crossrec.training.parallel import build_accelerator
from crossrec.training.task import ItemPredictionTask
from crossrec.training.trainer import Trainer
from crossrec.training.windows import WindowBatches
from crossrec.types import Sequences

Task = Callable[..., ItemPredictionTask]
Terms = dict[str, dict[str, Any]]


@pytest.fixture(autouse=True)
def _on_the_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")


def fit(
    folder: Path,
    learner: ItemPredictionTask,
    log: Sequences,
    *,
    accumulation: int = 1,
    die_at: int | None = None,
) -> list[dict[str, Any]]:
    """Trains for a few epochs and gives the lines of the steps."""
    folder.mkdir(exist_ok=True)
    config = TrainerConfig(epochs=3, batch_size=15, lr=0.01, accumulation=accumulation, checkpoint_every=3)
    dealer = WindowBatches(
        log,
        max_length=8,
        batch_size=15,
        overlap=0.25,
        seed=0,
        masked=learner.network.sequence.mask_share is not None,
    )
    trainer = Trainer(
        learner,
        dealer,
        config,
        accelerator=build_accelerator(config, folder),
        validate=lambda: {"ndcg@10": 0.0},
        run_folder=folder,
        seed=0,
    )
    step = trainer._step

    def step_or_die(windows, number, share_done):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
        if number == die_at:
            raise KeyboardInterrupt
        return step(windows, number, share_done)

    trainer._step = step_or_die  # type: ignore[method-assign]
    trainer.fit()
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [line for line in lines if line["kind"] == "step"]


def fit_in_pair(rank: int, folder: Path, learner: ItemPredictionTask, log: Sequences) -> None:
    """One of two processes, with the environment that a launcher gives them."""
    torch.set_num_threads(1)
    ranks = {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    os.environ.update({**ranks, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"})
    # A fork inherits what accelerate found in the parent, which is alone.
    AcceleratorState._reset_state(reset_partial_state=True)
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2
    )
    fit(folder / "two", learner, log)


@pytest.mark.parametrize("objective", ["full", "sampled"])
def test_terms_without_weight_change_no_bit(
    tmp_path: Path, objective: str, task: Task, clicks: Sequences, every_term: Terms
) -> None:
    # A discriminator without a weight is refused, so it takes no part.
    silent = {name: {**term, "weight": 0} for name, term in every_term.items() if name != "adversary"}
    options = {"objective": objective, "dropout": 0.2}
    measured = fit(tmp_path / "a", task({"terms": silent, "rows": 20}, **options), clicks, accumulation=2)
    nothing = fit(tmp_path / "b", task(None, **options), clicks, accumulation=2)
    assert [line["loss"] for line in measured] == [line["loss"] for line in nothing]
    assert measured[0].keys() - nothing[0].keys() == silent.keys()


@pytest.mark.parametrize(
    ("objective", "model", "weighting"),
    [("full", "sasrec", "uncertainty"), ("sampled", "sasrec", "schedule"), ("full", "bert4rec", "fixed")],
)
def test_a_broken_run_resumes_to_the_same_losses(
    tmp_path: Path,
    objective: str,
    model: str,
    weighting: str,
    task: Task,
    clicks: Sequences,
    every_term: Terms,
) -> None:
    diversity = {"terms": every_term, "rows": 20, "items": 40, "weighting": {"type": weighting}}
    options = {"objective": objective, "model": model, "dropout": 0.2}
    unbroken = fit(tmp_path / "a", task(diversity, **options), clicks)
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path / "b", task(diversity, **options), clicks, die_at=8)
    learner = task(diversity, **options)
    resumed = fit(tmp_path / "b", learner, clicks)
    names = ["step", "loss", *every_term]
    assert [[line[n] for n in names] for line in resumed] == [[line[n] for n in names] for line in unbroken]
    assert all(np.isfinite([line[n] for n in names]).all() for line in unbroken)
    if weighting == "uncertainty":
        assert learner.terms is not None
        assert learner.terms.weighting.log_variances.abs().min() > 0


def test_the_schedule_follows_the_trainer(tmp_path: Path, task: Task, clicks: Sequences) -> None:
    schedule = {"type": "schedule", "start": 0.4, "end": 1.0}
    late = {"terms": {"gini": {"type": "gini", "weight": 5.0}}, "weighting": schedule}
    scheduled, nothing = fit(tmp_path / "a", task(late), clicks), fit(tmp_path / "b", task(None), clicks)
    same = [a["loss"] == b["loss"] for a, b in zip(scheduled, nothing, strict=True)]
    # The first step with a weight still starts from the same parameters.
    first = int(np.ceil(0.4 * len(same)))
    assert all(same[: first + 1])
    assert not any(same[first + 2 :])


def test_wrapping_sends_no_tables_around_at_each_step(tmp_path: Path) -> None:
    handler = build_accelerator(TrainerConfig(), tmp_path).ddp_handler
    assert handler is not None
    assert not handler.broadcast_buffers


def test_two_processes_give_one_process_losses(
    tmp_path: Path, task: Task, clicks: Sequences, every_term: Terms
) -> None:
    # Terms of single lists are means over positions, so that they add up over processes.
    exact = {"terms": {name: every_term[name] for name in ("similarity", "dpp")}, "rows": 10_000}
    one = fit(tmp_path / "one", task(exact), clicks)
    # Forked processes need no imports of their own, which take far longer than the training. Where there is
    # an accelerator, autograd can't be forked.
    start = "spawn" if torch.accelerator.is_available() else "fork"
    torch.multiprocessing.start_processes(
        fit_in_pair, args=(tmp_path, task(exact), clicks), nprocs=2, start_method=start
    )
    lines = [json.loads(line) for line in (tmp_path / "two" / "log.jsonl").read_text().splitlines()]
    two = [line for line in lines if line["kind"] == "step"]
    for name in ("loss", "similarity", "dpp"):
        np.testing.assert_allclose(
            [line[name] for line in two], [line[name] for line in one], rtol=1e-4, atol=1e-5
        )

"""The same seed on another number of threads gives the same run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from threadpoolctl import threadpool_limits

from crossrec.serving.training import run_training


@pytest.fixture(autouse=True)
def threads_as_before() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_losses_and_metrics_do_not_depend_on_it(planted: Any) -> None:
    losses, metrics = [], []
    for threads in (1, 2, 4):
        torch.set_num_threads(threads)
        with threadpool_limits(threads):
            model = {
                "text": {"training": "frozen"},
                "image": None,
                "item_id": True,
                "sequence": {"type": "sasrec", "max_length": 8},
            }
            trainer = {"epochs": 4, "batch_size": 16, "lr": 0.01}
            prepared = planted.prepared(f"threads-{threads}", None, model=model, trainer=trainer)
            run_training(prepared.config, shared=prepared, report=False)
        folder = prepared.config.run_folder
        rows = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
        losses.append([row["loss"] for row in rows if row["kind"] == "step"])
        found = json.loads((folder / "eval" / "test" / "metrics.json").read_text())
        metrics.append({name: found[name]["value"] for name in ("ndcg@10", "recall@10", "coverage@10")})
    assert len(losses[0]) >= 1
    for other_losses, other_metrics in zip(losses[1:], metrics[1:], strict=True):
        assert other_losses == pytest.approx(losses[0], abs=1e-5)
        assert other_metrics == pytest.approx(metrics[0], abs=1e-5)

"""crossrec: an ExperimentConfig through the framework's own training, as train.py does it.

By default the model and the optimiser are the peers': dot products, full softmax, a constant learning rate,
no weight decay, no gradient clipping, dropout in the blocks and on attention, the weights of the last epoch.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import yaml
from contract import Clicks, Rank, Report, Request, run_driver

from crossrec.config import load_config
from crossrec.evaluation.evaluate import rank_queries
from crossrec.experiment import train as training
from crossrec.experiment.config import ExperimentConfig
from crossrec.experiment.prepared import PreparedExperiment
from crossrec.model.recommender import NeuralRecommender
from crossrec.training.parallel import build_accelerator
from crossrec.training.trainer import Trainer, TrainingOutcome

NEVER = 10**9


class OutOfTime(Exception):
    """Training ended after an epoch because its time was over."""


class EpochTrainer(Trainer):
    """crossrec's trainer with a clock where it would validate; so no validation is ranked or timed."""

    report: Report

    def fit(self) -> TrainingOutcome:
        """Trains; an epoch's time holds its checkpoint."""
        self.validate = self._end_epoch
        self.report.epoch_begins()
        return super().fit()

    def _end_epoch(self) -> dict[str, float]:
        if self.report.epoch_ends():
            raise OutOfTime
        self.report.epoch_begins()
        # Rising, so that the last weights count as the best.
        return {self.config.metric: float(len(self.report.epoch_seconds))}


def equal_terms(request: Request) -> dict[str, object]:
    """The configuration that makes the same model and the same training."""
    return {
        "name": "crossrec",
        "seed": request.seed,
        "runs_dir": request.out,
        "data": {
            "source": {"type": "table", "name": Path(request.data).name},
            "root": request.data,
            "cache_dir": str(Path(request.out) / "cache"),
            "split": {"type": "leave_one_out"},
        },
        "model": {
            "text": None,
            "image": None,
            "item_id": True,
            "width": request.width,
            "similarity": "dot",
            "item_dropout": 0.0,
            "fusion": {"type": "weighted"},
            "sequence": {
                "type": "sasrec",
                "max_length": request.length,
                "layers": request.blocks,
                "heads": request.heads,
                "dropout": request.dropout,
                "attention_dropout": request.dropout,
            },
        },
        "objective": {"type": "full_softmax"},
        "trainer": {
            "epochs": request.epochs,
            "batch_size": request.batch,
            "lr": request.lr,
            "weight_decay": 0.0,
            "warmup": 0.0,
            "final_lr": 1.0,
            "clip_norm": 1e9,
            "eval_every": 1,
            "checkpoint_every": NEVER,
        },
        "baselines": [],
        "spaces": {"text": None, "image": None},
    }


def check_same_data(prepared: PreparedExperiment, clicks: Clicks) -> None:
    """Raises ValueError where the framework's split is not what the peers were given."""
    split = prepared.data.split
    histories = split.histories(split.test)
    pairs = [
        (split.train.offsets, clicks.train_offsets),
        (split.train.items, clicks.train_items),
        (histories.offsets, clicks.history_offsets),
        (histories.items, clicks.history_items),
        (split.test.users, clicks.query_users),
    ]
    if not all(np.array_equal(own, given) for own, given in pairs):
        raise ValueError("crossrec split the table otherwise than the peers' files")


def drive(request: Request, clicks: Clicks, report: Report) -> Rank:
    """Trains; ranks by ``rank_queries`` from fresh item vectors."""
    path = Path(request.out) / "crossrec.yaml"
    path.write_text(yaml.safe_dump(equal_terms(request)))
    config = load_config(ExperimentConfig, path, list(request.overrides))
    accelerator = build_accelerator(config.trainer, config.run_folder)
    prepared = PreparedExperiment.of(config)
    check_same_data(prepared, clicks)
    config.run_folder.mkdir(parents=True, exist_ok=True)
    recommender = NeuralRecommender(prepared.network())

    EpochTrainer.report = report
    training.Trainer = EpochTrainer  # type: ignore[misc]
    try:
        training.train_network(prepared, recommender, prepared.data.split.train, accelerator)
    except OutOfTime:
        report.out_of_time = True
    lengths = np.diff(clicks.train_offsets)
    steps = [json.loads(line) for line in (config.run_folder / "log.jsonl").read_text().splitlines()]
    report.items = {
        "targets_per_epoch": int(np.maximum(lengths - 1, 0).sum()),
        "steps_per_epoch": sum(step["kind"] == "step" and step["epoch"] == 0 for step in steps),
        "parameters": sum(p.numel() for p in recommender.network.parameters() if p.requires_grad),
        "precision": {"no": "fp32"}.get(config.trainer.precision, config.trainer.precision),
        "overrides": list(request.overrides),
    }
    split = prepared.data.split

    def rank(batch: int) -> np.ndarray:
        recommender.refresh()
        return rank_queries(recommender, split, split.test, request.k, True, batch).ids

    return rank


if __name__ == "__main__":
    run_driver(drive)

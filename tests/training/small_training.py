"""A small training as a function, and as a program for other processes: FOLDER [STEP AT WHICH TO DIE]."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

import numpy as np
import torch

from crossrec.data.splits.leave_one_out import LeaveOneOutSplitter
from crossrec.evaluation.evaluate import rank_queries
from crossrec.losses.full_softmax import FullSoftmax
from crossrec.losses.sampled_softmax import SampledSoftmax
from crossrec.model.fusion.gated import GatedFusion
from crossrec.model.modalities.item_id import ItemIdEmbedding
from crossrec.model.modalities.layers import FrozenFeatures
from crossrec.model.network import ItemEncoder, SequentialNetwork
from crossrec.model.recommender import NeuralRecommender
from crossrec.model.sequence.sasrec import SASRec
from crossrec.runtime import distributed
from crossrec.training.config import TrainerConfig
from crossrec.training.parallel import build_accelerator
from crossrec.training.task import ItemPredictionTask
from crossrec.training.trainer import Trainer
from crossrec.training.windows import WindowBatches
from crossrec.types import Sequences

N_ITEMS, WIDTH = 60, 16
OBJECTIVES = {
    "full": FullSoftmax.Options(),
    "sampled": SampledSoftmax.Options(negatives=16),
}


def log_with_order(n_users: int = 80, seed: int = 0) -> Sequences:
    """Users who mostly go from item i to item i + 1: an order that popularity can't see."""
    generator = np.random.default_rng(seed)
    rows = []
    for length in generator.integers(3, 25, n_users):
        jumps = generator.integers(0, N_ITEMS, length)
        row = [int(jumps[0])]
        for jump in jumps[1:]:
            row.append((row[-1] + 1) % N_ITEMS if generator.random() < 0.85 else int(jump))
        rows.append(list(dict.fromkeys(row)))
    return Sequences.from_lists(rows)


def network(counts: np.ndarray) -> SequentialNetwork:
    torch.manual_seed(0)
    features = np.random.default_rng(1).normal(size=(N_ITEMS, 12)).astype(np.float32)
    present = np.arange(N_ITEMS) % 7 > 0
    modalities = {
        "text": FrozenFeatures(features, present, components=8),
        "id": ItemIdEmbedding(counts > 0, WIDTH),
    }
    items = ItemEncoder(
        modalities, GatedFusion.Options().build(2, WIDTH), WIDTH, dropout=0.0, modality_dropout=0.0
    )
    # A smooth activation: at a ReLU's kink rounding decides a gradient, and two processes round otherwise.
    sequence = SASRec.Options(max_length=10, dropout=0.0, activation="gelu").build(WIDTH, Path())
    return SequentialNetwork(items, sequence, N_ITEMS, similarity="cosine", temperature=0.1)


def train(folder: Path, die_at: int | None = None, objective: str = "full") -> None:
    split = LeaveOneOutSplitter.Options().build().split(log_with_order(), N_ITEMS)
    config = TrainerConfig(epochs=6, batch_size=8, lr=0.01, checkpoint_every=7, patience=50)
    accelerator = build_accelerator(config, folder)
    model = network(split.train_counts)
    recommender = NeuralRecommender(model)

    def validate() -> dict[str, float]:
        recommender.refresh()
        lists = rank_queries(recommender, split, split.valid, 10)
        hits = (lists.ids == np.asarray(split.valid.targets.items)[:, None]) / np.log2(np.arange(10) + 2)
        return {"ndcg@10": float(hits.sum(1).mean())}

    trainer = Trainer(
        ItemPredictionTask(model, OBJECTIVES[objective].build(split.train_counts), torch.arange(N_ITEMS)),
        WindowBatches(split.train, max_length=10, batch_size=config.batch_size, overlap=0.25, seed=0),
        config,
        accelerator=accelerator,
        validate=validate,
        run_folder=folder,
        seed=0,
    )
    if die_at is not None:
        step = trainer._step

        def step_or_die(windows, number, share_done):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
            if number == die_at:
                os.kill(os.getpid(), signal.SIGKILL)
            return step(windows, number, share_done)

        trainer._step = step_or_die  # type: ignore[method-assign]
    outcome = trainer.fit()
    if distributed.is_main():
        final: dict[str, object] = {"steps": outcome.steps, "best": outcome.best}
        if distributed.world_size() == 1:
            final |= validate()
        (folder / "outcome.json").write_text(json.dumps(final))


if __name__ == "__main__":
    die_at = int(sys.argv[2]) if sys.argv[2:] else None
    train(Path(sys.argv[1]), die_at, objective=os.environ.get("OBJECTIVE", "full"))

"""RecBole: SASRec with cross-entropy, its own data loaders and Trainer, on ready-made benchmark files.

RecBole trains on one row a target, each with the clicks before it; the files hold these rows, so that its own
splitting plays no part. ``recbole.quick_start`` is not imported: it needs ray, which nothing here uses.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from contract import ABSENT, Clicks, Rank, Report, Request, run_driver
from recbole.config import Config
from recbole.data import create_dataset, data_preparation
from recbole.model.sequential_recommender.sasrec import SASRec
from recbole.trainer import Trainer
from recbole.utils import init_seed

NAME = "clicks"
HEADER = "user_id:token\titem_id_list:token_seq\titem_id:token\n"


class OutOfTime(Exception):
    """Training ended after an epoch because its time was over."""


class TimedTrainer(Trainer):
    """RecBole's trainer with a clock around an epoch."""

    report: Report

    def _train_epoch(self, *args: Any, **settings: Any) -> Any:
        self.report.epoch_begins()
        loss = super()._train_epoch(*args, **settings)
        if self.report.epoch_ends():
            raise OutOfTime
        return loss


def write_rows(path: Path, rows: Iterable[tuple[int, np.ndarray, int]]) -> None:
    """An atomic file of (user, clicks before, target)."""
    with path.open("w") as file:
        file.write(HEADER)
        for user, before, target in rows:
            file.write(f"{user}\t{' '.join(map(str, before))}\t{target}\n")


def write_files(folder: Path, clicks: Clicks, length: int) -> None:
    """Cuts histories, of which RecBole would keep the first clicks; the targets of tests are dummies."""
    folder.mkdir(exist_ok=True)
    write_rows(
        folder / f"{NAME}.train.inter",
        (
            (user, row[max(0, end - length) : end], row[end])
            for user, row in enumerate(clicks.train_rows())
            for end in range(1, len(row))
        ),
    )
    tests = [
        (user, row[-length:], row[-1])
        for user, row in zip(clicks.query_users, clicks.history_rows(), strict=True)
    ]
    write_rows(folder / f"{NAME}.valid.inter", tests[:1])
    write_rows(folder / f"{NAME}.test.inter", tests)


def configure(request: Request) -> Config:
    """RecBole's configuration."""
    settings = {
        "data_path": request.out,
        "benchmark_filename": ["train", "valid", "test"],
        "load_col": {"inter": ["user_id", "item_id_list", "item_id"]},
        "alias_of_item_id": ["item_id_list"],
        "seq_len": {"item_id_list": request.length},
        "MAX_ITEM_LIST_LENGTH": request.length,
        "use_gpu": False,
        "seed": request.seed,
        "reproducibility": False,
        "show_progress": False,
        "checkpoint_dir": request.out,
        "hidden_size": request.width,
        "inner_size": request.width,
        "n_layers": request.blocks,
        "n_heads": request.heads,
        "hidden_dropout_prob": request.dropout,
        "attn_dropout_prob": request.dropout,
        "loss_type": "CE",
        "train_neg_sample_args": None,
        "train_batch_size": request.batch,
        "learning_rate": request.lr,
        "epochs": request.epochs,
        "worker": 0,
    }
    return Config(model="SASRec", dataset=NAME, config_dict=settings)


def drive(request: Request, clicks: Clicks, report: Report) -> Rank:
    """Trains; ranks by ``full_sort_predict`` over its test loader, with seen items set to -inf."""
    warnings.filterwarnings("ignore")
    write_files(Path(request.out) / NAME, clicks, request.length)
    config = configure(request)
    init_seed(request.seed, False)
    # recbole.model.sequential_recommender.sine turns this on for every process that imports any model.
    torch.autograd.set_detect_anomaly(request.recbole_as_is)
    dataset = create_dataset(config)
    train, _, test = data_preparation(config, dataset)
    model = SASRec(config, train.dataset)
    TimedTrainer.report = report
    try:
        TimedTrainer(config, model).fit(train, saved=False, show_progress=False)
    except OutOfTime:
        report.out_of_time = True
    report.items = {
        "targets_per_epoch": len(train.dataset),
        "steps_per_epoch": len(train),
        "parameters": sum(p.numel() for p in model.parameters() if p.requires_grad),
        "precision": "fp32",
        "note": "one row a target: a batch holds that many targets, not histories; the anomaly detection "
        f"of PyTorch, which importing it switches on, is {'on' if request.recbole_as_is else 'off'}",
    }
    tokens = dataset.field2id_token["item_id"]
    item_of = np.array([ABSENT, *(int(token) for token in tokens[1:])])
    id_of = np.zeros(clicks.n_items, dtype=np.int64)
    id_of[item_of[1:]] = np.arange(1, len(item_of))
    offsets, seen = clicks.history_offsets, torch.from_numpy(id_of[clicks.history_items])
    query_of = torch.from_numpy(np.repeat(np.arange(len(offsets) - 1), np.diff(offsets)))

    @torch.no_grad()
    def rank(batch: int) -> np.ndarray:
        model.eval()
        found, start = [], 0
        for rows in range(0, len(test.dataset), batch):
            interaction = test.dataset[np.arange(rows, min(rows + batch, len(test.dataset)))]
            scores = model.full_sort_predict(interaction)
            stop = start + len(scores)
            at = slice(offsets[start], offsets[stop])
            scores[:, 0] = -torch.inf
            scores[query_of[at] - start, seen[at]] = -torch.inf
            found.append(scores.topk(request.k).indices)
            start = stop
        return item_of[torch.cat(found).numpy()]

    return rank


if __name__ == "__main__":
    run_driver(drive)

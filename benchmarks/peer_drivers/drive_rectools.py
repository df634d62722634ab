"""RecTools: SASRecModel with full softmax, through ``fit`` and ``recommend`` alone."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
from contract import ABSENT, Clicks, Rank, Report, Request, run_driver
from pytorch_lightning import Callback, LightningModule, Trainer, seed_everything
from rectools import Columns
from rectools.dataset import Dataset
from rectools.models import SASRecModel


class EpochClock(Callback):
    """Times epochs and ends training when the time is over."""

    report: Report

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Starts the clock."""
        self.report.epoch_begins()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stops it."""
        trainer.should_stop = self.report.epoch_ends()


def dataset_of(users: np.ndarray, offsets: np.ndarray, items: np.ndarray) -> Dataset:
    """Clicks as RecTools wants them; the place in a row stands for the time, a second a click."""
    lengths = np.diff(offsets)
    place = np.arange(len(items)) - np.repeat(offsets[:-1], lengths)
    return Dataset.construct(
        pd.DataFrame(
            {
                Columns.User: np.repeat(users, lengths),
                Columns.Item: items,
                Columns.Weight: 1.0,
                Columns.Datetime: pd.Timestamp("2020-01-01") + pd.to_timedelta(place, unit="s"),
            }
        )
    )


def drive(request: Request, clicks: Clicks, report: Report) -> Rank:
    """Trains; ranks by ``recommend`` with viewed items filtered."""
    warnings.filterwarnings("ignore")
    seed_everything(request.seed)
    # The model copies its trainer, callbacks included: the clock reaches the report through its class.
    EpochClock.report = report

    def trainer() -> Trainer:
        return Trainer(
            max_epochs=request.epochs,
            accelerator="cpu",
            devices=1,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            callbacks=[EpochClock()],
        )

    model = SASRecModel(
        n_blocks=request.blocks,
        n_heads=request.heads,
        n_factors=request.width,
        dropout_rate=request.dropout,
        session_max_len=request.length,
        loss="softmax",
        lr=request.lr,
        batch_size=request.batch,
        epochs=request.epochs,
        recommend_torch_device="cpu",
        get_trainer_func=trainer,
    )
    users = np.arange(len(clicks.train_offsets) - 1)
    model.fit(dataset_of(users, clicks.train_offsets, clicks.train_items))
    histories = dataset_of(clicks.query_users, clicks.history_offsets, clicks.history_items)
    report.items = {
        "targets_per_epoch": clicks.windowed_targets(request.length),
        "steps_per_epoch": len(model.data_preparator.get_dataloader_train()),
        "parameters": sum(p.numel() for p in model.torch_model.parameters() if p.requires_grad),
        "precision": "fp32",
    }

    def rank(batch: int) -> np.ndarray:
        model.recommend_batch_size = batch
        found = model.recommend(
            clicks.query_users, histories, request.k, filter_viewed=True, on_unsupported_targets="ignore"
        )
        lists = np.full((len(clicks.query_users), request.k), ABSENT, dtype=np.int64)
        row_of = np.full(len(users), ABSENT)
        row_of[clicks.query_users] = np.arange(len(clicks.query_users))
        lists[row_of[found[Columns.User]], found[Columns.Rank] - 1] = found[Columns.Item]
        return lists

    return rank


if __name__ == "__main__":
    run_driver(drive)

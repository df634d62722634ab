"""RePlay: ``replay.nn.sequential.SasRec`` with full cross-entropy, its ParquetModule and Lightning module.

``replay.models.nn.sequential.SasRec`` is marked deprecated in favour of it.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import lightning
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from contract import Clicks, Rank, Report, Request, run_driver
from replay.data import FeatureHint, FeatureSource, FeatureType
from replay.data.nn import TensorFeatureInfo, TensorFeatureSource, TensorSchema
from replay.data.nn.parquet.parquet_module import ParquetModule
from replay.nn.lightning import LightningModule
from replay.nn.lightning.callback import TorchTopItemsCallback
from replay.nn.lightning.optimizer import OptimizerFactory
from replay.nn.lightning.postprocessor import SeenItemsFilter
from replay.nn.sequential import SasRec
from replay.nn.transform.template.sasrec import make_default_sasrec_transforms

USER, ITEM, SEEN = "user_id", "item_id", "seen_ids"


class EpochClock(lightning.Callback):
    """Times epochs and ends training when the time is over."""

    def __init__(self, report: Report) -> None:
        self.report = report

    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Starts the clock."""
        self.report.epoch_begins()

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Stops it."""
        trainer.should_stop = self.report.epoch_ends()


def write_rows(path: Path, users: np.ndarray, offsets: np.ndarray, items: np.ndarray) -> None:
    """One row a user; the items are there twice, since the second column is padded to another length."""
    lists = pa.ListArray.from_arrays(pa.array(offsets.astype(np.int32)), pa.array(items.astype(np.int64)))
    pq.write_table(pa.table({USER: pa.array(users.astype(np.int64)), ITEM: lists, SEEN: lists}), path)


def item_schema(clicks: Clicks, width: int) -> TensorSchema:
    """Item ids alone."""
    return TensorSchema(
        [
            TensorFeatureInfo(
                ITEM,
                is_seq=True,
                feature_type=FeatureType.CATEGORICAL,
                embedding_dim=width,
                padding_value=clicks.n_items,
                cardinality=clicks.n_items,
                feature_hint=FeatureHint.ITEM_ID,
                feature_sources=[TensorFeatureSource(FeatureSource.INTERACTIONS, ITEM)],
            )
        ]
    )


def quiet_trainer(epochs: int, callbacks: list[lightning.Callback]) -> lightning.Trainer:
    """Lightning on the CPU without files and bars."""
    return lightning.Trainer(
        max_epochs=epochs,
        limit_val_batches=0,
        accelerator="cpu",
        devices=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=callbacks,
    )


def drive(request: Request, clicks: Clicks, report: Report) -> Rank:
    """Trains; ranks by ``Trainer.predict`` with RePlay's own callback and filter of seen items."""
    warnings.filterwarnings("ignore")
    lightning.seed_everything(request.seed)
    out = Path(request.out)
    lengths = np.diff(clicks.train_offsets)
    rows = np.flatnonzero(lengths > 1)  # a user with one click has nothing to predict
    kept = np.concatenate([[0], np.cumsum(lengths[rows])])
    items = clicks.train_items[np.repeat(lengths > 1, lengths)]
    write_rows(out / "train.parquet", rows, kept, items)
    write_rows(out / "test.parquet", clicks.query_users, clicks.history_offsets, clicks.history_items)
    schema = item_schema(clicks, request.width)
    transforms = make_default_sasrec_transforms(schema)
    padding = clicks.n_items
    train = ParquetModule(
        batch_size=request.batch,
        metadata={"train": {USER: {}, ITEM: {"shape": request.length + 1, "padding": padding}}},
        transforms=transforms,
        train_path=str(out / "train.parquet"),
    )
    model = SasRec.from_params(
        schema,
        embedding_dim=request.width,
        num_heads=request.heads,
        num_blocks=request.blocks,
        max_sequence_length=request.length,
        dropout=request.dropout,
    )
    module = LightningModule(model, OptimizerFactory("adam", learning_rate=request.lr))
    quiet_trainer(request.epochs, [EpochClock(report)]).fit(module, datamodule=train)
    report.items = {
        "targets_per_epoch": clicks.windowed_targets(request.length),
        "steps_per_epoch": -(-len(rows) // request.batch),
        "parameters": sum(p.numel() for p in model.parameters() if p.requires_grad),
        "precision": "fp32",
    }
    longest = int(np.diff(clicks.history_offsets).max())

    def rank(batch: int) -> np.ndarray:
        tests = ParquetModule(
            batch_size=batch,
            metadata={
                "predict": {
                    USER: {},
                    ITEM: {"shape": request.length, "padding": padding},
                    SEEN: {"shape": longest, "padding": -1},
                }
            },
            transforms=transforms,
            predict_path=str(out / "test.parquet"),
        )
        top = TorchTopItemsCallback(request.k, USER, [SeenItemsFilter(clicks.n_items, SEEN)])
        quiet_trainer(1, [top]).predict(module, datamodule=tests, return_predictions=False)
        users, ids, _ = top.get_result()
        if not np.array_equal(users.numpy().ravel(), clicks.query_users):
            raise ValueError("RePlay returned the users in another order")
        return ids.numpy()

    return rank


if __name__ == "__main__":
    run_driver(drive)

"""Trained runs of a trade-off study on shared data, with their candidates and points cached on disk."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch

from crossrec.data.item_table import ItemTable
from crossrec.data.splits.base import Queries
from crossrec.evaluation.config import EvaluationConfig
from crossrec.evaluation.evaluate import rank_queries
from crossrec.experiment.config import ExperimentConfig
from crossrec.experiment.evaluate import load_recommender
from crossrec.experiment.prepared import PreparedExperiment
from crossrec.experiment.results import SplitPart
from crossrec.experiment.run_folder import read_run
from crossrec.experiment.text_scorer import check_no_text_scorer
from crossrec.model.recommender import NeuralRecommender
from crossrec.runtime.device import pick_device
from crossrec.runtime.files import atomic_path, has_checksum, is_sound, write_checksum
from crossrec.studies.folder import check_same_data, file_digest, key_of, without_cache
from crossrec.studies.statistics import measurable_metrics
from crossrec.studies.tradeoff.config import TradeoffConfig
from crossrec.training.checkpoint import WEIGHTS
from crossrec.types import InputError, Sequences, TopK

logger = logging.getLogger(__name__)


POINTS_FILE = "points.parquet"
KEY = "key"


class PointStore:
    """Rows of measured points, each under a digest of its inputs.

    The file is rewritten atomically after every point. Rows of an older configuration stay until
    :meth:`keep_only`.

    Args:
        folder: folder of the study.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / POINTS_FILE
        rows = pl.read_parquet(self.path).to_dicts() if is_sound(self.path) else []
        if self.path.exists() and not rows:
            why = "is damaged" if has_checksum(self.path) else "has no checksum"
            logger.warning("%s %s: its points are measured again", self.path, why)
        self._rows: dict[str, dict[str, Any]] = {row[KEY]: row for row in rows}

    def get(self, key: str) -> dict[str, Any] | None:
        """Return the row of a key; None if it is missing."""
        return self._rows.get(key)

    def add(self, key: str, row: Mapping[str, Any]) -> None:
        """Add a row and write the file."""
        self._rows[key] = {KEY: key, **row}
        self._write()

    def keep_only(self, keys: set[str]) -> None:
        """Drop all other rows."""
        self._rows = {key: row for key, row in self._rows.items() if key in keys}
        self._write()

    def _write(self) -> None:
        frame = pl.DataFrame(list(self._rows.values()), infer_schema_length=None)
        with atomic_path(self.path) as temporary:
            frame.write_parquet(temporary)
        write_checksum(self.path)


@dataclass(frozen=True)
class SplitQueries:
    """Queries of a split, shared by all runs.

    Args:
        name: name of the split.
        queries: Q queries.
        histories: histories, Q rows.
    """

    name: SplitPart
    queries: Queries
    histories: Sequences


class TrainedRun:
    """Trained run; its model is loaded only if results are not cached.

    Args:
        config: configuration of the run.
        shared: prepared experiment of the study's first run, whose data and item table serve all.
        digest: digest of the run's weights.
        keep: folder of cached candidates.
        device: device of the model.
    """

    def __init__(
        self,
        config: ExperimentConfig,
        shared: PreparedExperiment,
        digest: str,
        keep: Path,
        device: torch.device,
    ) -> None:
        self.config, self.shared, self.digest = config, shared, digest
        self._keep, self._device = keep, device
        self._held: dict[tuple[str, int], TopK] = {}

    @cached_property
    def recommender(self) -> NeuralRecommender:
        """The trained model."""
        recommender = load_recommender(PreparedExperiment(self.config, self.shared.data, self.shared.content))
        recommender.network.to(self._device)
        return recommender

    @cached_property
    def items(self) -> ItemTable:
        """Features of the items for rerankers."""
        return self.shared.items_of(self.recommender)

    def candidates(self, part: SplitQueries, width: int) -> TopK:
        """Return (Q, width), the model's best items, ranked once and cached on disk."""
        if (part.name, width) not in self._held:
            self._held[part.name, width] = self._ranked(part, width)
        return self._held[part.name, width]

    def _ranked(self, part: SplitQueries, width: int) -> TopK:
        evaluation = self.shared.config.evaluation
        content = [self.digest, part.name, width, evaluation.exclude_seen, data_key(self.shared)]
        path = self._keep / f"{key_of({'of': content})}.npz"
        if path.exists():
            try:
                with np.load(path) as kept:  # which checks the file's checksums
                    return TopK(kept["ids"], kept["scores"])
            except Exception as error:  # zipfile, numpy and the system raise many classes for a damaged file
                logger.warning("%s is damaged (%s): its candidates are ranked again", path, error)
        split = self.shared.data.split
        lists = rank_queries(
            self.recommender, split, part.queries, width, evaluation.exclude_seen, evaluation.batch
        )
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            np.savez(file, ids=lists.ids, scores=lists.scores)
        return lists

    def release(self) -> None:
        """Free the model and its lists, so that only one run's are in memory."""
        self._held.clear()
        for name in ("recommender", "items"):
            self.__dict__.pop(name, None)


@dataclass(frozen=True)
class Study:
    """All runs of a study on their common data.

    Args:
        config: configuration of the study.
        shared: prepared experiment of the reference model's first run; its protocol measures all runs.
        runs: label -> one run per seed.
        device: device of the rerankers.
    """

    config: TradeoffConfig
    shared: PreparedExperiment
    runs: dict[str, list[TrainedRun]]
    device: torch.device

    @property
    def n_seeds(self) -> int:
        """S, the number of runs of each model."""
        return len(next(iter(self.runs.values())))

    @cached_property
    def settings(self) -> EvaluationConfig:
        """Evaluation options of every point: the reference's protocol, the study's metrics.

        Raises:
            InputError: if a metric of a front or a goal can't be measured.
        """
        config = self.config
        needed = {config.accuracy, *config.diversity, *(m for g in config.goals.values() for m in g.gains)}
        metrics = measurable_metrics(config.measured, self.shared.items, needed)
        update: dict[str, Any] = {"ks": (config.k,), "metrics": metrics, "n_bootstrap": 0}
        return self.shared.config.evaluation.model_copy(update=update)

    @cached_property
    def parts(self) -> dict[SplitPart, SplitQueries]:
        """Validation and test."""
        split = self.shared.data.split
        names: tuple[SplitPart, ...] = ("valid", "test")
        return {n: SplitQueries(n, split.queries(n), split.histories(split.queries(n))) for n in names}


def open_study(config: TradeoffConfig, *, trust_code: bool = False) -> Study:
    """Read all runs' configurations, and prepare their common data once.

    Args:
        config: configuration of the study.
        trust_code: import classes outside the project that the runs name.

    Raises:
        InputError: if a folder has no trained run, a model's run is given twice, or runs differ in data, in
            the spaces of measures, in the exclusion of seen items, or in the order of their seeds.
    """
    for label, folders in config.runs.items():
        _check_twice(label, folders, [folder.resolve() for folder in folders], "the same folder")
    configs = {
        label: [read_run(folder, [], trust_code=trust_code) for folder in folders]
        for label, folders in config.runs.items()
    }
    first = configs[config.reference_label][0]
    for label, several in configs.items():
        for number, one in enumerate(several):
            check_same_data(first, one)
            check_no_text_scorer(one, f"runs.{label}")
            beside = configs[config.reference_label][number]
            if one.seed != beside.seed:
                raise InputError(
                    f"runs.{label}: {one.run_folder} has seed {one.seed}, but {beside.run_folder} beside "
                    f"it has seed {beside.seed}; give all models' runs in the same order of seeds"
                )
    digests = {label: [_weights_digest(c) for c in several] for label, several in configs.items()}
    for label, folders in config.runs.items():
        _check_twice(label, folders, digests[label], "folders with the same weights")
    device = pick_device(config.device)
    shared = PreparedExperiment.of(first)
    keep = config.out / "candidates"
    runs = {
        label: [
            TrainedRun(c, shared, digest, keep, device)
            for c, digest in zip(several, digests[label], strict=True)
        ]
        for label, several in configs.items()
    }
    return Study(config, shared, runs, device)


def _check_twice(label: str, folders: Sequence[Path], marks: Sequence[object], what: str) -> None:
    """Reject copies of one run as seeds: they would make the spread over seeds too small."""
    for number, mark in enumerate(marks):
        first = marks.index(mark)
        if first < number:
            raise InputError(
                f"runs.{label}: {folders[first]} and {folders[number]} are {what}; give a run for each seed"
            )


def data_key(shared: PreparedExperiment) -> str:
    """Return a digest of the settings and data that a run's queries and measures depend on."""
    config = shared.config
    ground = {
        "data": without_cache(config).model_dump(mode="json"),
        "spaces": config.spaces.model_dump(mode="json"),
    }
    # Cached lists are catalogue indices: other files under the same names have other items there.
    identity = {"identity": shared.data.identity.key}
    # Lists of earlier versions answer fewer queries: repeats were no targets then.
    repeats = {"repeats": True} if config.evaluation.repeats else {}
    return key_of({**ground, **identity, **repeats, "evaluation": config.evaluation.model_dump(mode="json")})


def _weights_digest(config: ExperimentConfig) -> str:
    path = config.run_folder / "checkpoints" / "best" / WEIGHTS
    if not path.exists():
        raise InputError(f"{path} does not exist: {config.run_folder} has no trained weights; train it first")
    return file_digest(path)

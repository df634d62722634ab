"""Checks before training and before encoding: names, folders, sizes."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from crossrec.baselines import BASELINES
from crossrec.data.item_table import MODEL
from crossrec.experiment.config import ExperimentConfig
from crossrec.experiment.prepared import PreparedExperiment, blank_item_table
from crossrec.experiment.text_scorer import check_text_scorer
from crossrec.experiment.validation import check_metric
from crossrec.model.config import ModelConfig
from crossrec.runtime import distributed
from crossrec.runtime.device import memory_of
from crossrec.training.tracking import check_tracker
from crossrec.types import InputError

logger = logging.getLogger(__name__)

BYTES_PER_PARAMETER = 16
"""A float32 weight, its gradient and two moments of Adam."""


def check_config(config: ExperimentConfig) -> None:
    """Check what can be checked without the data; call it before anything is loaded.

    Raises:
        InputError: for an unknown name, missing weights, a read-only folder, or a tracker that can't log.
    """
    check_metric(config)
    check_folder("runs_dir and name", config.run_folder)
    check_tracker(config.trainer)
    for encoder in (config.spaces.text, config.spaces.image):
        if encoder is not None:
            encoder.check(config.data.cache_dir)
    for part in config.model.build_modalities().values():
        part.check(config.data.cache_dir)
    config.model.sequence.check(config.data.cache_dir)
    if config.text_scorer is not None:
        config.text_scorer.check(config.data.cache_dir)


def check_setting(prepared: PreparedExperiment, device: torch.device) -> None:
    """Check that the configuration fits the data, and warn of what looks wrong; call it before encoding.

    Args:
        prepared: experiment with loaded data.
        device: device of the training.

    Raises:
        InputError: if the model doesn't fit in memory, or a reranker, a diversity term or a baseline needs a
            missing column, space or modality.
    """
    config, data = prepared.config, prepared.data
    check_memory(config.model, data.split.n_items, device, config.data.cache_dir)
    blank = blank_item_table(data, config.spaces)
    beside_model = blank.with_space(MODEL, torch.zeros(blank.n_items, 1))
    check_text_scorer(config.text_scorer, data.catalog)
    if config.rerank is not None:
        for stage in config.rerank.stages:
            stage.build(beside_model)
    if config.diversity is not None:
        train_items = np.flatnonzero(blank.train_counts)
        config.diversity.build(beside_model.take(train_items), config.model.width)
    for baseline in config.baselines:
        for need in getattr(baseline, "needs", ()):
            blank.check(need, f"baselines: {BASELINES.name_of(baseline)}")
    if distributed.is_main():
        for line in _warnings(prepared):
            logger.warning(line)


def check_folder(key: str, folder: Path) -> None:
    """Check that a folder can be created and written.

    Raises:
        InputError: if a parent is a file, or is not writable.
    """
    for place in (folder, *folder.parents):
        if not os.path.lexists(place):
            continue
        if not place.is_dir():
            raise InputError(f"{key}: {folder} can't be a folder: {place} is a file; choose another folder")
        if not os.access(place, os.W_OK | os.X_OK):
            raise InputError(f"{key}: {folder} can't be written: no permission in {place}")
        return


def check_memory(model: ModelConfig, n_items: int, device: torch.device, cache_dir: Path) -> None:
    """Check that the model's training state fits in memory.

    Raises:
        InputError: if it doesn't; the message has the estimate.
    """
    count = count_parameters(model, n_items, cache_dir)
    needed, there = count * BYTES_PER_PARAMETER, memory_of(device)
    if needed > there:
        raise InputError(
            f"model: about {count:,} parameters need {needed / 2**30:,.1f} GiB for training (weights, "
            f"gradients and Adam's moments), but {device} has {there / 2**30:,.1f} GiB: lower model.width "
            f"({model.width}) or model.sequence.layers"
        )


def count_parameters(model: ModelConfig, n_items: int, cache_dir: Path) -> int:
    """Count the trained parameters of a configuration, without pretrained ones and without building it."""
    modalities = model.build_modalities().values()
    count = sum(part.parameters(model.width, model.whiten, n_items) for part in modalities)
    n_modalities = len(modalities)
    parts: list[torch.nn.Module] = []
    with torch.device("meta"):
        if n_modalities > 1:
            parts.append(model.fusion.build(n_modalities, model.width))
        if not model.sequence.pretrained:
            parts.append(model.sequence.build(model.width, cache_dir))
    return count + sum(p.numel() for part in parts for p in part.parameters())


def _warnings(prepared: PreparedExperiment) -> Iterator[str]:
    config, data = prepared.config, prepared.data
    n_items, longest = len(data.catalog), max(config.evaluation.ks)
    if longest > n_items:
        yield (
            f"evaluation.ks: lists of {longest:,} are longer than the catalogue of {n_items:,} items: their "
            "last places stay empty"
        )
    for part in ("valid", "test"):
        n_users = len(np.unique(data.split.queries(part).users))
        if n_users == 1:
            yield f"the {part} part has one user: its figures say nothing about others, intervals are void"

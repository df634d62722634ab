"""Baselines of an experiment: fitted, tuned on validation, recorded in the run folder."""

from __future__ import annotations

import json
import logging
from collections import Counter
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from crossrec.baselines import BASELINES
from crossrec.baselines.base import Baseline
from crossrec.baselines.tuning import tune
from crossrec.config import outside_classes, trusting
from crossrec.experiment.prepared import PreparedExperiment
from crossrec.experiment.validation import check_metric, validation_value
from crossrec.runtime import distributed
from crossrec.runtime.files import write_text
from crossrec.types import InputError

logger = logging.getLogger(__name__)


BASELINES_FILE = "baselines.json"


def fitted_baselines(prepared: PreparedExperiment, folder: Path) -> list[Baseline]:
    """Fit the configured baselines on the training clicks, tuned on validation if configured.

    Chosen settings and all trials are stored in ``baselines.json``, with the configuration, so that a later
    evaluation uses the same ones without tuning again.

    Raises:
        InputError: if the file was written for other baselines or other tuning.
    """
    path = folder / BASELINES_FILE
    # The main process decides for all, and nothing is written before all processes have read.
    chosen = distributed.gather_objects(_stored(path))[0]
    if chosen is None:
        if prepared.config.tune_baselines:
            check_metric(prepared.config)
        chosen = [_choose(prepared, config) for config in prepared.config.baselines]
        if distributed.is_main():
            write_text(path, json.dumps(chosen, indent=2))
    # The file may come with a foreign run folder: only classes of the configuration are allowed in it.
    try:
        with trusting(outside_classes(prepared.config.model_dump(mode="json"))):
            _check_asked(prepared, chosen, path)
            configs = [BASELINES.parse(entry["config"]) for entry in chosen]
    except InputError:
        raise
    except ValueError as error:
        reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else error
        raise InputError(f"{path}: {reason}; remove that file to choose again") from error
    context = prepared.items
    return _numbered([config.build(context).fit(prepared.data.split.train) for config in configs])


def _numbered(baselines: list[Baseline]) -> list[Baseline]:
    """Number baselines that share a name, such as one kind with two sets of options; files bear the names."""
    seen: Counter[str] = Counter()
    for baseline in baselines:
        seen[baseline.name] += 1
        if seen[baseline.name] > 1:
            baseline.name = f"{baseline.name} {seen[baseline.name]}"
    return baselines


def _stored(path: Path) -> list[dict[str, Any]] | None:
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def _check_asked(prepared: PreparedExperiment, stored: list[dict[str, Any]], path: Path) -> None:
    # Earlier versions did not store the configuration, which was the setting itself if nothing was tuned.
    there = [BASELINES.parse(entry.get("asked", entry["config"])) for entry in stored]
    tuned = [bool(entry.get("tuned", entry["trials"])) for entry in stored]
    config = prepared.config
    names = ", ".join(map(BASELINES.name_of, there))
    if there != list(config.baselines) or any(was != config.tune_baselines for was in tuned):
        raise InputError(
            f"{path} holds other baselines, or another tune_baselines, than the configuration; remove that "
            f"file to choose again, or set {names} as when it was written"
        )


def _choose(prepared: PreparedExperiment, config: Any) -> dict[str, Any]:
    asked = {"asked": BASELINES.dump(config), "tuned": prepared.config.tune_baselines}
    if not prepared.config.tune_baselines:
        return {**asked, "config": asked["asked"], "trials": []}
    best, trials = tune(
        config.grid(),
        prepared.items,
        prepared.data.split.train,
        lambda recommender: validation_value(prepared, recommender),
        prepared.config.tuning,
    )
    logger.info("tuned %s on validation over %d settings: %s", BASELINES.name_of(best), len(trials), best)
    return {
        **asked,
        "config": BASELINES.dump(best),
        "trials": [{**vars(t), "config": BASELINES.dump(t.config)} for t in trials],
    }

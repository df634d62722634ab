"""State of a loaded recommender."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from crossrec.data.interactions import UserLog
from crossrec.evaluation.results import METRICS_FILE
from crossrec.experiment.config import ExperimentConfig
from crossrec.serving.items import ServedItems
from crossrec.serving.model import ServedModel


@dataclass(frozen=True)
class ModelInfo:
    """Origin and test metrics of a model, as its card shows them.

    Args:
        data_name: name of the data set.
        data_note: one line about the data that every output prints ("" when none), such as that it is
            generated.
        protocol: description of the train/validation/test split.
        model: sequence model, modalities and fusion in one phrase.
        counts: numbers of users, items, clicks and so on.
        metrics: content of the test split's ``metrics.json``; empty where nothing was measured.
    """

    data_name: str
    data_note: str
    protocol: str
    model: str
    counts: dict[str, Any]
    metrics: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return a mapping for JSON."""
        return asdict(self)


def read_metrics(folder: Path) -> dict[str, Any]:
    """Return the ``metrics.json`` of a run's test split; empty where the run was not evaluated."""
    path = folder / "eval" / "test" / METRICS_FILE
    if not path.exists():
        return {}
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


@dataclass(frozen=True)
class RecommenderState:
    """All parts of a loaded recommender; new items make a new state.

    Args:
        config: configuration of the experiment.
        model: network in use.
        items: catalogue with vectors, filters and rerankers.
        users: users of the log.
        about: origin and test metrics.
    """

    config: ExperimentConfig
    model: ServedModel
    items: ServedItems
    users: UserLog
    about: ModelInfo

    @property
    def name(self) -> str:
        """Run name."""
        return self.config.name

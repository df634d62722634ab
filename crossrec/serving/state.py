"""State of a loaded recommender."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from crossrec.data.interactions import ClickLog
from crossrec.evaluation.results import METRICS_FILE
from crossrec.experiment.config import ExperimentConfig
from crossrec.serving.items import ServedItems, near_ids
from crossrec.serving.model import ServedModel
from crossrec.types import InputError, Sequences


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


class UserLog:
    """Users and all their clicks, including those of the validation and test splits.

    Args:
        clicks: one row per user; None where the recommender came without the log.
    """

    def __init__(self, clicks: ClickLog | None) -> None:
        self.clicks = clicks

    @cached_property
    def ids(self) -> list[str]:
        """U original ids; empty without a log."""
        return [] if self.clicks is None else [str(user_id) for user_id in self.clicks.user_ids]

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {user_id: row for row, user_id in enumerate(self.ids)}

    def histories(self, user_ids: Sequence[str]) -> Sequences:
        """Return all clicks of some users, oldest first, with their times.

        Raises:
            InputError: if a user is not in the log, or there is no log.
        """
        if self.clicks is None:
            raise InputError("this recommender came without its users' log: give a history")
        rows = []
        for user_id in user_ids:
            if str(user_id) not in self._rows:
                raise InputError(f"user '{user_id}' is not in the log{near_ids(str(user_id), self.ids)}")
            rows.append(self._rows[str(user_id)])
        return self.clicks.sequences.take(np.asarray(rows, dtype=np.int64))


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

"""Where a loaded recommender comes from, and what was measured of it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from crossrec.evaluation.results import METRICS_FILE


@dataclass(frozen=True)
class About:
    """What a model card tells.

    Args:
        data_name: what the data set is called.
        data_note: one line about the data that every output prints ("" when none), such as that it is
            generated.
        protocol: how the log was divided.
        model: what reads the history and what items are known by.
        counts: of users, items, clicks and so on.
        metrics: content of the test part's ``metrics.json``; empty where nothing was measured.
    """

    data_name: str
    data_note: str
    protocol: str
    model: str
    counts: dict[str, Any]
    metrics: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def measured(folder: Path) -> dict[str, Any]:
    """What stands in the ``metrics.json`` of a run's test part; empty where it was not measured."""
    path = folder / "eval" / "test" / METRICS_FILE
    if not path.exists():
        return {}
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found

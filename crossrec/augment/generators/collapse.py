"""Detection of failed generators: mode collapse, samples off the data, copies, diverging losses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from crossrec.augment.generators.loop import Line
from crossrec.augment.generators.quality import Quality

LEAST_RECALL = 0.1
"""Recall below which samples that lie among the real vectors miss nearly all of them."""

LEAST_PRECISION = 0.1
"""Precision below which samples don't lie among the real vectors, and recall does not measure variety."""

LEAST_SPREAD = 0.3
LEAST_COVERAGE = 0.05
LEAST_COPY_RATIO = 0.5
MOST_COPIED = 0.2
CODES_IN_USE = 1
LOSS_GROWTH = 10.0
"""How much greater the critic's distance or the generator's loss may end than its early median."""

FEW_LINES = 12
"""Minimum number of lines of a log for statements on its course."""


class Failure(StrEnum):
    """Failure of a generator."""

    MODE_COLLAPSE = "mode collapse"
    OFF_DATA = "off the data"
    COPYING = "copies of the training data"
    DIVERGING = "diverging losses"
    UNUSED_CODE = "unused code"


@dataclass(frozen=True)
class SynthesisWarning:
    """A failure with the figure that shows it.

    Args:
        failure: which.
        figure: the figure that shows it.
        value: value of the figure.
        limit: limit that it exceeds.
    """

    failure: Failure
    figure: str
    value: float
    limit: float

    def __str__(self) -> str:
        side = "below" if self.value < self.limit else "above"
        return f"{self.failure.value}: {self.figure} {self.value:.3g} is {side} {self.limit:g}"


def find_failures(
    quality: Quality, log: Sequence[Line] = (), report: dict[str, float | list[float]] | None = None
) -> tuple[SynthesisWarning, ...]:
    """Return all known failures of a generator.

    Args:
        quality: quality of the samples.
        log: log of the training.
        report: report of the learner.
    """
    recall = quality.train.recall if quality.train.precision >= LEAST_PRECISION else None
    below = [
        (Failure.MODE_COLLAPSE, "recall", recall, LEAST_RECALL),
        (Failure.MODE_COLLAPSE, "spread", quality.spread, LEAST_SPREAD),
        (Failure.MODE_COLLAPSE, "spread within a class", quality.spread_within, LEAST_SPREAD),
        (Failure.OFF_DATA, "coverage", quality.train.coverage, LEAST_COVERAGE),
        (Failure.COPYING, "copy ratio", quality.copy_ratio, LEAST_COPY_RATIO),
    ]
    found = [
        SynthesisWarning(f, name, v, limit) for f, name, v, limit in below if v is not None and v < limit
    ]
    if quality.copied_share is not None and quality.copied_share > MOST_COPIED:
        found.append(SynthesisWarning(Failure.COPYING, "copied share", quality.copied_share, MOST_COPIED))
    terms = (report or {}).get("kl_terms")
    if isinstance(terms, list):
        used = len(terms) - float(np.asarray((report or {})["collapsed"]))
        if used < CODES_IN_USE:
            found.append(SynthesisWarning(Failure.UNUSED_CODE, "dimensions in use", used, CODES_IN_USE))
    return (*found, *_diverging(log))


def _diverging(log: Sequence[Line]) -> list[SynthesisWarning]:
    """Return warnings of losses that grow instead of converging."""
    found = []
    for name in ("distance", "generator"):
        course = np.asarray([abs(float(line[name])) for line in log if name in line])
        if len(course) < FEW_LINES:
            continue
        third = len(course) // 3
        growth = float(np.median(course[-third:])) / max(float(np.median(course[:third])), 1.0)
        if growth > LOSS_GROWTH:
            found.append(SynthesisWarning(Failure.DIVERGING, f"growth of {name}", growth, LOSS_GROWTH))
    return found

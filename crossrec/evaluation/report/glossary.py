"""Names, rounding and explanations of metrics in reports."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any, TypeGuard

from crossrec.data.item_table import BEHAVIOUR
from crossrec.evaluation.metrics import METRICS, SPACES
from crossrec.evaluation.metrics.base import Metric

NO_INTERVAL = "\u2013"
"""Placeholder of a missing interval in tables."""
CUTOFF = 10
"""Length of the lists in reports."""


ARROWS = {True: "↑", False: "↓", None: ""}
UNKNOWN = Metric(meaning="No description.", higher_is_better=None, digits=4)


@dataclass(frozen=True)
class ReportedEstimate:
    """A measured value with its 95 % interval, if there is one."""

    value: float
    interval: tuple[float, float] | None = None

    def overlaps(self, other: ReportedEstimate) -> bool | None:
        """Return whether two intervals share a value; None where one is missing."""
        if self.interval is None or other.interval is None:
            return None
        return self.interval[0] <= other.interval[1] and other.interval[0] <= self.interval[1]


def at_cutoff(base: str) -> str:
    """Return the name of a metric at the report's cutoff: ``ndcg`` gives ``ndcg@10``."""
    return f"{base}@{CUTOFF}"


def info(name: str) -> Metric:
    """Return the metric of a name such as ``ndcg@10``."""
    return METRICS.get(name.partition("@")[0], UNKNOWN)


def arrow(name: str) -> str:
    """Return the arrow that marks a metric's better direction in tables; empty where there is none."""
    return ARROWS[info(name).higher_is_better]


def estimate(metrics: Mapping[str, Any], name: str) -> ReportedEstimate | None:
    """Read one entry of ``metrics.json``; None where it is absent, null or NaN."""
    entry = metrics.get(name)
    if not isinstance(entry, Mapping) or not is_number(entry.get("value")):
        return None
    low, high = entry.get("ci95") or (None, None)
    interval = (float(low), float(high)) if is_number(low) and is_number(high) else None
    return ReportedEstimate(float(entry["value"]), interval)


def format_range(ends: Sequence[float | None], digits: int = 4, sign: str = "+") -> str:
    """Return ``low to high``, signed unless ``sign`` is empty; a dash without an interval."""
    low, high = ends
    if low is None or high is None or math.isnan(low) or math.isnan(high):
        return NO_INTERVAL
    return f"{low:{sign}.{digits}f} to {high:{sign}.{digits}f}"


def note_on_distances(values: Mapping[str, float] | Iterable[tuple[str, float]]) -> str:
    """Return a sentence if a mean cosine distance is above 1, which readers take for an error; else empty.

    Args:
        values: metrics such as ``ild@10`` with a value of any system.
    """
    pairs = values.items() if isinstance(values, Mapping) else values
    above = [name for name, value in pairs if name.partition("@")[0] in SPACES and value > 1]
    centred = [name for name in above if SPACES[name.partition("@")[0]] != BEHAVIOUR]
    if not above:
        return ""
    told = f"{', '.join(dict.fromkeys(centred or above))} above 1: a cosine distance goes up to 2"
    if not centred:
        return f"{told}."
    return (
        f"{told}, and vectors are centered on the catalog's mean, so 1 is the distance of two items of "
        "average similarity."
    )


def is_number(value: Any) -> TypeGuard[float]:
    """Return whether a value read from JSON is a finite number."""
    return isinstance(value, Real) and math.isfinite(value)


def format_value(name: str, value: float) -> str:
    """Return a metric's value with the number of decimals in its glossary entry."""
    return f"{value:.{info(name).digits}f}"


def format_interval(name: str, found: ReportedEstimate) -> str:
    """Return ``low–high``, or the empty string without an interval."""
    if found.interval is None:
        return ""
    return "\u2013".join(format_value(name, bound) for bound in found.interval)

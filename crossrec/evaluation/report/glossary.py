"""How the report names, rounds and explains each metric."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any, TypeGuard

NO_INTERVAL = "\u2013"
"""Stands where a table has no interval: where none holds, or users don't differ."""
CUTOFF = 10
"""Length of the lists that the report shows and draws."""


@dataclass(frozen=True)
class MetricInfo:
    """How to read a metric.

    Args:
        meaning: one line for the reader.
        higher_is_better: None where neither end is better in itself.
        digits: decimals shown.
    """

    meaning: str
    higher_is_better: bool | None = True
    digits: int = 3


ARROWS = {True: "↑", False: "↓", None: ""}
COSINE_DISTANCES = ("ild", "ild_text", "ild_image", "eild")
"""Metrics of distances from 0 to 2."""
UNKNOWN = MetricInfo("No description.", None, 4)

METRICS: dict[str, MetricInfo] = {
    "ndcg": MetricInfo(
        "Hits discounted by the logarithm of their rank; 1 = every click on top.",
        True,
        4,
    ),
    "recall": MetricInfo("Share of the next clicks that stand in the list.", True, 4),
    "mrr": MetricInfo("One divided by the rank of the first hit.", True, 4),
    "hit": MetricInfo("Share of lists with at least one hit.", True, 4),
    "map": MetricInfo("Precision averaged over the ranks of the hits.", True, 4),
    "alpha_ndcg": MetricInfo(
        "Hits discounted by rank and by how often their categories came before.", True, 4
    ),
    "coverage": MetricInfo("Share of the catalogue that is recommended to anybody."),
    "gini": MetricInfo("Inequality of exposure; 0 = all items alike, 1 = one item gets all.", False),
    "entropy": MetricInfo("Shannon entropy of exposure, in nats."),
    "entropy_norm": MetricInfo("Entropy of exposure divided by its maximum, ln N."),
    "ild": MetricInfo("Mean distance between the items of a list; 0 = all alike."),
    "ild_category": MetricInfo("Mean distance between a list's items by category."),
    "ild_text": MetricInfo("Mean distance between a list's items by text."),
    "ild_image": MetricInfo("Mean distance between a list's items by picture."),
    "eild": MetricInfo("Distance between a list's items, those on top and close by weighing more."),
    "jaccard": MetricInfo("Mean overlap of categories between the items of a list.", False),
    "personalization": MetricInfo("One minus the mean overlap between two users' lists."),
    "novelty": MetricInfo(
        "Mean self-information of the items, in bits; popular items carry little.",
        True,
        2,
    ),
    "serendipity": MetricInfo("Hits that popularity alone would not have found.", True, 4),
    "tail_share": MetricInfo("Share of recommendations that go to unpopular items."),
    "calibration": MetricInfo("KL divergence between a history's categories and its list's.", False),
}


@dataclass(frozen=True)
class ReportedEstimate:
    """A measured value with its 95 % interval, where there is one."""

    value: float
    interval: tuple[float, float] | None = None

    def overlaps(self, other: ReportedEstimate) -> bool | None:
        """Whether two intervals share a value; None where one is missing."""
        if self.interval is None or other.interval is None:
            return None
        return self.interval[0] <= other.interval[1] and other.interval[0] <= self.interval[1]


def at_cutoff(base: str) -> str:
    """The name of a metric at the report's cutoff: ``ndcg`` gives ``ndcg@10``."""
    return f"{base}@{CUTOFF}"


def info(name: str) -> MetricInfo:
    """What is known of a metric named like ``ndcg@10``."""
    return METRICS.get(name.partition("@")[0], UNKNOWN)


def arrow(name: str) -> str:
    """Which way a metric gets better, as tables show it: up, down, or nothing where neither end is better."""
    return ARROWS[info(name).higher_is_better]


def estimate(metrics: Mapping[str, Any], name: str) -> ReportedEstimate | None:
    """Reads one entry of ``metrics.json``; None where it is absent, null or NaN."""
    entry = metrics.get(name)
    if not isinstance(entry, Mapping) or not is_number(entry.get("value")):
        return None
    low, high = entry.get("ci95") or (None, None)
    interval = (float(low), float(high)) if is_number(low) and is_number(high) else None
    return ReportedEstimate(float(entry["value"]), interval)


def format_range(ends: Sequence[float | None], digits: int = 4, sign: str = "+") -> str:
    """``low to high``, signed as differences are unless ``sign`` is empty; a dash without an interval."""
    low, high = ends
    if low is None or high is None or math.isnan(low) or math.isnan(high):
        return NO_INTERVAL
    return f"{low:{sign}.{digits}f} to {high:{sign}.{digits}f}"


def note_on_distances(values: Mapping[str, float] | Iterable[tuple[str, float]]) -> str:
    """One sentence where a mean cosine distance is above 1, which readers take for an error; else empty.

    Args:
        values: metrics such as ``ild@10`` with a value of any system.
    """
    pairs = values.items() if isinstance(values, Mapping) else values
    above = [name for name, value in pairs if name.partition("@")[0] in COSINE_DISTANCES and value > 1]
    if not above:
        return ""
    return (
        f"{', '.join(dict.fromkeys(above))} above 1: a cosine distance goes up to 2, and vectors are "
        "centered on the catalog's mean, so 1 is the distance of items that are no more alike than average."
    )


def is_number(value: Any) -> TypeGuard[float]:
    """Whether a value read from JSON is a finite number."""
    return isinstance(value, Real) and math.isfinite(value)


def format_value(name: str, value: float) -> str:
    """A metric's value with as many decimals as its glossary entry asks for."""
    return f"{value:.{info(name).digits}f}"


def format_interval(name: str, found: ReportedEstimate) -> str:
    """``low–high``, or the empty string where there is no interval."""
    if found.interval is None:
        return ""
    return "\u2013".join(format_value(name, bound) for bound in found.interval)

"""The registry of metrics: per query, and over all lists together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from crossrec.data.item_table import CONTENT, ItemTable
from crossrec.evaluation.config import EvaluationConfig, MetricName
from crossrec.evaluation.matching import MatchedLists
from crossrec.evaluation.metrics import accuracy, calibration, diversity, exposure, novelty, rank_aware
from crossrec.evaluation.metrics.exposure import Exposure

PerQuery = Callable[[MatchedLists, ItemTable, EvaluationConfig, int], np.ndarray]
"""(ranked, items, config, k) -> (Q,), NaN where a query has no value."""

ACCURACY: dict[MetricName, Callable[[np.ndarray, np.ndarray, int], np.ndarray]] = {
    "recall": accuracy.recall,
    "ndcg": accuracy.ndcg,
    "mrr": accuracy.mrr,
    "hit": accuracy.hit,
    "map": accuracy.average_precision,
}
"""(hits_QK, n_targets_Q, k) -> (Q,)."""

SPACES: dict[MetricName, str] = {"ild": CONTENT, "ild_text": "text", "ild_image": "image", "eild": CONTENT}
"""The vector space in which each distance within a list is measured."""

Distance = Callable[[np.ndarray, np.ndarray, np.ndarray, int], np.ndarray]
"""(ids_QK, vectors_ND, present_N, k) -> (Q,)."""

BY_CATEGORY: tuple[MetricName, ...] = ("ild_category", "jaccard", "calibration", "alpha_ndcg")
"""Metrics that need categories."""


@dataclass(frozen=True)
class Aggregate:
    """A metric of all lists together, and the greatest value that it can take for N items."""

    compute: Callable[[Exposure], np.ndarray]
    upper: Callable[[int], float]


AGGREGATE: dict[MetricName, Aggregate] = {
    "coverage": Aggregate(exposure.coverage, lambda n: 1.0),
    "gini": Aggregate(exposure.gini, lambda n: 1.0 - 1.0 / n),
    "entropy": Aggregate(exposure.entropy, lambda n: float(np.log(n))),
    "entropy_norm": Aggregate(exposure.entropy_norm, lambda n: 1.0),
    "personalization": Aggregate(exposure.personalization, lambda n: 1.0),
}


def _accuracy(name: MetricName) -> PerQuery:
    return lambda r, f, c, k: ACCURACY[name](r.hits_QK, r.n_targets_Q, k)


def _distance(name: MetricName, distance: Distance = diversity.intra_list_distance) -> PerQuery:
    space = SPACES[name]
    return lambda r, f, c, k: distance(r.ids_QK, f.vectors(space), f.present(space), k)


PER_QUERY: dict[MetricName, PerQuery] = {
    **{name: _accuracy(name) for name in ACCURACY},
    "alpha_ndcg": lambda r, f, c, k: rank_aware.alpha_ndcg(r.ids_QK, r.hits_QK, r.targets, f.categories, k),
    "ild": _distance("ild"),
    "ild_text": _distance("ild_text"),
    "ild_image": _distance("ild_image"),
    "eild": _distance("eild", rank_aware.expected_distance),
    "ild_category": lambda r, f, c, k: diversity.category_distance(r.ids_QK, f.categories, k),
    "jaccard": lambda r, f, c, k: diversity.category_overlap(r.ids_QK, f.categories, k),
    "calibration": lambda r, f, c, k: calibration.calibration(r.ids_QK, r.histories, f.categories, k),
    "novelty": lambda r, f, c, k: novelty.novelty(r.ids_QK, f.train_counts, k),
    "tail_share": lambda r, f, c, k: novelty.tail_share(r.ids_QK, f.tail(c.tail_share), k),
    "serendipity": lambda r, f, c, k: novelty.serendipity(
        r.ids_QK, r.hits_QK, r.n_targets_Q, r.histories, f.train_counts, c.exclude_seen, k
    ),
}


def missing_for(name: MetricName, items: ItemTable) -> str | None:
    """Why a metric can't be computed from these items, or None where it can."""
    if name in SPACES and SPACES[name] not in items.spaces:
        return f"no item vectors in the space '{SPACES[name]}'"
    if name in BY_CATEGORY and not items.categories.shape[1]:
        return "the catalogue has no categories"
    return None

"""Table of metrics: of single lists, averaged over users, and aggregate ones."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from crossrec.data.item_table import CATEGORY, ItemTable
from crossrec.evaluation.metrics import accuracy, calibration, diversity, exposure, novelty, rank_aware
from crossrec.evaluation.metrics.base import HitMetric, ListMetric, Metric, MetricInputs
from crossrec.evaluation.metrics.exposure import ExposureMetric

METRICS: dict[str, Metric] = {
    "recall": accuracy.RECALL,
    "ndcg": accuracy.NDCG,
    "mrr": accuracy.MRR,
    "hit": accuracy.HIT,
    "map": accuracy.MAP,
    "alpha_ndcg": rank_aware.ALPHA_NDCG,
    "coverage": exposure.COVERAGE,
    "gini": exposure.GINI,
    "entropy": exposure.ENTROPY,
    "entropy_norm": exposure.ENTROPY_NORM,
    "ild_category": diversity.ILD_CATEGORY,
    "ild_text": diversity.ILD_TEXT,
    "ild_image": diversity.ILD_IMAGE,
    "ild": diversity.ILD,
    "ild_behaviour": diversity.ILD_BEHAVIOUR,
    "eild": rank_aware.EILD,
    "jaccard": diversity.JACCARD,
    "personalization": exposure.PERSONALIZATION,
    "novelty": novelty.NOVELTY,
    "serendipity": novelty.SERENDIPITY,
    "tail_share": novelty.TAIL_SHARE,
    "calibration": calibration.CALIBRATION,
}
"""All metrics, in the order of tables."""

PER_QUERY: dict[str, Callable[[MetricInputs], np.ndarray]] = {
    name: metric.compute for name, metric in METRICS.items() if isinstance(metric, HitMetric | ListMetric)
}
"""Metrics of single lists: inputs -> (Q,), NaN where a query has no value."""

ACCURACY: dict[str, Callable[[np.ndarray, np.ndarray, int], np.ndarray]] = {
    name: metric.of_hits for name, metric in METRICS.items() if isinstance(metric, HitMetric)
}
"""Accuracy metrics among them: (hits_QK, n_targets_Q, k) -> (Q,)."""

AGGREGATE: dict[str, ExposureMetric] = {
    name: metric for name, metric in METRICS.items() if isinstance(metric, ExposureMetric)
}
"""Aggregate metrics of all lists."""

SPACES: dict[str, str] = {
    name: metric.space for name, metric in METRICS.items() if metric.space not in (None, CATEGORY)
}
"""The vector space in which each distance within a list is measured."""


def missing_for(name: str, items: ItemTable) -> str | None:
    """Return the reason why a metric can't be computed from these items, or None."""
    return METRICS[name].missing(items)

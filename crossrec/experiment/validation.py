"""Values on the validation split, for training, for tuning, and for what is chosen after the training."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from crossrec.data.splits.base import Queries, Split
from crossrec.evaluation.evaluate import evaluate_lists, rank_queries
from crossrec.experiment.config import ExperimentConfig
from crossrec.experiment.prepared import PreparedExperiment
from crossrec.types import InputError, Recommender, TopK

VALIDATED = ("recall", "ndcg", "mrr", "coverage")
"""Metrics used by training and tuning."""
CLOSE = 0.99
"""Share of the best value with which a smaller weight is preferred."""


def check_metric(config: ExperimentConfig) -> None:
    """Check that validation measures ``trainer.metric``.

    Raises:
        InputError: if it doesn't exist; the message lists the metrics.
    """
    metric = config.trainer.metric
    there = [f"{name}@{k}" for k in config.evaluation.ks for name in VALIDATED]
    if metric not in there:
        raise InputError(
            f"trainer.metric: '{metric}' is not measured on validation; there are {', '.join(there)} "
            f"(lengths come from evaluation.ks)"
        )


def validation_value(prepared: PreparedExperiment, recommender: Recommender) -> float:
    """Return the value of ``trainer.metric`` on the validation split."""
    return validation_metrics(prepared, recommender)[prepared.config.trainer.metric]


def validation_metrics(prepared: PreparedExperiment, recommender: Recommender) -> dict[str, float]:
    """Return accuracy on the validation split, without intervals, for training and tuning."""
    config, split = prepared.config.evaluation, prepared.data.split
    lists = rank_queries(recommender, split, split.valid, max(config.ks), config.exclude_seen, config.batch)
    return metrics_of(prepared, lists, split.valid)


def metrics_of(prepared: PreparedExperiment, lists: TopK, queries: Queries) -> dict[str, float]:
    """Return the accuracy of lists for some queries, without intervals."""
    config = prepared.config.evaluation.model_copy(update={"metrics": VALIDATED, "n_bootstrap": 0})
    found = evaluate_lists(lists, queries, prepared.data.split.histories(queries), prepared.items, config)
    return {name: float(estimate["value"]) for name, estimate in found.metrics.items()}


def sample_queries(split: Split, count: int, seed: tuple[int, ...]) -> Queries:
    """Return at most ``count`` validation queries in random order."""
    return split.valid.take(np.random.default_rng(seed).permutation(len(split.valid))[:count])


def smallest_close(values: Mapping[float, float]) -> float:
    """Return the smallest weight that is about as good as the best: the first order stays as far as possible.

    Args:
        values: weight -> validation value.
    """
    return min(weight for weight, value in values.items() if value >= CLOSE * max(values.values()))


def check_choices(config: ExperimentConfig, split: Split) -> None:
    """Check that there are validation queries for what is chosen on them after the training.

    Raises:
        InputError: if a section leaves a choice to validation, and there are no validation queries.
    """
    neighbours, text = config.neighbours, config.text_scorer
    open_choices = {
        "neighbours (tune=false, and values for weight and cold_bonus)": neighbours is not None
        and (neighbours.tune or neighbours.weight is None or neighbours.cold_bonus is None),
        "text_scorer (a value for weight)": text is not None and text.weight is None,
    }
    for section, is_open in open_choices.items():
        if is_open and not len(split.valid):
            raise InputError(
                f"there are no validation queries to choose on; give the choices in the section {section}, "
                "or divide the log otherwise (data.split)"
            )

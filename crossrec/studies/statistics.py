"""Shared statistics of studies: measurable metrics, resamples of the users, means over seeds."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import t

from crossrec.data.item_table import ItemTable
from crossrec.evaluation.bootstrap import resample_exposure, resample_means
from crossrec.evaluation.config import MetricName
from crossrec.evaluation.metrics import AGGREGATE, missing_for
from crossrec.evaluation.metrics.exposure import UserLists
from crossrec.evaluation.results import Evaluation
from crossrec.evaluation.slices import UserGroups
from crossrec.types import InputError

logger = logging.getLogger(__name__)


def measurable_metrics(
    metrics: Sequence[MetricName], items: ItemTable, needed: Collection[MetricName] = ()
) -> tuple[MetricName, ...]:
    """Return the metrics that can be measured; the others are logged with the reason.

    Args:
        metrics: names of metrics without ``@k``.
        items: features of the items.
        needed: metrics required by the study.

    Raises:
        InputError: if one of ``needed`` can't be measured.
    """
    found: list[MetricName] = []
    for name in metrics:
        why = missing_for(name, items)
        if why is None:
            found.append(name)
        elif name in needed:
            raise InputError(
                f"'{name}' can't be measured: {why}; take it out of diversity and goals in the study"
            )
        else:
            logger.warning("%s is left out: %s", name, why)
    return tuple(found)


def resampled_metrics(
    evaluation: Evaluation,
    ids_QK: np.ndarray,
    users_Q: np.ndarray,
    metrics: Sequence[MetricName],
    *,
    n_items: int,
    k: int,
    n_resamples: int,
    seed: int,
) -> dict[str, np.ndarray]:
    """Return each metric under bootstrap resamples of the users.

    Draws of means are widened to Student's tails (:meth:`crossrec.evaluation.bootstrap.Resampled.widened`).
    Lists of other recommenders for the same queries get the same draws, so differences are paired. Draws of
    metrics of all lists together have the jackknife's spread around the value
    (:func:`crossrec.evaluation.bootstrap.resample_exposure`); they are not cut to their ranges, so that
    differences stay unbiased: cut the interval of a value itself.

    Args:
        evaluation: evaluation of the lists.
        ids_QK: (Q, K) lists.
        users_Q: (Q,) users of the queries.
        metrics: names without ``@k``.
        n_items: N.
        k: length to which lists are cut.
        n_resamples: R.
        seed: seed of the draws.

    Returns:
        Name without ``@k`` -> (R,) values.
    """
    groups = UserGroups.of(users_Q)
    values_U: dict[str, np.ndarray] = {
        m: evaluation.per_user[f"{m}@{k}"].to_numpy() for m in metrics if m not in AGGREGATE
    }
    lists = UserLists(groups.shown(ids_QK[:, :k]), groups.counts)
    over_all = [m for m in metrics if m in AGGREGATE]
    found = {
        name: mean.widened(int((~np.isnan(values_U[name])).sum()))
        for name, mean in resample_means(values_U, n_resamples, seed).items()
    }
    found.update(resample_exposure(lists, over_all, n_items, k, n_resamples, seed))
    return {name: found[name].resampled_R for name in metrics}


@dataclass(frozen=True)
class Spread:
    """Mean over seeds.

    Args:
        value: the mean.
        low, high: 95 % interval by Student's t over seeds; NaN with one seed.
        seeds: (S,) values.
    """

    value: float
    low: float
    high: float
    seeds: np.ndarray

    @property
    def settled(self) -> bool:
        """Whether the interval leaves out 0."""
        return bool(self.low > 0 or self.high < 0)


def over_seeds(values_S: np.ndarray) -> Spread:
    """Return mean and t-interval over seeds; NaN values are omitted.

    Source:
        Student: The probable error of a mean (1908).
    """
    known = values_S[~np.isnan(values_S)]
    nan = float("nan")
    if not len(known):
        return Spread(nan, nan, nan, values_S)
    mean = float(known.mean())
    if len(known) < 2:
        return Spread(mean, nan, nan, values_S)
    half = float(t.ppf(0.975, len(known) - 1) * known.std(ddof=1) / np.sqrt(len(known)))
    return Spread(mean, mean - half, mean + half, values_S)


def seed_spread(values_S: np.ndarray) -> float:
    """Return the standard deviation over seeds; NaN for one seed."""
    return float(np.std(values_S, ddof=1)) if len(values_S) > 1 else float("nan")


def seed_interval(values_S: np.ndarray) -> list[float]:
    """Return Student's 95 % interval of the mean over seeds; NaN for one seed or a missing value."""
    if np.isnan(values_S).any():
        return [float("nan"), float("nan")]
    mean = over_seeds(values_S)
    return [mean.low, mean.high]

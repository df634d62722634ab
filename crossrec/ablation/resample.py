"""Metrics of one set of lists under many resamples of the users, the same resamples for every set."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from crossrec.evaluation.bootstrap import resample_exposure, resample_means
from crossrec.evaluation.config import MetricName
from crossrec.evaluation.metrics import AGGREGATE
from crossrec.evaluation.metrics.exposure import UserLists
from crossrec.evaluation.results import Evaluation
from crossrec.evaluation.users import UserGroups


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
    """What each metric comes to when users are drawn with replacement.

    Draws of means are widened to Student's tails (:meth:`crossrec.evaluation.bootstrap.Resampled.widened`).
    Lists of other recommenders for the same queries get the same draws, so differences are paired. Draws of
    metrics of all lists together have the jackknife's spread around the value
    (:func:`crossrec.evaluation.bootstrap.resample_exposure`); they are not cut to their ranges, so that
    differences stay unbiased: cut the interval of a value itself.

    Args:
        evaluation: of the lists.
        ids_QK: (Q, K) the lists.
        users_Q: (Q,) users of the queries.
        metrics: names without ``@k``.
        n_items: N.
        k: length at which lists are cut.
        n_resamples: R.
        seed: of the draws.

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

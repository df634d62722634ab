"""Metrics of one set of lists under many resamples of the users, the same resamples for every set."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from crossrec.evaluation.bootstrap import resample_weights
from crossrec.evaluation.config import MetricName
from crossrec.evaluation.metrics import AGGREGATE
from crossrec.evaluation.metrics.exposure import Exposure
from crossrec.evaluation.results import Evaluation
from crossrec.evaluation.users import UserGroups

TAIL_PERCENT = 2.5


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

    Lists of other recommenders for the same queries get the same draws, so differences are paired. A
    resample lacks about a third of the users, which shifts coverage, entropy and Gini: those are moved so
    that their mean is the value itself (as the intervals of an evaluation are).

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

    Source:
        Efron, Tibshirani: An introduction to the bootstrap (1993), chapters 10 and 13.
    """
    groups = UserGroups.of(users_Q)
    means = [m for m in metrics if m not in AGGREGATE]
    over_all = [m for m in metrics if m in AGGREGATE]
    columns = [evaluation.per_user[f"{m}@{k}"].to_numpy() for m in means]
    values_UM = np.stack(columns, axis=1) if columns else np.zeros((len(groups.users), 0))
    known_UM, filled_UM = (~np.isnan(values_UM)).astype(float), np.nan_to_num(values_UM)
    shown_UI = groups.shown(ids_QK[:, :k]).astype(float)
    shown_IU = shown_UI.T.tocsr()
    own_U = np.asarray(shown_UI.multiply(shown_UI).sum(1)).ravel()
    chunks: dict[str, list[np.ndarray]] = {m: [] for m in metrics}
    for weights_RU in resample_weights(len(groups.users), n_resamples, shown_UI.shape[1], seed):
        with np.errstate(invalid="ignore"):
            mean_RM = (weights_RU @ filled_UM) / (weights_RU @ known_UM)
        for name, mean_R in zip(means, mean_RM.T, strict=True):
            chunks[name].append(mean_R)
        if over_all:
            counts_RI = np.ascontiguousarray((shown_IU @ np.ascontiguousarray(weights_RU.T)).T)
            squared_RU = weights_RU**2
            pairs_R = (weights_RU @ groups.counts) ** 2 - squared_RU @ (groups.counts**2)
            exposure = Exposure(counts_RI, n_items, k, squared_RU @ own_U, pairs_R)
            for name in over_all:
                chunks[name].append(AGGREGATE[name].compute(exposure))
    found = {name: np.concatenate(values) for name, values in chunks.items()}
    for name in over_all:
        found[name] += evaluation.metrics[f"{name}@{k}"]["value"] - found[name].mean()
    return found


def interval(values_R: np.ndarray) -> list[float]:
    """The middle 95 % of resampled values."""
    known_R = values_R[~np.isnan(values_R)]
    if not len(known_R):
        return [float("nan"), float("nan")]
    return [float(v) for v in np.percentile(known_R, [TAIL_PERCENT, 100 - TAIL_PERCENT])]

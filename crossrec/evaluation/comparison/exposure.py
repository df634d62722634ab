"""Metrics of all lists together of several systems, which have no value a user: users are resampled alike."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np

from crossrec.evaluation.bootstrap import resample_exposure
from crossrec.evaluation.config import MetricName
from crossrec.evaluation.metrics.exposure import UserLists
from crossrec.evaluation.significance import SIGNIFICANT
from crossrec.types import InputError


def check_resamples(exposed: Sequence[str], n_comparisons: int, n_resamples: int) -> None:
    """Refuses a comparison in which Holm's correction would hide any difference of an exposure metric.

    Args:
        exposed: the compared metrics of all lists together.
        n_comparisons: M that are corrected together.
        n_resamples: R; the bootstrap's p is at least 2 / (1 + R).

    Raises:
        InputError: 2 M / (1 + R) is not below the level.
    """
    least = 2 / (1 + n_resamples)
    corrected = min(1.0, n_comparisons * least)
    if exposed and corrected >= SIGNIFICANT:
        raise InputError(
            f"{n_resamples} resamples are too few for {n_comparisons} comparisons: {exposed[0]} can't have a "
            f"p below {least:.2g}, which Holm's correction may raise to {corrected:.2g}; "
            f"ask for --resamples {math.ceil(2 * n_comparisons / SIGNIFICANT)} or more, or fewer --metrics"
        )


def resample_systems(
    systems: Iterable[Iterable[UserLists]],
    metrics: Sequence[MetricName],
    n_items: int,
    k: int,
    n_resamples: int,
    seed: int,
) -> dict[MetricName, tuple[np.ndarray, np.ndarray]]:
    """Exposure metrics of S systems, each the mean over its seeds, all under the same resamples of users.

    One set of lists after the other, so that the counts of one alone are held.

    Args:
        systems: S systems, for each the lists of its seeds; the same U users in the same order.
        metrics: names of aggregate metrics.
        n_items: N.
        k: places of a list.
        n_resamples: R.
        seed: of the resampling.

    Returns:
        metric -> (S,) values and (S, R) resampled values, recentred on the values.
    """
    found: dict[MetricName, list[tuple[float, np.ndarray]]] = {name: [] for name in metrics}
    for seeds in systems:
        of_seeds = [resample_exposure(lists, metrics, n_items, k, n_resamples, seed) for lists in seeds]
        for name in metrics:
            value = float(np.mean([one[name].value for one in of_seeds]))
            found[name].append((value, np.mean([one[name].resampled_R for one in of_seeds], axis=0)))
    return {
        name: (np.array([value for value, _ in several]), np.stack([resampled for _, resampled in several]))
        for name, several in found.items()
    }

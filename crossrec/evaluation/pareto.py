"""Pareto front of accuracy and diversity (higher is better), hypervolume, and choice on the front."""

from __future__ import annotations

import numpy as np

ROUNDING = 1e-12
"""Tolerance of the budget."""


def on_front(points_PM: np.ndarray) -> np.ndarray:
    """Return which points are not dominated: no other is at least as high in all values and higher in one.

    Args:
        points_PM: (P, M) values, higher is better; a point with NaN is never on the front.

    Returns:
        (P,) bool; equal points are on the front together.
    """
    known_P = ~np.isnan(points_PM).any(1)
    as_good_PP = (points_PM[:, None] >= points_PM[None]).all(2)
    better_PP = (points_PM[:, None] > points_PM[None]).any(2)
    return np.asarray(known_P & ~(as_good_PP & better_PP).any(0))


def pareto_front(points_P2: np.ndarray) -> np.ndarray:
    """Return the points of :func:`on_front` in order; of equal points only the first.

    Args:
        points_P2: (P, 2) accuracy and diversity.

    Returns:
        (F,) indices by descending accuracy and ascending diversity.
    """
    points_P2 = np.asarray(points_P2, dtype=float).reshape(-1, 2)
    kept_F = np.flatnonzero(on_front(points_P2))
    _, first = np.unique(points_P2[kept_F], axis=0, return_index=True)
    return np.asarray(kept_F[first[::-1]])


def hypervolume(points_RP2: np.ndarray, reference_2: tuple[float, float]) -> np.ndarray:
    """Return the exact area dominated by points above a reference point, for R sets of points at once.

    It is the union of the rectangles between the reference and each point, by one sweep in descending
    accuracy. A
    point at or below the reference in either coordinate, or with a NaN, adds nothing.

    Args:
        points_RP2: (R, P, 2), or (P, 2) for one set; they need not be a front.
        reference_2: lower corner of the area.

    Returns:
        (R,) areas, 0 for no points.

    Source:
        Zitzler, Thiele: Multiobjective evolutionary algorithms: a comparative case study and the strength
        Pareto approach (IEEE Transactions on Evolutionary Computation 1999).
    """
    points_RP2 = np.asarray(points_RP2, dtype=float)
    if points_RP2.ndim == 2:
        points_RP2 = points_RP2[None]
    above_RP2 = points_RP2 - np.asarray(reference_2, dtype=float)
    counts_RP1 = (above_RP2 > 0).all(2, keepdims=True)
    above_RP2 = np.where(counts_RP1, above_RP2, 0.0)
    order_RP = np.argsort(-above_RP2[:, :, 0], axis=1, kind="stable")
    width_RP = np.take_along_axis(above_RP2[:, :, 0], order_RP, axis=1)
    height_RP = np.maximum.accumulate(np.take_along_axis(above_RP2[:, :, 1], order_RP, axis=1), axis=1)
    next_RP = np.concatenate([width_RP[:, 1:], np.zeros((len(width_RP), 1))], axis=1)[:, : width_RP.shape[1]]
    return np.asarray(((width_RP - next_RP) * height_RP).sum(1))


def pick(accuracy_P: np.ndarray, score_P: np.ndarray, budget: float) -> int | None:
    """Return the point with the highest score among those whose loss of accuracy is within the budget.

    Ties go to the more accurate point, then to the first.

    Args:
        accuracy_P: (P,) relative change of accuracy against the reference, -0.01 for 1 % lost.
        score_P: (P,) scores, higher is better, NaN where unknown.
        budget: maximum relative loss, 0.01 for 1 %.

    Returns:
        Index of the point; None if no point keeps the budget.
    """
    accuracy_P, score_P = np.asarray(accuracy_P, dtype=float), np.asarray(score_P, dtype=float)
    kept = np.flatnonzero((accuracy_P >= -budget - ROUNDING) & ~np.isnan(score_P))
    if not len(kept):
        return None
    return int(kept[np.lexsort((kept, -accuracy_P[kept], -score_P[kept]))[0]])

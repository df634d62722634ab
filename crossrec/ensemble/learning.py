"""Weights learned from members' candidates on validation, and an honest value of what was learned."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from crossrec.ensemble.config import LearningConfig
from crossrec.ensemble.evidence import Evidence

Metric = Callable[[np.ndarray, np.ndarray, int], np.ndarray]
"""(hits_QK, n_targets_Q, k) -> (Q,); 0 without a hit, NaN without targets."""


@dataclass(frozen=True)
class Learned:
    """What was learned, and what it is worth on the same part.

    Args:
        weights_M: one a member, summing to 1.
        value: on all users, from whom the weights were chosen: too high.
        cross_fitted: on users that had no part in choosing, over halves and repeats.
        cross_fitted_sd: standard deviation over repeats; NaN with one.
        best_member: the member that is best on all users.
        member_values_M: each member alone, on all users.
        best_member_cross_fitted: the same for choosing one member instead of weights.
        tried: weightings that were tried.
    """

    weights_M: np.ndarray
    value: float
    cross_fitted: float
    cross_fitted_sd: float
    best_member: int
    member_values_M: np.ndarray
    best_member_cross_fitted: float
    tried: int


def learn_weights(evidence: Evidence, metric: Metric, config: LearningConfig) -> Learned:
    """Tries weightings and keeps the best, the one with the fewest members among equals.

    All weightings are fixed before any value is looked at, so that halves of the users can choose among
    them without having seen each other.

    Args:
        evidence: of the validation part.
        metric: to maximise, the mean over users of each user's mean over queries.
        config: budget, halves, seed.
    """
    weights_WM = weightings(evidence.n_members, config.budget, config.seed)
    value_WU = evidence.user_values(weights_WM, metric, config.k)
    value_W = value_WU.mean(1)
    # Members alone come first, in their order.
    alone = slice(0, evidence.n_members)
    best = int(value_W.argmax())
    pairs = _cross_fit(value_WU, [slice(None), alone], config)
    spread = float(pairs[0].std(ddof=1)) if config.cross_fits > 1 else math.nan
    return Learned(
        weights_M=weights_WM[best],
        value=float(value_W[best]),
        cross_fitted=float(pairs[0].mean()),
        cross_fitted_sd=spread,
        best_member=int(value_W[alone].argmax()),
        member_values_M=value_W[alone],
        best_member_cross_fitted=float(pairs[1].mean()),
        tried=len(weights_WM),
    )


def weightings(n_members: int, budget: int, seed: int) -> np.ndarray:
    """Points of the simplex: each member alone, an even lattice as fine as the budget allows, random ones.

    Args:
        n_members: M.
        budget: points at most, if that leaves one a member.
        seed: of the random ones.

    Returns:
        (W, M) rows summing to 1, no two alike, members alone first, then by the number of members in use.
    """
    budget = max(budget, n_members)
    steps = 1
    while math.comb(steps + n_members, n_members - 1) <= budget and n_members > 1 and steps < budget:
        steps += 1
    bars = itertools.combinations(range(steps + n_members - 1), n_members - 1)
    edges = np.array([(-1, *bar, steps + n_members - 1) for bar in bars])
    lattice = (np.diff(edges, axis=1) - 1) / steps
    random = np.random.default_rng(seed).dirichlet(np.ones(n_members), max(budget - len(lattice), 0))
    points = np.unique(np.concatenate([lattice, random]), axis=0)
    used = (points > 0).sum(1)
    # Among points of one member, the first member's comes first: rows are sorted, so turn them round.
    order = np.lexsort((-np.arange(len(points)), used))
    return points[order]


def _cross_fit(value_WU: np.ndarray, choices: Sequence[slice], config: LearningConfig) -> list[np.ndarray]:
    """For each set of weightings to choose from, (R,) values on halves that had no part in choosing."""
    rng = np.random.default_rng(config.seed)
    n_users = value_WU.shape[1]
    found = np.zeros((len(choices), config.cross_fits))
    for repeat in range(config.cross_fits):
        order = rng.permutation(n_users)
        halves = order[: n_users // 2], order[n_users // 2 :]
        means = [value_WU[:, half].mean(1) if len(half) else np.zeros(len(value_WU)) for half in halves]
        for number, rows in enumerate(choices):
            picked = [int(mean[rows].argmax()) for mean in means]
            judged = means[1][rows][picked[0]], means[0][rows][picked[1]]
            found[number, repeat] = np.average(judged, weights=[len(halves[1]), len(halves[0])])
    return list(found)

"""Weights learned from members' candidates on validation, and their cross-fitted value."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from crossrec.config import Config
from crossrec.ensemble.base import ListFusion, MemberScores, Missing, active_members, allowed, weighted_sum
from crossrec.ensemble.candidates import Candidates
from crossrec.types import Sequences


class LearningConfig(Config):
    """Options of weight learning on validation.

    Args:
        k: length of the lists whose value is maximised.
        budget: number of weightings to try: a regular grid on the simplex, then random ones.
        cross_fits: number of random halvings of users, to learn on one half and measure on the other.
        seed: seed of random weightings and halves.
    """

    k: int = Field(10, ge=1, le=10_000)
    budget: int = Field(600, ge=2)
    cross_fits: int = Field(10, ge=1)
    seed: int = Field(0, ge=0)


ROWS = 256
"""Number of queries fused at a time, so that their scores stay in the cache."""


@dataclass(frozen=True)
class Answered:
    """Queries whose candidates contain a target.

    Args:
        query_A: (A,) numbers among all Q queries.
        ids_AP: (A, P) candidates, ascending.
        target_AP: (A, P) bool, true for targets.
        said: scores per member.
    """

    query_A: np.ndarray
    ids_AP: np.ndarray
    target_AP: Tensor
    said: tuple[MemberScores, ...]


def answered(found: Candidates, targets: Sequences, first: int) -> Answered:
    """Keep the queries that have a target among their candidates.

    Args:
        found: candidates of B queries.
        targets: targets of these B queries.
        first: number of the first query.
    """
    target_BP = targets.contains(found.ids_BP)
    rows = np.flatnonzero(target_BP.any(1))
    index = torch.from_numpy(rows)
    said = tuple(
        MemberScores(s.own_BC[index], s.scores_BP[index], s.ranks_BP[index], s.refused_BP[index])
        for s in found.said
    )
    return Answered(first + rows, found.ids_BP[rows], torch.from_numpy(target_BP[rows]), said)


class WeightObjective:
    """Objective of weight learning: values of weightings for every user, from candidates gathered once.

    Args:
        parts: answered queries, in any number of blocks.
        rule: list fusion.
        missing: meaning of -inf from a member.
        users_Q: (Q,) users of the queries.
        n_targets_Q: (Q,) distinct targets of the queries; queries without any have no value.
        n_members: M.
    """

    def __init__(
        self,
        parts: Iterable[Answered],
        rule: ListFusion,
        missing: Missing,
        users_Q: np.ndarray,
        n_targets_Q: np.ndarray,
        n_members: int,
    ) -> None:
        self.n_members = n_members
        self._blocks = [_Block(block, rule, missing) for part in parts for block in _cut(part)]
        self._n_targets_Q = n_targets_Q
        known_Q = n_targets_Q > 0
        users, self._user_Q = np.unique(users_Q, return_inverse=True)
        counts_U = np.bincount(self._user_Q, weights=known_Q, minlength=len(users))
        self._judged_U = counts_U > 0
        self._share_Q = np.where(known_Q, 1 / np.maximum(counts_U, 1)[self._user_Q], 0.0)
        if not self._judged_U.any():
            raise ValueError("no query has a target: there is nothing to learn weights from")

    def user_values(
        self,
        weights_WM: np.ndarray,
        metric: Callable[[np.ndarray, np.ndarray, int], np.ndarray],
        k: int,
    ) -> np.ndarray:
        """Return (W, U), each user's mean over queries per weighting, without users that have no targets.

        Args:
            weights_WM: rows of weights.
            metric: (hits_QK, n_targets_Q, k) -> (Q,), 0 without a hit.
            k: length of the lists.
        """
        value_WU = np.zeros((len(weights_WM), len(self._judged_U)))
        for block in self._blocks:
            user_A, share_A = self._user_Q[block.query_A], self._share_Q[block.query_A]
            for number, weights_M in enumerate(weights_WM):
                hits_AK = block.hits(weights_M.tolist(), k)
                value_A = metric(hits_AK, self._n_targets_Q[block.query_A], k)
                value_WU[number] += np.bincount(user_A, value_A * share_A, minlength=value_WU.shape[1])
        return value_WU[:, self._judged_U]


class _Block:
    """Some answered queries, with all data that is the same for all weightings.

    Args:
        of: answered queries.
        rule: list fusion.
        missing: meaning of a member's -inf.
    """

    def __init__(self, of: Answered, rule: ListFusion, missing: Missing) -> None:
        self.query_A = of.query_A
        self._added = [rule(said) for said in of.said]
        self._said = of.said
        self._missing = missing
        self._row_T, self._column_T = of.target_AP.nonzero(as_tuple=True)
        self._out: dict[tuple[int, ...], Tensor] = {}

    def hits(self, weights: Sequence[float], k: int) -> np.ndarray:
        """Return (A, K) bool, true for places of targets; ties go to the lower item."""
        active = active_members(weights)
        if active not in self._out:
            self._out[active] = ~allowed([self._said[number] for number in active], self._missing)
        fused_AP = weighted_sum(self._added, weights).masked_fill_(self._out[active], -torch.inf)
        score_T = fused_AP[self._row_T, self._column_T]
        # Only a target that reaches the k-th best score can be listed. NumPy selects faster than torch.
        rest = max(fused_AP.shape[1] - k, 0)
        least_A = torch.from_numpy(np.partition(fused_AP.numpy(), rest, axis=1)[:, rest])
        near = ((score_T >= least_A[self._row_T]) & (score_T > -torch.inf)).nonzero().squeeze(1)
        row_T, score_T1 = self._row_T[near], score_T[near].unsqueeze(1)
        others_TP = fused_AP[row_T]
        lower_TP = torch.arange(fused_AP.shape[1]) < self._column_T[near].unsqueeze(1)
        before_T = ((others_TP > score_T1) | ((others_TP == score_T1) & lower_TP)).sum(1)
        shown_T = before_T < k
        hits_AK = np.zeros((len(fused_AP), k), dtype=bool)
        hits_AK[row_T[shown_T].numpy(), before_T[shown_T].numpy()] = True
        return hits_AK


def _cut(part: Answered) -> Sequence[Answered]:
    blocks = []
    for start in range(0, len(part.query_A), ROWS):
        rows = slice(start, start + ROWS)
        said = tuple(
            replace(
                s,
                own_BC=s.own_BC[rows],
                scores_BP=s.scores_BP[rows],
                ranks_BP=s.ranks_BP[rows],
                refused_BP=s.refused_BP[rows],
            )
            for s in part.said
        )
        blocks.append(Answered(part.query_A[rows], part.ids_AP[rows], part.target_AP[rows], said))
    return blocks


Metric = Callable[[np.ndarray, np.ndarray, int], np.ndarray]
"""(hits_QK, n_targets_Q, k) -> (Q,); 0 without a hit, NaN without targets."""


@dataclass(frozen=True)
class Learned:
    """Learned weights, and their value on the same split.

    Args:
        weights_M: weight per member, summing to 1.
        value: value on all users, on whom the weights were chosen: optimistic.
        cross_fitted: value on held-out users, over halves and repeats.
        cross_fitted_sd: standard deviation over repeats; NaN with one.
        best_member: number of the best member on all users.
        member_values_M: value of each member alone, on all users.
        best_member_cross_fitted: cross-fitted value of choosing one member instead of weights.
        tried: number of weightings tried.
    """

    weights_M: np.ndarray
    value: float
    cross_fitted: float
    cross_fitted_sd: float
    best_member: int
    member_values_M: np.ndarray
    best_member_cross_fitted: float
    tried: int


def learn_weights(evidence: WeightObjective, metric: Metric, config: LearningConfig) -> Learned:
    """Return the best of a fixed set of weightings, with the fewest members among equals.

    All weightings are fixed in advance, so that halves of the users choose among them independently.

    Args:
        evidence: objective on the validation split.
        metric: metric to maximise, the mean over users of each user's mean over queries.
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
    """Return points of the simplex: each member alone, a grid as fine as the budget allows, random ones.

    Args:
        n_members: M.
        budget: maximum number of points, but at least one per member.
        seed: seed of the random weightings.

    Returns:
        (W, M) distinct rows summing to 1, single members first, then by the number of members in use.
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
    # Among single members, the first one comes first: rows are sorted, so reverse them.
    order = np.lexsort((-np.arange(len(points)), used))
    return points[order]


def _cross_fit(value_WU: np.ndarray, choices: Sequence[slice], config: LearningConfig) -> list[np.ndarray]:
    """Return, for each set of weightings to choose from, (R,) values on held-out halves."""
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

"""What members say where a target is among the candidates: all that weights can be learned from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from crossrec.ensemble.candidates import Candidates
from crossrec.ensemble.config import Missing
from crossrec.ensemble.fuse import active_members, allowed, weighted_sum
from crossrec.ensemble.rules import Opinion, Rule
from crossrec.types import Sequences

ROWS = 256
"""Queries fused at a time, so that what is worked on stays in the cache."""


@dataclass(frozen=True)
class Answered:
    """Queries whose candidates hold a target.

    Args:
        query_A: (A,) their numbers among all Q queries.
        ids_AP: (A, P) candidates, rising.
        target_AP: (A, P) bool, which of them are targets.
        said: one a member.
    """

    query_A: np.ndarray
    ids_AP: np.ndarray
    target_AP: Tensor
    said: tuple[Opinion, ...]


def answered(found: Candidates, targets: Sequences, first: int) -> Answered:
    """Keeps the queries that have a target among their candidates.

    Args:
        found: candidates of B queries.
        targets: of these B queries.
        first: number of the first of them.
    """
    target_BP = targets.contains(found.ids_BP)
    rows = np.flatnonzero(target_BP.any(1))
    index = torch.from_numpy(rows)
    said = tuple(
        Opinion(s.own_BC[index], s.scores_BP[index], s.ranks_BP[index], s.refused_BP[index])
        for s in found.said
    )
    return Answered(first + rows, found.ids_BP[rows], torch.from_numpy(target_BP[rows]), said)


class Evidence:
    """Values of weightings for every user, from members' candidates that were gathered once.

    Args:
        parts: answered queries, in any number of blocks.
        rule: what a member adds.
        missing: what a member's -inf means.
        users_Q: (Q,) users of the queries.
        n_targets_Q: (Q,) distinct targets of the queries; queries without any have no value.
        n_members: M.
    """

    def __init__(
        self,
        parts: Iterable[Answered],
        rule: Rule,
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
        """(W, U) each user's mean over queries, for each weighting; users without targets are left out.

        Args:
            weights_WM: rows of weights.
            metric: (hits_QK, n_targets_Q, k) -> (Q,), 0 without a hit.
            k: places of a list.
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
    """Some answered queries, with all that doesn't change from weighting to weighting.

    Args:
        of: the queries.
        rule: what a member adds.
        missing: what a member's -inf means.
    """

    def __init__(self, of: Answered, rule: Rule, missing: Missing) -> None:
        self.query_A = of.query_A
        self._added = [rule(said) for said in of.said]
        self._said = of.said
        self._missing = missing
        self._row_T, self._column_T = of.target_AP.nonzero(as_tuple=True)
        self._out: dict[tuple[int, ...], Tensor] = {}

    def hits(self, weights: Sequence[float], k: int) -> np.ndarray:
        """(A, K) bool, which of the first k places a target takes; ties go to the lower item."""
        active = active_members(weights)
        if active not in self._out:
            self._out[active] = ~allowed([self._said[number] for number in active], self._missing)
        fused_AP = weighted_sum(self._added, weights).masked_fill_(self._out[active], -torch.inf)
        score_T = fused_AP[self._row_T, self._column_T]
        # Only a target that reaches the k-th best score can have a place. NumPy selects faster than torch.
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

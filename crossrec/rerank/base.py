"""Base of rerankers: candidate pools, item features, and the options that rerankers share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from crossrec.config import Component, ComponentOptions
from crossrec.rerank.exposure import ExposureStore
from crossrec.types import ABSENT, Sequences, TopK

Relevance = Literal["minmax", "softmax", "rank"]
"""Scales of relevance; see :meth:`Pool.relevance`."""

Order = Literal["choice", "score"]
"""Orders of a chosen set: that in which it was chosen, or by score."""


@dataclass(frozen=True)
class Pool:
    """Candidates of B lists, best first.

    Args:
        ids_BC: (B, C) int64 catalogue indices; ``ABSENT`` (-1) at the end of a shorter row.
        scores_BC: (B, C) float32 scores; -inf where absent.
        histories: B rows, the history that each list is made for, oldest click first; with times if known.
    """

    ids_BC: Tensor
    scores_BC: Tensor
    histories: Sequences

    def __len__(self) -> int:
        return len(self.ids_BC)

    @property
    def present_BC(self) -> Tensor:
        """(B, C) bool, true where there is a candidate."""
        return self.ids_BC != ABSENT

    def relevance(self, kind: Relevance) -> Tensor:
        """Return (B, C) float32 relevance of the candidates, 0 where absent.

        ``minmax`` maps each row's scores to [0, 1]; ``softmax`` gives probabilities within the row, divided
        by the greatest; ``rank`` falls evenly from 1 for the first to 1 / C for the last of C candidates.
        Under the first two, a row whose scores are all equal gets 1 everywhere.
        """
        present_BC = self.present_BC
        if kind == "rank":
            width = max(self.ids_BC.shape[1], 1)
            falling_C = 1 - torch.arange(width, device=self.ids_BC.device, dtype=torch.float32) / width
            return torch.where(present_BC, falling_C[: self.ids_BC.shape[1]], 0)
        scores_BC = self.scores_BC.float()
        top_B1 = scores_BC.masked_fill(~present_BC, -torch.inf).amax(1, keepdim=True)
        if kind == "softmax":
            return torch.where(present_BC, (scores_BC - top_B1).exp(), 0)
        low_B1 = scores_BC.masked_fill(~present_BC, torch.inf).amin(1, keepdim=True)
        range_B1 = top_B1 - low_B1
        scaled_BC = torch.where(range_B1 > 0, (scores_BC - low_B1) / range_B1, 1.0)
        return torch.where(present_BC, scaled_BC, 0)

    def head(self, k: int) -> Pool:
        """Return the first k candidates, unchanged."""
        return Pool(self.ids_BC[:, :k], self.scores_BC[:, :k], self.histories)

    def pick(self, columns_BK: Tensor) -> Pool:
        """Return the candidates in these columns, in this order.

        Args:
            columns_BK: (B, K) int64 columns of the pool, ``ABSENT`` where a list ends early.
        """
        chosen_BK = columns_BK != ABSENT
        safe_BK = columns_BK.clamp(min=0)
        ids_BK = torch.where(chosen_BK, self.ids_BC.gather(1, safe_BK), ABSENT)
        scores_BK = torch.where(chosen_BK, self.scores_BC.gather(1, safe_BK), -torch.inf)
        return Pool(ids_BK, scores_BK, self.histories)

    def pick_set(self, columns_BK: Tensor, order: Order) -> Pool:
        """Return the candidates in these columns, in this order or by their scores, ties in the pool's order.

        Args:
            columns_BK: (B, K) int64 columns of the pool, ``ABSENT`` where a list ends early.
            order: ``choice``, the order of the columns, or ``score``.
        """
        if order == "choice":
            return self.pick(columns_BK)
        last = self.ids_BC.shape[1]
        columns_BK = columns_BK.masked_fill(columns_BK == ABSENT, last).sort(dim=1).values
        columns_BK = columns_BK.masked_fill(columns_BK == last, ABSENT)
        scores_BK = self.scores_BC.gather(1, columns_BK.clamp(min=0)).masked_fill(
            columns_BK == ABSENT, -torch.inf
        )
        by_score_BK = scores_BK.sort(dim=1, descending=True, stable=True).indices
        return self.pick(columns_BK.gather(1, by_score_BK))

    def with_front(self, front: Pool) -> Pool:
        """Return all candidates: those of ``front`` in its order, then the others in this pool's order."""
        chosen_BC = (self.ids_BC[:, :, None] == front.ids_BC[:, None]).any(2) & self.present_BC
        last = self.ids_BC.shape[1]
        ids_BX = torch.cat([front.ids_BC, self.ids_BC.masked_fill(chosen_BC, ABSENT)], 1)
        scores_BX = torch.cat([front.scores_BC, self.scores_BC.masked_fill(chosen_BC, -torch.inf)], 1)
        order_BX = (ids_BX == ABSENT).int().sort(dim=1, stable=True).indices[:, :last]
        return Pool(ids_BX.gather(1, order_BX), scores_BX.gather(1, order_BX), self.histories)

    def reordered(self, scores_BC: Tensor, k: int) -> Pool:
        """Return the k candidates with the highest new scores, which replace the old ones.

        Ties keep the pool's order; a candidate whose new score is -inf is left out.

        Args:
            scores_BC: (B, C) float32.
            k: candidates to keep; the pool's width at most.
        """
        usable_BC = self.present_BC & (scores_BC > -torch.inf)
        scores_BC = scores_BC.masked_fill(~usable_BC, -torch.inf)
        # Stable: equal scores stay in the order in which the recommender ranked them.
        order_BK = scores_BC.sort(dim=1, descending=True, stable=True).indices[:, :k]
        order_BK = torch.where(usable_BC.gather(1, order_BK), order_BK, ABSENT)
        return Pool(self.ids_BC, scores_BC, self.histories).pick(order_BK)


class Reranker(Component):
    """Base of rerankers: selects and orders k of a pool's candidates, for all users at once.

    With ``diversity`` 0, a reranker keeps the pool's order. Each user's result depends only on that user's
    row, unless the reranker keeps an account. Members are built from their options and the
    :class:`ItemTable` of a catalogue.
    """

    keeps_account: ClassVar[bool] = False
    """Whether lists depend on those shown before. Such a reranker is the last stage, gets all rows of a call
    at once, and implements :meth:`restarted` and :meth:`share_account`."""

    builds_set: ClassVar[bool] = False
    """Whether the first k are chosen as a set, which a stage that keeps an account gets in front."""

    def rerank(self, pool: Pool, k: int) -> Pool:
        """Return a pool of width min(k, C), the chosen candidates best first.

        Greedy rerankers keep each candidate's score, so that scores may no longer decrease along the list;
        rerankers that change scores return the new ones.
        """
        raise NotImplementedError("a reranker implements rerank()")

    def restarted(self) -> Reranker:
        """Return the same reranker, with an empty account if it keeps one."""
        return self

    def share_account(self, store: ExposureStore, item_ids: Sequence[str]) -> None:
        """Keep the account in a store from now on.

        Args:
            store: the store.
            item_ids: N original ids of the items.
        """
        raise NotImplementedError("a reranker that keeps an account implements share_account()")

    def rerank_lists(self, candidates: TopK, histories: Sequences, k: int) -> TopK:
        """Return the first k of given lists after reranking; see :func:`rerank_lists`."""
        return rerank_lists(candidates, histories, [self], k)


BATCH = 1024
"""Number of users per batch; bounds memory by BATCH * candidates * width of a vector."""


def reranking(stages: Sequence[Reranker]) -> Callable[[Pool, int], Pool]:
    """Turn a chain of rerankers into a function that finishes a pool.

    All stages but the last order the whole pool; before a stage that keeps an account, one that chooses a
    set orders the first k only.
    """

    def finish(pool: Pool, k: int) -> Pool:
        return stages[-1].rerank(_prepared(stages, pool, k), k)

    return finish


def keeps_account(stages: Sequence[Reranker]) -> bool:
    """Return whether lists of these stages depend on those shown before."""
    return bool(stages) and getattr(stages[-1], "keeps_account", False)


def _prepared(stages: Sequence[Reranker], pool: Pool, k: int) -> Pool:
    """Return the pool for the last stage."""
    for stage in stages[:-1]:
        if keeps_account(stages) and getattr(stage, "builds_set", False):
            pool = pool.with_front(stage.rerank(pool, k))
        else:
            pool = stage.rerank(pool, pool.ids_BC.shape[1])
    return pool


def rerank_lists(
    candidates: TopK,
    histories: Sequences,
    stages: Sequence[Reranker],
    k: int,
    device: torch.device | str = "cpu",
) -> TopK:
    """Rerank given lists.

    Args:
        candidates: (B, C) best first.
        histories: B rows.
        stages: rerankers in order.
        k: length of the resulting lists.
        device: device of the reranking.

    Returns:
        (B, k), ``ABSENT`` at the end of shorter rows.
    """
    if not keeps_account(stages):
        return _in_blocks(candidates, histories, reranking(stages), k, device)
    if len(stages) > 1:
        width = candidates.ids.shape[1]
        candidates = _in_blocks(
            candidates, histories, lambda pool, _: _prepared(stages, pool, k), width, device
        )
    # All rows at once: they are served in order of time.
    pool = Pool(torch.from_numpy(candidates.ids), torch.from_numpy(candidates.scores), histories)
    return _lists(stages[-1].rerank(pool, k), k)


def _in_blocks(
    candidates: TopK,
    histories: Sequences,
    finish: Callable[[Pool, int], Pool],
    k: int,
    device: torch.device | str,
) -> TopK:
    """Apply a function to blocks of rows; its first k are kept."""
    ids = np.full((len(candidates), k), -1, np.int64)
    scores = np.full((len(candidates), k), -np.inf, np.float32)
    for start in range(0, len(candidates), BATCH):
        rows = np.arange(start, min(start + BATCH, len(candidates)))
        pool = Pool(
            torch.from_numpy(candidates.ids[rows]).to(device),
            torch.from_numpy(candidates.scores[rows]).to(device),
            histories.take(rows),
        )
        found = _lists(finish(pool, k), k)
        ids[rows], scores[rows] = found.ids, found.scores
    return TopK(ids, scores)


def _lists(pool: Pool, k: int) -> TopK:
    """Return the first k of a pool; ``ABSENT`` after its end."""
    short = (0, max(k - pool.ids_BC.shape[1], 0))
    ids_BK = torch.nn.functional.pad(pool.ids_BC[:, :k], short, value=ABSENT)
    scores_BK = torch.nn.functional.pad(pool.scores_BC[:, :k], short, value=-torch.inf)
    return TopK(ids_BK.cpu().numpy(), scores_BK.cpu().numpy())


class TradeOff(ComponentOptions):
    """Options of rerankers that weigh relevance against another goal.

    Args:
        diversity: weight of the other goal: 0 keeps the pool's order.
        relevance: scale of relevance: ``minmax`` and ``softmax`` use the scores, ``rank`` the order alone,
            which is needed after a stage that keeps the scores.
    """

    keeps_scores: ClassVar[bool] = True
    """Whether candidates keep their scores although their order changes."""

    reorders: ClassVar[bool] = True
    """Whether candidates are sorted by a relevance, which must then be that of the pool's order."""

    diversity: float = Field(default=0.5, ge=0, le=1)
    relevance: Relevance = "minmax"


class SetTradeOff(TradeOff):
    """Options of rerankers that choose the items of a list as a set.

    Args:
        diversity: weight of the other goal: 0 keeps the pool's order.
        order: order of the list: as the items were chosen, or by ``score``. A set is as diverse in any order,
            and accuracy counts the first places most.
    """

    order: Order = "choice"

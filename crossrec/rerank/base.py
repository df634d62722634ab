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
from crossrec.types import ABSENT, Sequences, TopK

Relevance = Literal["minmax", "softmax", "rank"]
"""Scales of relevance; see :meth:`Pool.relevance`."""


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
    row. Members are built from their options and the :class:`ItemTable` of a catalogue.
    """

    def rerank(self, pool: Pool, k: int) -> Pool:
        """Return a pool of width min(k, C), the chosen candidates best first.

        Greedy rerankers keep each candidate's score, so that scores may no longer decrease along the list;
        rerankers that change scores return the new ones.
        """
        raise NotImplementedError("a reranker implements rerank()")

    def rerank_lists(self, candidates: TopK, histories: Sequences, k: int) -> TopK:
        """Return the first k of given lists after reranking; see :func:`rerank_lists`."""
        return rerank_lists(candidates, histories, [self], k)


BATCH = 1024
"""Number of users per batch; bounds memory by BATCH * candidates * width of a vector."""


def reranking(stages: Sequence[Reranker]) -> Callable[[Pool, int], Pool]:
    """Turn a chain of rerankers into a function that finishes a pool; all but the last order all of it."""

    def finish(pool: Pool, k: int) -> Pool:
        for number, stage in enumerate(stages):
            pool = stage.rerank(pool, k if number == len(stages) - 1 else pool.ids_BC.shape[1])
        return pool

    return finish


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
    ids = np.full((len(candidates), k), -1, np.int64)
    scores = np.full((len(candidates), k), -np.inf, np.float32)
    finish = reranking(stages)
    for start in range(0, len(candidates), BATCH):
        rows = np.arange(start, min(start + BATCH, len(candidates)))
        pool = Pool(
            torch.from_numpy(candidates.ids[rows]).to(device),
            torch.from_numpy(candidates.scores[rows]).to(device),
            histories.take(rows),
        )
        pool = finish(pool, k)
        width = min(k, pool.ids_BC.shape[1])
        ids[rows, :width] = pool.ids_BC[:, :width].cpu().numpy()
        scores[rows, :width] = pool.scores_BC[:, :width].cpu().numpy()
    return TopK(ids, scores)


class TradeOff(ComponentOptions):
    """Options of rerankers that weigh relevance against another goal.

    Args:
        diversity: weight of the other goal: 0 keeps the pool's order.
        relevance: scale of relevance: ``minmax`` and ``softmax`` use the scores, ``rank`` the order alone,
            which is needed after a stage that keeps the scores.
    """

    keeps_scores: ClassVar[bool] = True
    """Whether candidates keep their scores although their order changes."""

    diversity: float = Field(default=0.5, ge=0, le=1)
    relevance: Relevance = "minmax"

"""Greedy rerankers: relevance, and each candidate's gain in diversity over the items already chosen.

The result is exact, but computed in blocks of users whose vectors fit the processor's cache, at first with
the front of their pools only. If relevance alone rules out all candidates behind the front, the list is
final; the other users start again with a larger front, and at last with the whole pool.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol

import torch
from pydantic import Field
from torch import Tensor

from crossrec.data.item_table import ItemTable
from crossrec.rerank.base import Pool, Reranker, SetTradeOff
from crossrec.rerank.spaces import PoolSimilarity, Space, space_named, users_at_once
from crossrec.types import ABSENT

TIE = 1e-6
"""Tolerance of ties: of candidates whose objectives differ by no more, the earlier one wins."""


FRONT_SHARE, LARGEST_FRONT, EVEN = 0.16, 0.6, 8
"""Share of a pool that is tried first, rounded up to multiples that suit matrix products; it is doubled
repeatedly, up to the largest share."""


TRIAL, WORTHWHILE = 64, 0.5
"""Number of users who try a front first; it is abandoned if fewer than this share of the lists are final."""


class Gain(Protocol):
    """Gains in diversity of each candidate over the items chosen so far, in B lists."""

    def now(self) -> Tensor:
        """Return (B, C) gains."""
        ...

    def choose(self, columns_B: Tensor) -> None:
        """Append the candidates in these columns to the lists."""
        ...


StartGain = Callable[[PoolSimilarity, Tensor, int], Gain]
"""Function that returns the gains of empty lists; see :meth:`GreedyReranker.gain`."""


class SimilarityTradeOff(SetTradeOff):
    """Options of rerankers that compare candidates with the items already chosen.

    Args:
        diversity: weight of dissimilarity to the items already chosen: 0 keeps the pool's order.
        order: order of the list: as the items were chosen, or by ``score``.
        space: similarity measure: ``category`` (overlap of categories), or the cosine of item vectors,
            ``text``, ``image``, ``behaviour`` (co-clicks) or ``model``.
    """

    diversity: float = Field(default=0.3, ge=0, le=1)
    space: str = "category"


class GreedyReranker(Reranker):
    """Base of greedy rerankers by similarity, whose objective is (1 - diversity) relevance + diversity gain.

    Subclasses implement :meth:`gain`. The most relevant candidate comes first; unknown candidates are
    similar to none; ties go to the better ranked.

    Args:
        options: weight of diversity, scale of relevance, and the space of similarities.
        items: features of the catalogue's items.

    Raises:
        InputError: if the items have no such space.
    """

    builds_set = True

    def __init__(self, options: SimilarityTradeOff, items: ItemTable) -> None:
        self._trade_off = options
        self._space = space_named(options.space, items)
        self.ceiling = torch.inf
        """Upper bound of all gains; ``inf`` if there is none."""

    def gain(self, similarity: PoolSimilarity, like_BC: Tensor, k: int) -> Gain:
        """Return the gains for empty lists.

        Args:
            similarity: similarities among the candidates.
            like_BC: relevance, for shape, type and device.
            k: length that the lists will have.
        """
        raise NotImplementedError("a greedy reranker implements gain()")

    def rerank(self, pool: Pool, k: int) -> Pool:
        """Return a pool of width min(k, C), candidates as they were chosen or by score."""
        return rerank_greedily(pool, k, self._trade_off, self._space, self.gain, self.ceiling)


def rerank_greedily(
    pool: Pool, k: int, options: SetTradeOff, space: Space, start: StartGain, ceiling: float
) -> Pool:
    """Choose k times the candidate with the highest (1 - diversity) * relevance + diversity * gain.

    Args:
        pool: (B, C).
        k: length of the lists; C at most.
        options: weight of diversity, and scale of relevance.
        space: similarity of items.
        start: gains of empty lists.
        ceiling: upper bound of all gains; ``inf`` if there is none.

    Returns:
        The chosen candidates with their scores, in the order of the options.
    """
    k = min(k, pool.ids_BC.shape[1])
    if options.diversity == 0 or not pool.ids_BC[:, :k].numel():
        return pool.head(k)
    worth_BC = (1 - options.diversity) * pool.relevance(options.relevance)
    worth_BC = worth_BC.masked_fill(~pool.present_BC, -torch.inf)
    choice = _Choice(pool.ids_BC, worth_BC, options.diversity, space, start, k)
    return pool.pick_set(choice.final(ceiling), options.order)


def take_best(values_BC: Tensor, open_BC: Tensor) -> Tensor:
    """Return (B,) column of the highest value among those still open, the first within ``TIE``, and close it.

    It is ``ABSENT``, which as an index means a row's last column, where none is open.

    Args:
        values_BC: (B, C) float32.
        open_BC: (B, C) bool, changed.
    """
    values_BC = values_BC.masked_fill(~open_BC, -torch.inf)
    chosen_B1 = (values_BC >= values_BC.amax(1, keepdim=True) - TIE).max(1, keepdim=True).indices
    chosen_B1 = torch.where(open_BC.gather(1, chosen_B1), chosen_B1, ABSENT)
    open_BC.scatter_(1, chosen_B1.clamp(min=0), False)
    return chosen_B1[:, 0]


class _Choice:
    """The choice of k candidates each, for B users."""

    def __init__(
        self, ids_BC: Tensor, worth_BC: Tensor, diversity: float, space: Space, start: StartGain, k: int
    ) -> None:
        self._ids_BC, self._worth_BC, self._diversity = ids_BC, worth_BC, diversity
        self._space, self._start, self._k = space, start, k

    def final(self, ceiling: float) -> Tensor:
        """Return (B, k) columns, ``ABSENT`` where a list ran out.

        Args:
            ceiling: upper bound of all gains.
        """
        n_users, n_candidates = self._ids_BC.shape
        columns_BK = self._ids_BC.new_full((n_users, self._k), ABSENT)
        open_B = torch.arange(n_users, device=self._ids_BC.device)
        width = math.ceil(max(1.5 * self._k, FRONT_SHARE * n_candidates) / EVEN) * EVEN
        while ceiling < torch.inf and width < LARGEST_FRONT * n_candidates:
            behind_B = self._worth_BC[:, width:].amax(1) + self._diversity * ceiling
            open_B = self._decide(open_B, width, behind_B, columns_BK)
            width *= 2
        for rows_B in self._blocks(open_B, n_candidates):
            columns_BK[rows_B] = self._greedy(rows_B, n_candidates)[0]
        return columns_BK

    def _decide(self, open_B: Tensor, width: int, behind_B: Tensor, columns_BK: Tensor) -> Tensor:
        """Fill lists from the front of the pool, and return the rows for which it does not suffice.

        Args:
            open_B: rows to fill in.
            width: width of the front.
            behind_B: upper bound of all objectives behind the front.
            columns_BK: columns of all rows, filled in place.
        """
        parts = (*self._blocks(open_B[:TRIAL], width), *self._blocks(open_B[TRIAL:], width))
        still_open = [open_B[:0]]
        for number, rows_B in enumerate(parts):
            columns_BK[rows_B], least_B = self._greedy(rows_B, width)
            still_open.append(rows_B[least_B < behind_B[rows_B]])
            if len(still_open[-1]) > (1 - WORTHWHILE) * len(rows_B):
                return torch.cat([*still_open, *parts[number + 1 :]])
        return torch.cat(still_open)

    def _greedy(self, rows_B: Tensor, width: int) -> tuple[Tensor, Tensor]:
        """Return (B, k) columns chosen from the first ``width``, and (B,) the lowest objective among them."""
        worth_BC = self._worth_BC[rows_B, :width]
        gain = self._start(self._space.of(self._ids_BC[rows_B, :width]), worth_BC, self._k)
        columns, tops = [], []
        for step in range(self._k):
            objective_BC = torch.add(worth_BC, gain.now(), alpha=self._diversity)
            top_B1 = objective_BC.amax(1, keepdim=True)
            column_B1 = (objective_BC >= top_B1 - TIE).max(1, keepdim=True).indices
            tops.append(top_B1)
            columns.append(column_B1)
            if step < self._k - 1:
                worth_BC.scatter_(1, column_B1, -torch.inf)
                gain.choose(column_B1[:, 0])
        top_BK, column_BK = torch.cat(tops, 1), torch.cat(columns, 1)
        return torch.where(top_BK > -torch.inf, column_BK, ABSENT), top_BK.amin(1)

    def _blocks(self, rows_B: Tensor, width: int) -> tuple[Tensor, ...]:
        """Return blocks of rows whose users are processed together."""
        size = users_at_once(self._space.cells(width), rows_B.device)
        return rows_B.split(size) if len(rows_B) else ()

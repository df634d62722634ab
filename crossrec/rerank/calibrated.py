"""Calibrated lists: categories in the proportions of the user's history."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor

from crossrec.data.item_table import ItemTable
from crossrec.rerank.aspects import category_aspects, gathered
from crossrec.rerank.base import Pool, Reranker, SetTradeOff
from crossrec.rerank.greedy import take_best
from crossrec.types import ABSENT


class Calibrated(Reranker):
    """Calibration: greedily takes the candidate i that, with the chosen S, gives the highest

    ``(1 - diversity) * sum over S + i of relevance - diversity * KL(p || q')``

    in nats, with p and q' as in the metric ``calibration``: KL = sum_g p_g ln(p_g / q'_g) and
    q' = (1 - smoothing) q + smoothing p; p averages p(g|i) over the history's clicks, q over S + i; p(g|i)
    is spread evenly over the item's categories; items without a category are left out. Where the metric
    is undefined, the reranker needs a number: a list without categories has q = 0, hence the greatest
    divergence, -ln(smoothing); a history without categories has KL = 0. Ties go to the better ranked.

    ``diversity`` is the source's lambda.

    Source:
        Steck: Calibrated recommendations (RecSys 2018), the greedy method and the metric C_KL, without
        weights of clicks and ranks.

    Args:
        options: diversity, relevance and smoothing.
        items: features of the catalogue's items; categories are used.

    Raises:
        InputError: if the catalogue has no categories.
    """

    builds_set = True

    class Options(SetTradeOff):
        """Calibration: categories in the proportions of the user's history.

        Args:
            smoothing: alpha, weight of the history's distribution in the list's; the metric has 0.01.
        """

        smoothing: float = Field(default=0.01, gt=0, lt=1)

    def __init__(self, options: Options, items: ItemTable) -> None:
        self._options = options
        self._aspects = category_aspects(items, "calibrated")

    def rerank(self, pool: Pool, k: int) -> Pool:
        """Return a pool of width min(k, C), candidates as they were chosen or by score."""
        diversity = self._options.diversity
        if diversity == 0:
            return pool.head(k)
        relevance_BC = (1 - diversity) * pool.relevance(self._options.relevance)
        mass_BG = self._aspects.mass(pool.histories)
        # Rows without categories stay zero.
        wanted_BG = mass_BG / mass_BG.sum(1, keepdim=True).clamp(min=torch.finfo(torch.float32).tiny)
        state = _Divergence(
            wanted_BG,
            self._aspects.of(pool.ids_BC),
            self._aspects.share(pool.ids_BC),
            self._options.smoothing,
        )
        open_BC = pool.present_BC.clone()
        columns_BK = torch.full_like(pool.ids_BC[:, :k], ABSENT)
        for step in range(columns_BK.shape[1]):
            # The relevance of S is the same for all candidates.
            divergence_BC = state.with_each()
            columns_BK[:, step] = take_best(relevance_BC - diversity * divergence_BC, open_BC)
            state.add(columns_BK[:, step], divergence_BC)
        return pool.pick_set(columns_BK, self._options.order)


class _Divergence:
    """KL(p || q') of a growing list, for every candidate that could come next.

    Adding an item changes q in its own categories, and everywhere by one factor: so a step costs M
    logarithms per candidate and G per list, not G per candidate.

    Args:
        wanted_BG: (B, G + 1) p; column G is 0.
        lists_BCM: (B, C, M) categories of the candidates, filled up with G.
        share_BC: (B, C) p(g|i) in each of an item's categories, 0 for an item without.
        smoothing: alpha.
    """

    def __init__(self, wanted_BG: Tensor, lists_BCM: Tensor, share_BC: Tensor, smoothing: float) -> None:
        self._wanted_BG, self._lists_BCM, self._share_BC = wanted_BG, lists_BCM, share_BC
        self._smoothing = smoothing
        self._wanted_BCM = gathered(wanted_BG, lists_BCM)
        self._mass_BG = torch.zeros_like(wanted_BG)
        self._length_B1 = torch.zeros_like(wanted_BG[:, :1])
        self._entropy_B1 = torch.xlogy(wanted_BG, wanted_BG).sum(1, keepdim=True)
        self._now_B1 = self._entropy_B1 - self._cross(wanted_BG, self._mass_BG).sum(1, keepdim=True)

    def with_each(self) -> Tensor:
        """Return the (B, C) divergence of the list with each candidate added to it."""
        longer_B1 = self._length_B1 + 1
        others_BG = self._cross(self._wanted_BG, self._mass_BG / longer_B1)
        own_BCM = gathered(self._mass_BG, self._lists_BCM) + self._share_BC[:, :, None]
        change_BCM = self._cross(self._wanted_BCM, own_BCM / longer_B1[:, :, None])
        change_BCM = change_BCM - gathered(others_BG, self._lists_BCM)
        added_BC = self._entropy_B1 - others_BG.sum(1, keepdim=True) - change_BCM.sum(2)
        return torch.where(self._share_BC > 0, added_BC, self._now_B1)

    def add(self, columns_B: Tensor, divergence_BC: Tensor) -> None:
        """Add one candidate to each list.

        Args:
            columns_B: (B,) the candidate's column.
            divergence_BC: result of :meth:`with_each`.
        """
        rows_B = torch.arange(len(columns_B), device=columns_B.device)
        share_B1 = self._share_BC[rows_B, columns_B][:, None]
        lists_BM = self._lists_BCM[rows_B, columns_B]
        self._mass_BG.scatter_add_(1, lists_BM, share_B1.expand(lists_BM.shape))
        self._length_B1 = self._length_B1 + (share_B1 > 0)
        self._now_B1 = divergence_BC[rows_B, columns_B][:, None]

    def _cross(self, wanted: Tensor, listed: Tensor) -> Tensor:
        """Return p ln q', 0 where p is 0."""
        return torch.xlogy(wanted, (1 - self._smoothing) * listed + self._smoothing * wanted)

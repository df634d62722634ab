"""xQuAD: covers what a user is interested in, in proportion, and not twice; and items as sets of aspects."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from crossrec.rerank.base import Pool
from crossrec.rerank.greedy import TIE
from crossrec.types import ABSENT, Sequences

if TYPE_CHECKING:
    from crossrec.rerank.intent_config import XQuADConfig


class Aspects:
    """Which of G aspects (categories, or head and tail) each item has, as short lists of M places.

    Few items have many aspects, so that lists cost far less than rows of G. Places beyond an item's aspects
    hold G, a column that exists in every table of aspects and is never asked about.

    Args:
        member_NG: (N, G), above 0 where the item has the aspect.
    """

    def __init__(self, member_NG: Tensor) -> None:
        n_items, self.n_aspects = member_NG.shape
        item_P, aspect_P = torch.nonzero(member_NG > 0, as_tuple=True)
        # One row more than there are items: what -1, an absent candidate, indexes.
        count_N = torch.bincount(item_P, minlength=n_items + 1)
        place_P = torch.arange(len(item_P), device=item_P.device) - (count_N.cumsum(0) - count_N)[item_P]
        width = int(count_N.max().clamp(min=1))
        self._lists_NM = torch.full(
            (n_items + 1, width), self.n_aspects, dtype=torch.int64, device=item_P.device
        )
        self._lists_NM[item_P, place_P] = aspect_P
        self._share_N = torch.where(count_N > 0, 1 / count_N.clamp(min=1), 0)
        self._lists_on_host, self._share_on_host = self._lists_NM.cpu().numpy(), self._share_N.cpu().numpy()

    def of(self, ids_BC: Tensor) -> Tensor:
        """(B, C, M) aspects of items, filled up with G."""
        return self._lists_NM[ids_BC]

    def share(self, ids_BC: Tensor) -> Tensor:
        """(B, C) float32, one over the number of an item's aspects; 0 without any, and where absent."""
        return self._share_N[ids_BC]

    def of_clicks(self, histories: Sequences) -> np.ndarray:
        """(T, M) aspects of each click's item, filled up with G."""
        return self._lists_on_host[histories.items]

    def mass(self, histories: Sequences) -> Tensor:
        """(B, G + 1) clicks on each aspect, each spread evenly over its item's aspects; column G is 0."""
        # On the host: sums in the order of the clicks, the same on every device and for any B.
        row_T = np.repeat(np.arange(len(histories)), histories.lengths)
        flat_TM = row_T[:, None] * (self.n_aspects + 1) + self.of_clicks(histories)
        weight_TM = np.broadcast_to(self._share_on_host[histories.items][:, None], flat_TM.shape)
        shape = (len(histories), self.n_aspects + 1)
        mass = np.bincount(flat_TM.ravel(), weight_TM.ravel(), minlength=shape[0] * shape[1]).reshape(shape)
        mass[:, -1] = 0
        return torch.from_numpy(mass).to(self._share_N)

    def clicks(self, counts_N: np.ndarray) -> Tensor:
        """(G + 1,) clicks on each aspect in total, each spread evenly over its item's aspects; column G is 0.

        Args:
            counts_N: (N,) clicks of each item.
        """
        weight_NM = np.broadcast_to(
            (self._share_on_host[:-1] * counts_N)[:, None], self._lists_on_host[:-1].shape
        )
        mass = np.bincount(self._lists_on_host[:-1].ravel(), weight_NM.ravel(), minlength=self.n_aspects + 1)
        mass[-1] = 0
        return torch.from_numpy(mass).to(self._share_N)


class XQuAD:
    """Greedily takes the candidate with the highest

    ``(1 - diversity) * relevance + diversity * sum_g P(g|u) P(i|g) left_g``

    g runs over aspects: the categories, or head and tail. P(g|u) is the user's interest in g,
    ``(clicks on g + prior_clicks * prior_g) / (clicks + prior_clicks)``: clicks of the history are spread
    evenly over their item's aspects, those on items without one don't count, and prior_g is the share that
    g has of the training clicks, each item's plus one. An empty history has the prior's interests. P(i|g)
    is 1 over the number of i's aspects (``share``) or 1 (``membership``) where i has aspect g, else 0.
    left_g says how much of g the chosen items S leave to cover: the product over S of 1 - P(j|g)
    (``product``), or 1 minus the mean over S of P(j|g) (``share``). Ties go to the better ranked.

    ``diversity`` is the sources' lambda.

    Source:
        Santos, Macdonald, Ounis: Exploiting query reformulations for web search result diversification
        (WWW 2010); for head and tail, and for redundancy as a share, Abdollahpouri,
        Burke, Mobasher: Managing popularity bias in recommender systems with personalized re-ranking
        (FLAIRS 2019), who use ``membership`` and call the two ways binary and smooth.

    Args:
        options: the configuration.
        aspects: of the catalogue's items.
        counts_N: (N,) training clicks.
    """

    def __init__(self, options: XQuADConfig, aspects: Aspects, counts_N: np.ndarray) -> None:
        self._options = options
        self._aspects = aspects
        prior_G = aspects.clicks(counts_N + 1)
        self._prior_G = prior_G / prior_G.sum().clamp(min=torch.finfo(torch.float32).tiny)

    def interest(self, histories: Sequences) -> Tensor:
        """(B, G + 1) P(g|u) of each history; column G is 0."""
        mass_BG = self._aspects.mass(histories)
        prior_clicks = self._options.prior_clicks
        total_B1 = mass_BG.sum(1, keepdim=True) + prior_clicks
        return (mass_BG + prior_clicks * self._prior_G) / total_B1

    def rerank(self, pool: Pool, k: int) -> Pool:
        """A pool of width min(k, C), the chosen candidates in the order in which they were chosen."""
        diversity = self._options.diversity
        if diversity == 0:
            return first(pool, k)
        lists_BCM = self._aspects.of(pool.ids_BC)
        cover_BC = self._aspects.share(pool.ids_BC)
        if self._options.coverage == "membership":
            cover_BC = (cover_BC > 0).to(cover_BC)
        interest_BG = self.interest(pool.histories)
        relevance_BC = (1 - diversity) * pool.relevance(self._options.relevance)
        left_BG = torch.ones_like(interest_BG)
        covered_BG = torch.zeros_like(interest_BG)
        open_BC, rows_B = pool.present_BC.clone(), torch.arange(len(pool), device=pool.ids_BC.device)
        columns_BK = torch.full_like(pool.ids_BC[:, :k], ABSENT)
        for step in range(columns_BK.shape[1]):
            gain_BC = gathered(interest_BG * left_BG, lists_BCM).sum(2) * cover_BC
            chosen_B = take_best(relevance_BC + diversity * gain_BC, open_BC)
            columns_BK[:, step] = chosen_B
            lists_BM, cover_BM = lists_BCM[rows_B, chosen_B], cover_BC[rows_B, chosen_B][:, None]
            cover_BM = cover_BM.expand(lists_BM.shape)
            if self._options.redundancy == "product":
                left_BG.scatter_(1, lists_BM, left_BG.gather(1, lists_BM) * (1 - cover_BM))
            else:
                covered_BG.scatter_add_(1, lists_BM, cover_BM)
                left_BG = 1 - covered_BG / (step + 1)
        return pool.pick(columns_BK)


def first(pool: Pool, k: int) -> Pool:
    """The first k candidates as they are."""
    return Pool(pool.ids_BC[:, :k], pool.scores_BC[:, :k], pool.histories)


def gathered(table_BG: Tensor, lists_BCM: Tensor) -> Tensor:
    """(B, C, M) entries of each row's table at the aspects of its candidates."""
    return table_BG.gather(1, lists_BCM.flatten(1)).view(lists_BCM.shape)


def take_best(values_BC: Tensor, open_BC: Tensor) -> Tensor:
    """(B,) column of the highest value among those still open, the first within ``TIE``; closes it.

    ``ABSENT``, which as an index means a row's last column, where none is open.

    Args:
        values_BC: (B, C) float32.
        open_BC: (B, C) bool, changed.
    """
    values_BC = values_BC.masked_fill(~open_BC, -torch.inf)
    chosen_B1 = (values_BC >= values_BC.amax(1, keepdim=True) - TIE).max(1, keepdim=True).indices
    chosen_B1 = torch.where(open_BC.gather(1, chosen_B1), chosen_B1, ABSENT)
    open_BC.scatter_(1, chosen_B1.clamp(min=0), False)
    return chosen_B1[:, 0]

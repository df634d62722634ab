"""xQuAD: covers the user's interests in proportion, with little redundancy."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from crossrec.data.item_table import ItemTable, tail_items
from crossrec.rerank.aspects import Aspects, category_aspects, gathered
from crossrec.rerank.base import Pool, Reranker, SetTradeOff
from crossrec.rerank.greedy import take_best
from crossrec.types import ABSENT, Sequences


class XQuAD(Reranker):
    """Explicit query aspect diversification: greedily takes the candidate with the highest

    ``(1 - diversity) * relevance + diversity * sum_g P(g|u) P(i|g) left_g``

    g runs over aspects: the categories, or head and tail. P(g|u) is the user's interest in g,
    ``(clicks on g + prior_clicks * prior_g) / (clicks + prior_clicks)``: clicks of the history are spread
    evenly over their item's aspects, those on items without one don't count, and prior_g is the share that
    g has of the training clicks, each item's plus one. An empty history has the prior's interests. P(i|g)
    is 1 over the number of i's aspects (``share``) or 1 (``membership``) where i has aspect g, else 0.
    left_g is the part of g that the chosen items S leave to cover: the product over S of 1 - P(j|g)
    (``product``), or 1 minus the mean over S of P(j|g) (``share``). Ties go to the better ranked.

    ``diversity`` is the sources' lambda.

    Source:
        Santos, Macdonald, Ounis: Exploiting query reformulations for web search result diversification
        (WWW 2010); for head and tail, and for redundancy as a share, Abdollahpouri,
        Burke, Mobasher: Managing popularity bias in recommender systems with personalized re-ranking
        (FLAIRS 2019), who use ``membership`` and call the two ways binary and smooth.

    Args:
        options: diversity, relevance, aspects, coverage, redundancy, prior clicks and share of the tail.
        items: features of the catalogue's items; categories and training clicks are used.

    Raises:
        InputError: if aspects are categories and the catalogue has none.
    """

    builds_set = True

    class Options(SetTradeOff):
        """Explicit query aspect diversification (xQuAD): the user's interests in proportion, none too often.

        Args:
            aspects: kind of interests: the catalogue's categories, or ``popularity``, head and tail items.
            coverage: part of each aspect that an item of n aspects covers: 1 / n (``share``) or all
                (``membership``).
            redundancy: part of an aspect that is left: the ``product`` of the parts that each chosen item
                leaves, or their mean (``share``). A single item with ``membership`` uses up an aspect under
                the product, so use ``share`` for head and tail.
            prior_clicks: weight of the training clicks' shares of aspects, in clicks of the history.
            tail_share: largest share of the training clicks in the tail, for aspects by popularity.
        """

        aspects: Literal["category", "popularity"] = "category"
        coverage: Literal["share", "membership"] = "share"
        redundancy: Literal["product", "share"] = "product"
        prior_clicks: float = Field(default=1.0, gt=0)
        tail_share: float = Field(default=0.2, ge=0, le=1)

    def __init__(self, options: Options, items: ItemTable) -> None:
        self._options = options
        if options.aspects == "category":
            self._aspects = category_aspects(items, "xquad")
        else:
            tail_N = torch.from_numpy(tail_items(items.train_counts, options.tail_share))
            self._aspects = Aspects(torch.stack([~tail_N, tail_N], 1).to(items.device))
        prior_G = self._aspects.clicks(items.train_counts + 1)
        self._prior_G = prior_G / prior_G.sum().clamp(min=torch.finfo(torch.float32).tiny)

    def interest(self, histories: Sequences) -> Tensor:
        """Return (B, G + 1) P(g|u) of each history; column G is 0."""
        mass_BG = self._aspects.mass(histories)
        prior_clicks = self._options.prior_clicks
        total_B1 = mass_BG.sum(1, keepdim=True) + prior_clicks
        return (mass_BG + prior_clicks * self._prior_G) / total_B1

    def rerank(self, pool: Pool, k: int) -> Pool:
        """Return a pool of width min(k, C), candidates as they were chosen or by score."""
        diversity = self._options.diversity
        if diversity == 0:
            return pool.head(k)
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
        return pool.pick_set(columns_BK, self._options.order)

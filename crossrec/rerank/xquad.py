"""xQuAD: covers what a user is interested in, in proportion, and not twice."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from crossrec.rerank.aspects import Aspects, gathered
from crossrec.rerank.base import Pool
from crossrec.rerank.greedy import take_best
from crossrec.types import ABSENT, Sequences

if TYPE_CHECKING:
    from crossrec.rerank.intent_config import XQuADConfig


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
        return pool.pick(columns_BK)

"""Softmax exploration: lists from the Plackett-Luce model."""

from __future__ import annotations

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from crossrec.config import ComponentOptions
from crossrec.data.item_table import ItemTable
from crossrec.exploration.base import Explorer, Finish, PolicyLists, as_they_are
from crossrec.exploration.counter_rng import CounterRng, Stream
from crossrec.rerank.base import Pool
from crossrec.types import ABSENT

NODES = np.arange(-18.0, 4.5, 0.5)
"""Nodes of the integral over an item's arrival: logarithms of time, in units of its own mean."""


USERS_AT_ONCE = 64


class PlackettLuce(Explorer):
    """Plackett-Luce sampling: places are filled in order, each by a softmax over the remaining candidates.

    Drawn as the k largest of scores plus Gumbel noise. By scores, an item weighs exp(score / temperature); by
    rank, it weighs rank^(-1 / temperature), to be used after rerankers that keep scores in another order.

    Probabilities of places have no closed form. They are the integral, over the time at which an item arrives
    at the rate of its weight, of the probability that as many others came before as there are places before:
    by the trapezoidal rule in logarithmic time, exact to about 1e-7.

    Source:
        Plackett: The analysis of permutations (1975); Kool, van Hoof, Welling: Stochastic beams and where to
        find them (ICML 2019), section 2, for the Gumbel top-k; the integral is ours, from the exponential
        race behind both.

    Args:
        options: temperature, and whether items are weighed by rank.
        items: not used.
    """

    class Options(ComponentOptions):
        """Plackett-Luce exploration: lists drawn by a softmax, place by place.

        Args:
            temperature: low values follow the scores, high values draw uniformly.
            by_rank: whether candidates are weighed by their rank instead of their score.
        """

        temperature: float = Field(default=1.0, gt=0)
        by_rank: bool = False

    def __init__(self, options: Options, items: ItemTable) -> None:
        self._temperature, self._by_rank = options.temperature, options.by_rank

    def choose(
        self, pool: Pool, users_B: np.ndarray, k: int, rng: CounterRng, finish: Finish | None = None
    ) -> PolicyLists:
        """Return random lists; see :class:`crossrec.exploration.base.Explorer`."""
        pool = (finish or as_they_are)(pool, pool.ids_BC.shape[1])
        logits_BC = self._logits(pool)
        noise_BC = rng.gumbel(Stream.EXPLORE_ITEM, users_B, pool.ids_BC.cpu().numpy())
        noisy_BC = logits_BC + torch.from_numpy(noise_BC).to(logits_BC)
        columns_BK = noisy_BC.argsort(dim=1, descending=True, stable=True)[:, :k]
        columns_BK = torch.where(pool.present_BC.gather(1, columns_BK), columns_BK, ABSENT)
        placement_BK, inclusion_BK = _chances(logits_BC, columns_BK)
        log_list_B = _log_list(logits_BC, columns_BK)
        return PolicyLists(pool.pick(columns_BK), inclusion_BK, placement_BK, log_list_B)

    def _logits(self, pool: Pool) -> Tensor:
        scores_BC = pool.scores_BC.double()
        if self._by_rank:
            places_C = torch.arange(1, scores_BC.shape[1] + 1, device=scores_BC.device, dtype=torch.float64)
            scores_BC = (-places_C.log()).expand_as(scores_BC)
        logits_BC = (scores_BC / self._temperature).masked_fill(~pool.present_BC, -torch.inf)
        return logits_BC - logits_BC.amax(1, keepdim=True).clamp(min=-1e300)


def _log_list(logits_BC: Tensor, columns_BK: Tensor) -> np.ndarray:
    """Return the (B,) log of the product of the softmaxes of all places."""
    there_BK = columns_BK != ABSENT
    left_BC = logits_BC.clone()
    total_B = logits_BC.new_zeros(len(logits_BC))
    for place in range(columns_BK.shape[1]):
        column_B1 = columns_BK[:, place : place + 1].clamp(min=0)
        chosen_B = left_BC.gather(1, column_B1)[:, 0] - left_BC.logsumexp(1)
        total_B += torch.where(there_BK[:, place], chosen_B, 0.0)
        there_B1 = there_BK[:, place : place + 1]
        left_BC.scatter_(1, column_B1, torch.where(there_B1, -torch.inf, left_BC.gather(1, column_B1)))
    return total_B.cpu().numpy()


def _chances(logits_BC: Tensor, columns_BK: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Return (B, K) probabilities of being at this very place, and of being anywhere in the list."""
    placement_BK = np.ones(tuple(columns_BK.shape))
    inclusion_BK = np.ones(tuple(columns_BK.shape))
    for start in range(0, len(logits_BC), USERS_AT_ONCE):
        rows = slice(start, start + USERS_AT_ONCE)
        for place in range(columns_BK.shape[1]):
            before_BR = _arrivals_before(logits_BC[rows], columns_BK[rows, place], columns_BK.shape[1])
            there_B = (columns_BK[rows, place] != ABSENT).cpu().numpy()
            placement_BK[rows, place] = np.where(there_B, before_BR[:, place], 1.0)
            inclusion_BK[rows, place] = np.where(there_B, before_BR.sum(1), 1.0)
    return placement_BK, inclusion_BK


def _arrivals_before(logits_BC: Tensor, column_B: Tensor, k: int) -> np.ndarray:
    """Return the (B, k) probability that exactly 0 to k - 1 others arrive before the item in the column."""
    column_B1 = column_B.clamp(min=0)[:, None]
    nodes_G = torch.from_numpy(NODES).to(logits_BC)
    weights_G = (nodes_G - nodes_G.exp()).exp() * (NODES[1] - NODES[0])
    relative_BC = logits_BC - logits_BC.gather(1, column_B1)
    # The arrival probability is 1 - exp(-rate * time); the item itself must not count among the others.
    arrived_BCG = -torch.expm1(-(relative_BC[:, :, None] + nodes_G).exp())
    arrived_BCG.scatter_(1, column_B1[:, :, None].expand(-1, 1, len(nodes_G)), 0.0)
    counts_BRG = logits_BC.new_zeros(len(logits_BC), k, len(nodes_G))
    counts_BRG[:, 0] = 1.0
    for candidate in range(logits_BC.shape[1]):
        arrived_B1G = arrived_BCG[:, candidate : candidate + 1]
        moved_BRG = counts_BRG * arrived_B1G
        counts_BRG = counts_BRG - moved_BRG
        counts_BRG[:, 1:] += moved_BRG[:, :-1]
    return (counts_BRG @ weights_G).clamp(0, 1).cpu().numpy()

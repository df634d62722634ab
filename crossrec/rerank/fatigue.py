"""Fatigue: items and categories that were seen a moment ago wait until they are fresh again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from crossrec.rerank.aspects import Aspects, gathered
from crossrec.rerank.base import Pool
from crossrec.types import ABSENT, InputError, Sequences

if TYPE_CHECKING:
    from crossrec.rerank.fatigue_config import FatigueConfig


class Fatigue:
    """Ranks by ``relevance * (1 - diversity * tired)``, tired from 0 (fresh) to 1 (seen just now).

    ``tired = 1 - (1 - item) * (1 - category_weight * category)``: item is 2 ** (-gap / half_life) with the
    gap since the item was last seen in the history, 0 if it never was; category is the mean over the item's
    categories of the same with the gap since the category was last seen, 0 for an item without. So an item
    that may be recommended again decays by its own last click, a new one by those on its like alone.

    A gap in clicks is how many came after; in seconds, it is counted from the history's last click, since
    a list has no other time of its own. Either way the last click has a gap of 0. The new scores take the
    place of the old ones. Ties go to the better ranked.

    Source:
        Ours; exponential forgetting as in Ebbinghaus' curve. ``diversity`` is the share of an item's
        relevance that a click on it right now takes away.

    Args:
        options: the configuration.
        aspects: the categories of the catalogue's items.
    """

    def __init__(self, options: FatigueConfig, aspects: Aspects) -> None:
        self._options = options
        self._aspects = aspects

    def rerank(self, pool: Pool, k: int) -> Pool:
        """A pool of width min(k, C) with the new scores, best first.

        Raises:
            InputError: gaps in seconds, and the histories have no times.
        """
        diversity = self._options.diversity
        if diversity == 0:
            return pool.head(k)
        gaps_T = self._gaps(pool.histories)
        item_BC = self._forgotten(last_seen(pool.ids_BC, pool.histories, gaps_T))
        category_BC = torch.zeros_like(item_BC)
        if self._options.category_weight:
            seen_BG = self._forgotten(self._categories_last_seen(pool.histories, gaps_T)).to(item_BC)
            share_BC = self._aspects.share(pool.ids_BC)
            category_BC = gathered(seen_BG, self._aspects.of(pool.ids_BC)).sum(2) * share_BC
        tired_BC = 1 - (1 - item_BC) * (1 - self._options.category_weight * category_BC)
        relevance_BC = pool.relevance(self._options.relevance)
        return pool.reordered(relevance_BC * (1 - diversity * tired_BC), k)

    def _gaps(self, histories: Sequences) -> np.ndarray:
        """(T,) gap of each click, in clicks or seconds."""
        ends_T = np.repeat(np.asarray(histories.offsets)[1:], histories.lengths)
        if self._options.unit == "clicks":
            return (ends_T - 1 - np.arange(len(ends_T))).astype(np.float64)
        if histories.times is None:
            raise InputError("rerank: fatigue with unit 'seconds', but histories have no times; use 'clicks'")
        times_T = np.asarray(histories.times)
        return (times_T[ends_T - 1] - times_T).astype(np.float64)

    def _forgotten(self, gaps: Tensor) -> Tensor:
        """Float32 from 1, just now, to 0, never."""
        return torch.exp2(-gaps / self._options.half_life_in_unit).float()

    def _categories_last_seen(self, histories: Sequences, gaps_T: np.ndarray) -> Tensor:
        """(B, G + 1) gap since each category was last seen, infinite where it never was; so column G."""
        width = self._aspects.n_aspects + 1
        row_T = histories.row_of_click
        gap_BG = np.full((len(histories), width), np.inf)
        np.minimum.at(gap_BG, (row_T[:, None], self._aspects.of_clicks(histories)), gaps_T[:, None])
        gap_BG[:, -1] = np.inf
        return torch.from_numpy(gap_BG)


def last_seen(ids_BC: Tensor, histories: Sequences, gaps_T: np.ndarray) -> Tensor:
    """(B, C) float64 gap since each item was last in its row's history, infinite where it never was.

    Args:
        ids_BC: catalogue indices or ``ABSENT``.
        histories: B rows, oldest click first.
        gaps_T: gap of each click.
    """
    if not len(gaps_T):
        return torch.full(ids_BC.shape, torch.inf, dtype=torch.float64, device=ids_BC.device)
    device = ids_BC.device
    items_T = torch.from_numpy(np.asarray(histories.items, dtype=np.int64)).to(device)
    lengths_B = torch.from_numpy(np.asarray(histories.lengths)).to(device)
    row_B = torch.arange(len(histories), device=device)
    stride = int(torch.maximum(items_T.max(), ids_BC.max())) + 1
    # Sorted stably, an item's clicks in a row stay oldest first: the last of equal keys is the latest.
    keys_T, order_T = (row_B.repeat_interleave(lengths_B) * stride + items_T).sort(stable=True)
    wanted_BC = row_B[:, None] * stride + ids_BC
    place_BC = (torch.searchsorted(keys_T, wanted_BC, right=True) - 1).clamp(min=0)
    seen_BC = (keys_T[place_BC] == wanted_BC) & (ids_BC != ABSENT)
    gap_BC = torch.from_numpy(gaps_T).to(device)[order_T][place_BC]
    return torch.where(seen_BC, gap_BC, torch.inf)

"""Fatigue: a recency penalty for items and categories of the last clicks."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from crossrec.data.item_table import ItemTable
from crossrec.rerank.aspects import Aspects, gathered
from crossrec.rerank.base import Pool, Reranker, TradeOff
from crossrec.types import ABSENT, InputError, Sequences

HALF_LIVES = {"clicks": 10.0, "seconds": 7 * 86_400.0}
"""Default half-life in each unit."""


class Fatigue(Reranker):
    """Recency penalty: ranks by ``relevance * (1 - diversity * tired)``, tired from 0 to 1 (seen just now).

    ``tired = 1 - (1 - item) * (1 - category_weight * category)``: item is 2 ** (-gap / half_life) with the
    gap since the item's last click in the history, 0 if there is none; category is the mean over the item's
    categories of the same with the gap since the category's last click, 0 for an item without categories.
    So an item that may be recommended again depends on its own last click, a new item on its categories'.

    A gap in clicks is the number of later clicks; in seconds, it is counted from the history's last click,
    as a list has no time of its own. Either way the last click has a gap of 0. The new scores replace the
    old ones. Ties go to the better ranked.

    Source:
        Ours; exponential forgetting as in Ebbinghaus' curve. ``diversity`` is the share of its relevance
        that an item clicked just now loses.

    Args:
        options: diversity, relevance, unit, half-life and weight of categories.
        items: features of the catalogue's items; categories are used.

    Raises:
        InputError: if categories count and the catalogue has none.
    """

    class Options(TradeOff):
        """Fatigue (recency penalty): recently clicked items and categories move down.

        Args:
            unit: unit of gaps: later ``clicks``, or ``seconds`` before the last click.
            half_life: gap after which half of the fatigue is gone, in that unit; 10 clicks or a week if
                None.
            category_weight: weight of a category just clicked, relative to the item; 0 for items alone.
        """

        keeps_scores: ClassVar[bool] = False
        unit: Literal["clicks", "seconds"] = "clicks"
        half_life: float | None = Field(default=None, gt=0)
        category_weight: float = Field(default=0.5, ge=0, le=1)

        @property
        def half_life_in_unit(self) -> float:
            """Half-life in the unit of the gaps."""
            return HALF_LIVES[self.unit] if self.half_life is None else self.half_life

    def __init__(self, options: Options, items: ItemTable) -> None:
        if options.category_weight and not items.categories_NG.shape[1]:
            raise InputError(
                "rerank: fatigue uses categories too, but the catalogue has none; set category_weight: 0"
            )
        self._options = options
        self._aspects = Aspects(items.categories_NG)

    def rerank(self, pool: Pool, k: int) -> Pool:
        """Return a pool of width min(k, C) with the new scores, best first.

        Raises:
            InputError: if gaps are in seconds and the histories have no times.
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
        """Return the (T,) gap of each click, in clicks or seconds."""
        ends_T = np.repeat(np.asarray(histories.offsets)[1:], histories.lengths)
        if self._options.unit == "clicks":
            return (ends_T - 1 - np.arange(len(ends_T))).astype(np.float64)
        if histories.times is None:
            raise InputError("rerank: fatigue with unit 'seconds', but histories have no times; use 'clicks'")
        times_T = np.asarray(histories.times)
        return (times_T[ends_T - 1] - times_T).astype(np.float64)

    def _forgotten(self, gaps: Tensor) -> Tensor:
        """Return float32 values from 1, just now, to 0, never."""
        return torch.exp2(-gaps / self._options.half_life_in_unit).float()

    def _categories_last_seen(self, histories: Sequences, gaps_T: np.ndarray) -> Tensor:
        """Return the (B, G + 1) gap since each category's last click, infinite if none, as in column G."""
        width = self._aspects.n_aspects + 1
        row_T = histories.row_of_click
        gap_BG = np.full((len(histories), width), np.inf)
        np.minimum.at(gap_BG, (row_T[:, None], self._aspects.of_clicks(histories)), gaps_T[:, None])
        gap_BG[:, -1] = np.inf
        return torch.from_numpy(gap_BG)


def last_seen(ids_BC: Tensor, histories: Sequences, gaps_T: np.ndarray) -> Tensor:
    """Return the (B, C) float64 gap since each item was last in its row's history, infinite if never.

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

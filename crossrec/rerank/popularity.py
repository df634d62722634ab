"""Popularity-debiased lists."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch

from crossrec.data.item_table import ItemTable
from crossrec.rerank.base import Pool, Reranker, TradeOff


class PopularityDebias(Reranker):
    """Popularity debiasing: ranks by relevance mixed with novelty,

    ``(1 - diversity) * relevance + diversity * (1 - ln(1 + n_i) / ln(1 + n_max))``

    n_i is the item's number of training clicks, n_max the largest of the catalogue: novelty is 1 for an item
    never clicked and 0 for the most clicked one; 1 for all if there are no clicks. The new scores replace
    the old ones. Ties go to the better ranked.

    Source:
        Ours: a linear mix like the sources of the other rerankers, with the logarithm of the metric
        ``novelty``, mean -log2 p(i), scaled to [0, 1]. ``diversity`` is the weight of the mix.

    Args:
        options: diversity and relevance.
        items: features of the catalogue's items; training clicks are used.
    """

    class Options(TradeOff):
        """Popularity debiasing: less clicked items move up."""

        keeps_scores: ClassVar[bool] = False

    def __init__(self, options: Options, items: ItemTable) -> None:
        self._options = options
        counts_N = items.train_counts
        greatest = float(counts_N.max(initial=0))
        popularity_N = np.log1p(counts_N) / np.log1p(greatest) if greatest else np.zeros(len(counts_N))
        # One more row, for what -1 indexes.
        novelty_N = np.append(1 - popularity_N, 0).astype(np.float32)
        self._novelty_N = torch.from_numpy(novelty_N).to(items.device)

    def rerank(self, pool: Pool, k: int) -> Pool:
        """Return a pool of width min(k, C) with the new scores, best first."""
        diversity = self._options.diversity
        if diversity == 0:
            return pool.head(k)
        relevance_BC = pool.relevance(self._options.relevance)
        return pool.reordered((1 - diversity) * relevance_BC + diversity * self._novelty_N[pool.ids_BC], k)

"""Popularity-debiased lists."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from crossrec.rerank.base import Pool

if TYPE_CHECKING:
    from crossrec.rerank.intent_config import PopularityDebiasConfig


class PopularityDebias:
    """Ranks by ``(1 - diversity) * relevance + diversity * (1 - ln(1 + n_i) / ln(1 + n_max))``.

    n_i are the item's training clicks, n_max the most of any item of the catalogue: the novelty is 1 for an
    item never clicked and 0 for the most clicked one; 1 for all where nothing was clicked. The new scores
    take the place of the old ones. Ties go to the better ranked.

    Source:
        Ours: a linear mix like the sources of the other rerankers, with the logarithm that the novelty
        of a list, mean -log2 p(i), is made of, scaled to [0, 1]. ``diversity`` is the mix's weight.

    Args:
        options: the configuration.
        counts_N: (N,) training clicks.
        device: where pools are.
    """

    def __init__(self, options: PopularityDebiasConfig, counts_N: np.ndarray, device: torch.device) -> None:
        self._options = options
        greatest = float(counts_N.max(initial=0))
        popularity_N = np.log1p(counts_N) / np.log1p(greatest) if greatest else np.zeros(len(counts_N))
        # One more row, for what -1 indexes.
        novelty_N = np.append(1 - popularity_N, 0).astype(np.float32)
        self._novelty_N = torch.from_numpy(novelty_N).to(device)

    def rerank(self, pool: Pool, k: int) -> Pool:
        """A pool of width min(k, C) with the new scores, best first."""
        diversity = self._options.diversity
        if diversity == 0:
            return pool.head(k)
        relevance_BC = pool.relevance(self._options.relevance)
        return pool.reordered((1 - diversity) * relevance_BC + diversity * self._novelty_N[pool.ids_BC], k)

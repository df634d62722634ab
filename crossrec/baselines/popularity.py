"""Popularity: the number of training clicks, whatever the history."""

from __future__ import annotations

import numpy as np
import torch
from scipy.sparse import csr_matrix

from crossrec.baselines.base import Baseline
from crossrec.types import Sequences


class Popularity(Baseline):
    """Ranks items by training clicks; items without any come last, in catalogue order."""

    def __init__(self, n_items: int) -> None:
        super().__init__(n_items, "popularity")

    def _learn(self, clicks_UN: csr_matrix) -> None:
        counts = np.asarray(clicks_UN.sum(axis=0)).ravel()
        self._counts_N = torch.from_numpy(counts.astype(np.float32))

    def _score(self, histories: Sequences) -> torch.Tensor:
        # A copy for each row: the ranking loop masks seen items in place.
        return self._counts_N.repeat(len(histories), 1)

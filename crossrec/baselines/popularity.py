"""Popularity: the number of training clicks, whatever the history; all of them, or the recent ones."""

from __future__ import annotations

import numpy as np
import torch
from scipy.sparse import csr_matrix

from crossrec.baselines.base import Baseline
from crossrec.baselines.context import BaselineContext
from crossrec.types import InputError, Sequences

DAY = 86_400.0
"""Seconds."""

ORDER_BELOW = 1e8
"""Seconds (1973). Logs with smaller times count places in an order; they tell no date."""


class Popularity(Baseline):
    """Ranks items by training clicks; items without any come last, in catalogue order.

    Args:
        context: the catalogue.
        half_life_days: time in which a click loses half of its weight; None weighs all alike. Ages
            count from the last training click.
    """

    def __init__(self, context: BaselineContext, half_life_days: float | None = None) -> None:
        super().__init__(context.n_items, "popularity" if half_life_days is None else "recent popularity")
        self.half_life_days = half_life_days

    def _learn(self, train: Sequences, clicks_UN: csr_matrix) -> None:
        if self.half_life_days is None:
            counts = np.asarray(clicks_UN.sum(axis=0)).ravel()
        else:
            counts = decayed_counts(train, self.n_items, self.half_life_days, self.name)
        self._counts_N = torch.from_numpy(counts.astype(np.float32))

    def _score(self, histories: Sequences) -> torch.Tensor:
        # A copy for each row: the ranking loop masks seen items in place.
        return self._counts_N.repeat(len(histories), 1)


def has_times(train: Sequences) -> bool:
    """Whether the clicks have times in seconds, rather than none or places in an order."""
    return train.times is not None and float(train.times.max(initial=0)) >= ORDER_BELOW


def decayed_counts(train: Sequences, n_items: int, half_life_days: float, asker: str) -> np.ndarray:
    """(N,) float64 sum over an item's clicks of 2 ** (-age / half-life), ages from the last click.

    Raises:
        InputError: the clicks have no times, or an order in their place.
    """
    if train.times is None or not has_times(train):
        raise InputError(
            f"{asker} needs the times of the clicks in seconds, but the log has only their order; "
            "give it timestamps, or take the baseline 'popularity'"
        )
    ages = (float(train.times.max()) - train.times) / (half_life_days * DAY)
    return np.bincount(train.items, weights=np.exp2(-ages), minlength=n_items)

"""Popularity: weight of the training clicks, all of them or decayed by age."""

from __future__ import annotations

from typing import ClassVar, Self

import numpy as np
import torch
from pydantic import Field
from scipy.sparse import csr_matrix

from crossrec.baselines.base import Baseline, TunableOptions
from crossrec.data.item_table import ItemTable
from crossrec.types import InputError, Sequences

DAY = 86_400.0
"""One day in seconds."""

ORDER_BELOW = 1e8
"""Time in seconds (1973) below which times are positions in an order, not dates."""


class Popularity(Baseline):
    """Items by their number of training clicks; items without any come last, in catalogue order.

    Args:
        options: none.
        context: the catalogue.
    """

    class Options(TunableOptions):
        """The same list for all users: items by their number of training clicks."""

    label: ClassVar[str] = "popularity"

    def __init__(self, options: Options, items: ItemTable) -> None:
        super().__init__(items.n_items, self.label)
        self.options = options

    def _learn(self, train: Sequences, clicks_UN: csr_matrix) -> None:
        self._set_counts(np.asarray(clicks_UN.sum(axis=0)).ravel())

    def _set_counts(self, counts_N: np.ndarray) -> None:
        self._counts_N = torch.from_numpy(counts_N.astype(np.float32))

    def _score(self, histories: Sequences) -> torch.Tensor:
        # One copy per row: the ranking loop masks seen items in place.
        return self._counts_N.repeat(len(histories), 1)


class RecentPopularity(Popularity):
    """Popularity by clicks that lose weight with age; ages count from the last training click.

    Args:
        options: half-life.
        context: the catalogue.

    Raises:
        InputError: in ``fit``, if the clicks have no times in seconds.
    """

    class Options(Popularity.Options):
        """The same list for all users: items by training clicks that lose weight with age.

        Args:
            half_life_days: days in which a click loses half of its weight.
        """

        half_life_days: float = Field(default=30.0, gt=0)

        def grid(self) -> list[Self]:
            """Return the options that tuning tries."""
            return [
                self.model_copy(update={"half_life_days": half_life_days})
                for half_life_days in (1.0, 7.0, 30.0, 90.0, 365.0, 1825.0)
            ]

    options: Options
    label = "recent popularity"

    def _learn(self, train: Sequences, clicks_UN: csr_matrix) -> None:
        self._set_counts(decayed_counts(train, self.n_items, self.options.half_life_days, self.name))


def has_times(train: Sequences) -> bool:
    """Return whether the clicks have times in seconds, rather than none or places in an order."""
    return train.times is not None and float(train.times.max(initial=0)) >= ORDER_BELOW


def decayed_counts(train: Sequences, n_items: int, half_life_days: float, asker: str) -> np.ndarray:
    """Return (N,) float64 sum over clicks of weight * 2 ** (-age / half-life), ages from the last click.

    Raises:
        InputError: if the clicks have no times, or an order in their place.
    """
    if train.times is None or not has_times(train):
        raise InputError(
            f"{asker} needs the times of the clicks in seconds, but the log has only their order; "
            "give it timestamps, or use the baseline 'popularity'"
        )
    ages = (float(train.times.max()) - train.times) / (half_life_days * DAY)
    weights = np.exp2(-ages) if train.weights is None else np.exp2(-ages) * train.weights
    return np.bincount(train.items, weights=weights, minlength=n_items)

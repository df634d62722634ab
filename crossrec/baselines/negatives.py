"""Unclicked items, drawn for many clicks at once."""

from __future__ import annotations

import numpy as np

from crossrec.types import Sequences

ROUNDS = 20
"""Maximum number of redraws of clicked items; users who clicked nearly everything may keep one."""


class UnclickedSampler:
    """Sampler of items that a row of clicks lacks.

    Args:
        clicks: U rows.
        n_items: N, items in the catalogue.
        seed: seed of the draws.
        chances_N: probability of each item to be drawn; uniform when None.
    """

    def __init__(
        self, clicks: Sequences, n_items: int, seed: int, chances_N: np.ndarray | None = None
    ) -> None:
        self._n_items = n_items
        self._rng = np.random.default_rng(seed)
        self._keys = np.sort(clicks.row_of_click * n_items + clicks.items)
        self._steps_N = None if chances_N is None else np.cumsum(chances_N) / np.sum(chances_N)

    def draw(self, rows_T: np.ndarray) -> np.ndarray:
        """Return (T,) int64, one item for each of the rows (T,), which may repeat."""
        drawn = self._any(len(rows_T))
        wrong = np.arange(len(rows_T))
        for _ in range(ROUNDS):
            wanted = rows_T[wrong] * self._n_items + drawn[wrong]
            place = np.minimum(np.searchsorted(self._keys, wanted), len(self._keys) - 1)
            wrong = wrong[self._keys[place] == wanted]
            if not len(wrong):
                break
            drawn[wrong] = self._any(len(wrong))
        return drawn

    def _any(self, count: int) -> np.ndarray:
        if self._steps_N is None:
            return self._rng.integers(0, self._n_items, count)
        places = np.searchsorted(self._steps_N, self._rng.random(count), side="right")
        return np.minimum(places, self._n_items - 1)

"""Random numbers for many rows at once, each row's its own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crossrec.augment.base import SampleRng
from crossrec.random import GOLDEN, mix_bits


@dataclass(frozen=True)
class RowNumbers:
    """Uniform numbers of rows and of clicks: functions of seed, stream, the row's key and the click's place.

    So a row gets the same numbers whichever rows are worked on together, and no generator is made for it.

    Args:
        draws: of the samples; only seed and stream are read.
        keys: (B,) int64, one a row.

    Source:
        Steele et al. 2014, "Fast splittable pseudorandom number generators": the mixing function of
        SplitMix64, here of row and place instead of a counter.
    """

    draws: SampleRng
    keys: np.ndarray

    @classmethod
    def of(cls, draws: SampleRng) -> RowNumbers:
        """The numbers that belong to draws, whose keys must be whole numbers such as the users' rows."""
        return cls(draws, np.asarray(draws.keys, dtype=np.int64))

    def take(self, rows: np.ndarray) -> RowNumbers:
        """Those of some rows."""
        return RowNumbers(self.draws, self.keys[rows])

    def substream(self, *names: str | int) -> RowNumbers:
        """Other numbers for the same rows."""
        return RowNumbers(self.draws.substream(*names), self.keys)

    def rows(self, name: str) -> np.ndarray:
        """(B,) float64 in [0, 1), one a row.

        Args:
            name: what the numbers are for; another name gives others.
        """
        return _uniform(self._hashed_rows(name))

    def clicks(self, name: str, rows_T: np.ndarray, places_T: np.ndarray) -> np.ndarray:
        """(T,) float64 in [0, 1), one for each click of row ``rows_T`` at place ``places_T``."""
        hashed = self._hashed_rows(name)[rows_T]
        return _uniform(mix_bits(hashed + (places_T.astype(np.uint64) + np.uint64(1)) * np.uint64(GOLDEN)))

    def _hashed_rows(self, name: str) -> np.ndarray:
        base = self.draws.substream(name).shared().integers(2**64, dtype=np.uint64)
        return mix_bits(base + (self.keys.astype(np.uint64) + np.uint64(1)) * np.uint64(GOLDEN))


def _uniform(values: np.ndarray) -> np.ndarray:
    return (values >> np.uint64(11)).astype(np.float64) * 2.0**-53

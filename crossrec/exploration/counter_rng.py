"""Counter-based random numbers: a function of seed, purpose, round, user and index.

The same arguments give the same number, in any order, batch or process. So two policies that are simulated
with one seed share common random numbers, which reduces the variance of their difference.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from scipy.special import ndtri

from crossrec.random import GOLDEN, mix_bits

MASK = (1 << 64) - 1


class Stream(IntEnum):
    """Purposes of random numbers; the streams of one seed are independent."""

    PEOPLE = 1
    VISIT = 2
    EXAMINE = 3
    CLICK = 4
    BUY = 5
    LEAVE = 6
    DRIFT = 7
    PAIRS = 8
    NEGATIVES = 9
    EXPLORE = 20
    EXPLORE_ITEM = 21
    POSTERIOR = 22
    SUBSET = 23


@dataclass(frozen=True)
class CounterRng:
    """Counter-based random numbers of one round.

    Args:
        seed: seed of the whole simulation.
        round_number: number of the round, from 0.

    Source:
        Salmon et al.: Parallel random numbers: as easy as 1, 2, 3 (SC 2011), for the idea; the mixing
        function is that of Steele, Lea, Flood: Fast splittable pseudorandom number generators (OOPSLA 2014),
        applied to each counter in turn.
    """

    seed: int
    round_number: int

    def uniform(self, stream: Stream, users_B: np.ndarray, index: np.ndarray) -> np.ndarray:
        """Return uniform numbers inside (0, 1).

        Args:
            stream: purpose of the numbers.
            users_B: (B,) numbers of users, not negative.
            index: (K,) or (B, K) counters, -1 or more, such as places or items.

        Returns:
            (B, K) float64.
        """
        key = np.zeros(1, dtype=np.uint64)
        for part in (self.seed, int(stream), self.round_number):
            key = mix_bits(key + np.uint64((part + 1) * GOLDEN & MASK))
        users_B = np.asarray(users_B).astype(np.uint64)
        counters = (np.asarray(index).astype(np.int64) + 2).astype(np.uint64)
        of_user_B = mix_bits(key + users_B * np.uint64(GOLDEN))
        mixed_BK = mix_bits(of_user_B[:, None] + counters * np.uint64(GOLDEN))
        return ((mixed_BK >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53

    def normal(self, stream: Stream, users_B: np.ndarray, index: np.ndarray) -> np.ndarray:
        """Return (B, K) float64 standard normal numbers; arguments as in :meth:`uniform`."""
        return np.asarray(ndtri(self.uniform(stream, users_B, index)))

    def gumbel(self, stream: Stream, users_B: np.ndarray, index: np.ndarray) -> np.ndarray:
        """Return (B, K) float64 standard Gumbel numbers; arguments as in :meth:`uniform`."""
        return -np.log(-np.log(self.uniform(stream, users_B, index)))

"""Random numbers that are a function of what they are for: seed, purpose, round, user, index.

Whoever asks for the same number gets it, in any order, batch or process. So two policies that are simulated
with one seed share their users' luck, and their difference is not blurred by it (common random numbers).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from crossrec.random import GOLDEN, mix_bits

MASK = (1 << 64) - 1


class Stream(IntEnum):
    """What random numbers are for; the streams of one seed are independent."""

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
class Draws:
    """Counter-based random numbers of one round.

    Args:
        seed: of the whole simulation.
        round_number: from 0.

    Source:
        Salmon et al.: Parallel random numbers: as easy as 1, 2, 3 (SC 2011), for the idea; the mixing
        function is that of Steele, Lea, Flood: Fast splittable pseudorandom number generators (OOPSLA 2014),
        applied to each counter in turn.
    """

    seed: int
    round_number: int

    def uniform(self, stream: Stream, users_B: np.ndarray, index: np.ndarray) -> np.ndarray:
        """Uniform numbers inside (0, 1).

        Args:
            stream: what they are for.
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
        """(B, K) float64 standard normal numbers; arguments as of :meth:`uniform`."""
        from scipy.special import ndtri

        return np.asarray(ndtri(self.uniform(stream, users_B, index)))

    def gumbel(self, stream: Stream, users_B: np.ndarray, index: np.ndarray) -> np.ndarray:
        """(B, K) float64 standard Gumbel numbers; arguments as of :meth:`uniform`."""
        return -np.log(-np.log(self.uniform(stream, users_B, index)))

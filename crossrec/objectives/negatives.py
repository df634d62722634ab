"""Where sampled negatives come from."""

from __future__ import annotations

import numpy as np
import torch

from crossrec.objectives.config import Distribution, SampledSoftmaxConfig


class NegativeSampler:
    """Draws catalogue indices from a fixed distribution q, with replacement.

    Args:
        q_N: probability of each item; must be positive somewhere, need not sum to 1.
        negatives: K, items drawn at once.

    Raises:
        ValueError: q is negative somewhere, not finite, or zero everywhere.
    """

    def __init__(self, q_N: np.ndarray, negatives: int) -> None:
        q = np.asarray(q_N, dtype=np.float64)
        if q.ndim != 1 or not np.isfinite(q).all() or (q < 0).any() or q.sum() <= 0:
            raise ValueError("the sampling distribution must be finite, not negative, and positive somewhere")
        self.negatives = negatives
        self.q_N = q / q.sum()
        self._cumulative_N = torch.from_numpy(np.cumsum(self.q_N))
        # Rounding may leave the last sum below 1; no draw may fall behind it or on an impossible item.
        self._last = int(np.flatnonzero(self.q_N)[-1])

    @classmethod
    def from_config(cls, config: SampledSoftmaxConfig, train_counts: np.ndarray) -> NegativeSampler:
        """The sampler that a configuration asks for.

        Args:
            config: distribution, power, smoothing, number of negatives.
            train_counts: (N,) training clicks of each item.

        Raises:
            ValueError: popularity is asked for, but there is neither a click nor smoothing.

        Source:
            Mikolov et al. 2013, "Distributed representations of words and phrases", for the power 0.75.
        """
        counts = np.asarray(train_counts, dtype=np.float64)
        uniform_share: dict[Distribution, float] = {
            "uniform": 1.0,
            "popularity": 0.0,
            "mixed": config.uniform_share,
        }
        share = uniform_share[config.distribution]
        even = np.full(len(counts), 1.0 / len(counts))
        if share == 1.0:
            return cls(even, config.negatives)
        smoothed = counts + config.smoothing
        # 0 ** 0 is 1, but without smoothing an item that nobody clicked has no popularity.
        popularity = np.where(smoothed > 0, np.power(smoothed, config.power), 0.0)
        if popularity.sum() == 0:
            raise ValueError("no training click and smoothing 0: popularity gives every item probability 0")
        return cls(share * even + (1.0 - share) * popularity / popularity.sum(), config.negatives)

    def sample(self, generator: torch.Generator) -> torch.Tensor:
        """(K,) int64 indices on the generator's device; the same state of the generator, the same draws."""
        uniform_K = torch.rand(
            self.negatives, generator=generator, dtype=torch.float64, device=generator.device
        )
        cumulative_N = self._cumulative_N.to(generator.device)
        return torch.searchsorted(cumulative_N, uniform_K, right=True).clamp_(max=self._last)

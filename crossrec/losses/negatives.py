"""Distributions of sampled negatives, and the sampler that draws a step's negatives."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from scipy.sparse import csr_matrix
from torch import Tensor

from crossrec.losses.sample_weighting.weights import category_weights
from crossrec.types import InputError


class NegativeDistribution(Protocol):
    """Distribution that negatives are drawn from, with replacement.

    ``q_N`` is each item's probability, float64, over all steps.
    """

    q_N: np.ndarray

    def draw(self, shape: tuple[int, ...], generator: torch.Generator, step_targets_G: Tensor) -> Tensor:
        """Draw int64 item numbers of the given shape, on the generator's device."""
        ...


class UniformNegatives:
    """Uniform distribution over all items.

    Args:
        n_items: N.
    """

    def __init__(self, n_items: int) -> None:
        self.q_N = np.full(n_items, 1.0 / n_items)

    def draw(self, shape: tuple[int, ...], generator: torch.Generator, step_targets_G: Tensor) -> Tensor:
        """Draw int64 item numbers of the given shape."""
        return torch.randint(len(self.q_N), shape, generator=generator, device=generator.device)


class WeightedNegatives:
    """Distribution by fixed weights.

    Args:
        weights_N: weight per item; need not sum to 1.

    Raises:
        ValueError: if a weight is negative or not finite, or all are zero.
    """

    def __init__(self, weights_N: np.ndarray) -> None:
        weights = np.asarray(weights_N, dtype=np.float64)
        if weights.ndim != 1 or not np.isfinite(weights).all() or (weights < 0).any() or weights.sum() <= 0:
            raise ValueError("the sampling weights must be finite, not negative, and positive somewhere")
        self.q_N = weights / weights.sum()
        self._cumulative_N = torch.from_numpy(np.cumsum(self.q_N))
        # Rounding may leave the last sum below 1; no draw may fall behind it or on an impossible item.
        self._last = int(np.flatnonzero(self.q_N)[-1])

    def draw(self, shape: tuple[int, ...], generator: torch.Generator, step_targets_G: Tensor) -> Tensor:
        """Draw int64 item numbers of the given shape."""
        uniform = torch.rand(shape, generator=generator, dtype=torch.float64, device=generator.device)
        cumulative_N = self._cumulative_N.to(generator.device)
        return torch.searchsorted(cumulative_N, uniform, right=True).clamp_(max=self._last)


class InBatchNegatives:
    """Uniform distribution over the targets of the step.

    Over many steps an item comes up in proportion to its training clicks, which is the ``q_N`` that
    corrections use.

    Args:
        train_counts: (N,) training clicks per item.

    Source:
        Yi et al. 2019, "Sampling-bias-corrected neural modeling for large corpus item recommendations",
        where each other target of the batch is a negative once. Here as many are drawn, with
        replacement, as are configured, so that their number does not depend on the batch size.
    """

    def __init__(self, train_counts: np.ndarray) -> None:
        counts = np.asarray(train_counts, dtype=np.float64)
        if not counts.sum() > 0:
            raise InputError(
                "objective.distribution: there is no training click to draw in-batch negatives from"
            )
        self.q_N = counts / counts.sum()
        self._clicked_N = torch.from_numpy(counts > 0)

    def draw(self, shape: tuple[int, ...], generator: torch.Generator, step_targets_G: Tensor) -> Tensor:
        """Draw int64 item numbers of the given shape.

        Raises:
            ValueError: if the step has no target, or a target without training clicks.
        """
        targets = step_targets_G.to(generator.device)
        if len(targets) == 0 and 0 not in shape:
            raise ValueError("in-batch negatives need a step with at least one target")
        if not bool(self._clicked_N.to(generator.device)[targets].all()):
            raise ValueError("a target has no training click, so its share of the negatives is not known")
        rows = torch.randint(max(len(targets), 1), shape, generator=generator, device=generator.device)
        return targets[rows]


class MixedNegatives:
    """Mixture of two distributions; each draw comes from the first with probability ``share``.

    Args:
        share: probability of the first distribution, 0 to 1.
        first, second: distributions over the same items.

    Source:
        Yang et al. 2020, "Mixed negative sampling for learning two-tower neural networks in
        recommendations", whose two parts have fixed sizes; here the sizes are drawn.
    """

    def __init__(self, share: float, first: NegativeDistribution, second: NegativeDistribution) -> None:
        self.share = share
        self.first = first
        self.second = second
        self.q_N = share * first.q_N + (1.0 - share) * second.q_N

    def draw(self, shape: tuple[int, ...], generator: torch.Generator, step_targets_G: Tensor) -> Tensor:
        """Draw int64 item numbers of the given shape."""
        from_first = torch.rand(shape, generator=generator, device=generator.device) < self.share
        return torch.where(
            from_first,
            self.first.draw(shape, generator, step_targets_G),
            self.second.draw(shape, generator, step_targets_G),
        )


def popularity_negatives(train_counts: np.ndarray, power: float, smoothing: float) -> WeightedNegatives:
    """Return the distribution by popularity, ``(clicks + smoothing) ** power``.

    Args:
        train_counts: (N,) training clicks per item.
        power: exponent that flattens popularity.
        smoothing: clicks added to every item's count.

    Raises:
        InputError: if there is neither a click nor smoothing.

    Source:
        Mikolov et al. 2013, "Distributed representations of words and phrases", for the power 0.75.
    """
    smoothed = np.asarray(train_counts, dtype=np.float64) + smoothing
    # 0 ** 0 is 1, but without smoothing an item that nobody clicked has no popularity.
    weights = np.where(smoothed > 0, np.power(smoothed, power), 0.0)
    if weights.sum() == 0:
        raise InputError(
            "objective.smoothing: no training click and smoothing 0 give every item probability 0"
        )
    return WeightedNegatives(weights)


def category_negatives(categories: csr_matrix) -> WeightedNegatives:
    """Return the distribution that is uniform over categories, and within each over its items.

    So that the largest categories do not dominate training. Items of several categories are drawn through
    each; those without one form one more category.

    Args:
        categories: (N, G), above 0 where the item is in the category; empty categories don't count.

    Raises:
        InputError: if no item has a category.
    """
    weights_N = category_weights(categories)
    if weights_N is None:
        raise InputError("objective.distribution: 'category', but no item has a category")
    return WeightedNegatives(weights_N)


def distribution_of(
    name: str, train_counts: np.ndarray, categories: csr_matrix | None, *, power: float, smoothing: float
) -> NegativeDistribution:
    """Return a distribution by name: ``uniform``, ``popularity``, ``in_batch`` or ``category``.

    Args:
        name: name of the distribution.
        train_counts: (N,) training clicks per item.
        categories: (N, G) membership; None if unknown.
        power: exponent of popularity.
        smoothing: clicks added to every item's count.

    Raises:
        InputError: if the data lack what the distribution needs.
    """
    if name == "popularity":
        return popularity_negatives(train_counts, power, smoothing)
    if name == "in_batch":
        return InBatchNegatives(train_counts)
    if name == "category":
        if categories is None:
            raise InputError("objective.distribution: 'category' needs the catalogue's categories")
        return category_negatives(categories)
    return UniformNegatives(len(train_counts))


class NegativeSampler:
    """Sampler of a step's negatives.

    Args:
        distribution: distribution that they are drawn from.
        negatives: K.
        shared: whether all positions of the step share one set, or each has its own.
    """

    def __init__(self, distribution: NegativeDistribution, negatives: int, *, shared: bool) -> None:
        self.distribution = distribution
        self.negatives = negatives
        self.shared = shared

    def sample(self, generator: torch.Generator, step_targets_G: Tensor) -> Tensor:
        """Draw the negatives of one step, the same on every process whose generator has the same state.

        Args:
            generator: a CPU generator gives the same draws on any machine.
            step_targets_G: int64 targets of the step over all processes, in the same order everywhere.

        Returns:
            (K,) int64 item numbers, or (G, K), one set per target; on the generator's device, repeats
            possible.
        """
        shape = (self.negatives,) if self.shared else (len(step_targets_G), self.negatives)
        return self.distribution.draw(shape, generator, step_targets_G)

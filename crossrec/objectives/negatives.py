"""Where sampled negatives come from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from torch import Tensor

from crossrec.objectives.categories import category_weights
from crossrec.types import InputError

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix


class Draws(Protocol):
    """A way to draw items with replacement.

    ``q_N`` is each item's probability, float64, over all steps.
    """

    q_N: np.ndarray

    def draw(self, shape: tuple[int, ...], generator: torch.Generator, step_targets_G: Tensor) -> Tensor:
        """int64 item numbers of the shape asked for, on the generator's device."""
        ...


class UniformDraws:
    """Every item alike.

    Args:
        n_items: N.
    """

    def __init__(self, n_items: int) -> None:
        self.q_N = np.full(n_items, 1.0 / n_items)

    def draw(self, shape: tuple[int, ...], generator: torch.Generator, step_targets_G: Tensor) -> Tensor:
        """int64 item numbers of the shape asked for."""
        return torch.randint(len(self.q_N), shape, generator=generator, device=generator.device)


class WeightedDraws:
    """Items by fixed weights.

    Args:
        weights_N: need not sum to 1.

    Raises:
        ValueError: a weight is negative or not finite, or all are zero.
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
        """int64 item numbers of the shape asked for."""
        uniform = torch.rand(shape, generator=generator, dtype=torch.float64, device=generator.device)
        cumulative_N = self._cumulative_N.to(generator.device)
        return torch.searchsorted(cumulative_N, uniform, right=True).clamp_(max=self._last)


class InBatchDraws:
    """Targets of the step, each as likely as the others.

    Over many steps an item comes up in proportion to its training clicks, which is the ``q_N`` that
    corrections use.

    Args:
        train_counts: (N,) training clicks of each item.

    Source:
        Yi et al. 2019, "Sampling-bias-corrected neural modeling for large corpus item recommendations",
        where each other target of the batch is a negative once. Here as many are drawn, with
        replacement, as are asked for, so that their number does not hang on the batch size.
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
        """int64 item numbers of the shape asked for.

        Raises:
            ValueError: the step has no target, or one that no training click is counted for.
        """
        targets = step_targets_G.to(generator.device)
        if len(targets) == 0 and 0 not in shape:
            raise ValueError("in-batch negatives need a step with at least one target")
        if not bool(self._clicked_N.to(generator.device)[targets].all()):
            raise ValueError("a target has no training click, so its share of the negatives is not known")
        rows = torch.randint(max(len(targets), 1), shape, generator=generator, device=generator.device)
        return targets[rows]


class MixedDraws:
    """One way to draw for a share of the negatives, another for the rest, decided draw by draw.

    Args:
        share: of the first way, 0 to 1.
        first, second: the two ways, over the same items.

    Source:
        Yang et al. 2020, "Mixed negative sampling for learning two-tower neural networks in
        recommendations", whose two parts have fixed sizes; here the sizes are drawn.
    """

    def __init__(self, share: float, first: Draws, second: Draws) -> None:
        self.share = share
        self.first = first
        self.second = second
        self.q_N = share * first.q_N + (1.0 - share) * second.q_N

    def draw(self, shape: tuple[int, ...], generator: torch.Generator, step_targets_G: Tensor) -> Tensor:
        """int64 item numbers of the shape asked for."""
        from_first = torch.rand(shape, generator=generator, device=generator.device) < self.share
        return torch.where(
            from_first,
            self.first.draw(shape, generator, step_targets_G),
            self.second.draw(shape, generator, step_targets_G),
        )


def popularity_draws(train_counts: np.ndarray, power: float, smoothing: float) -> WeightedDraws:
    """Items by ``(clicks + smoothing) ** power``.

    Args:
        train_counts: (N,) training clicks of each item.
        power: flattens popularity.
        smoothing: clicks added to every item.

    Raises:
        InputError: there is neither a click nor smoothing.

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
    return WeightedDraws(weights)


def category_draws(categories: csr_matrix) -> WeightedDraws:
    """A category, each alike, then one of its items, each alike.

    So that a model is not taught mostly by what the largest categories hold. Items of several categories
    come up in each; those without one stand together as one more.

    Args:
        categories: (N, G), above 0 where the item is in the category; empty categories don't count.

    Raises:
        InputError: no item has a category.
    """
    weights_N = category_weights(categories)
    if weights_N is None:
        raise InputError("objective.distribution: 'category', but no item has a category")
    return WeightedDraws(weights_N)


class NegativeSampler:
    """Draws the negatives of a step.

    Args:
        draws: where they come from.
        negatives: K.
        shared: whether all positions of the step share one set, or each has its own.
    """

    def __init__(self, draws: Draws, negatives: int, *, shared: bool) -> None:
        self.draws = draws
        self.negatives = negatives
        self.shared = shared

    def sample(self, generator: torch.Generator, step_targets_G: Tensor) -> Tensor:
        """Negatives of one step, the same on every process whose generator has the same state.

        Args:
            generator: a CPU generator gives the same draws on any machine.
            step_targets_G: int64 targets of the step over all processes, in the same order everywhere.

        Returns:
            (K,) int64 item numbers, or (G, K) own to each target; on the generator's device, repeats
            possible.
        """
        shape = (self.negatives,) if self.shared else (len(step_targets_G), self.negatives)
        return self.draws.draw(shape, generator, step_targets_G)

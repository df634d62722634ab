"""How several losses become one."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

RANKING = "next_item"
"""Name of the ranking loss among a task's losses."""


class Weighting(nn.Module):
    """Fixed weights; the base of the others.

    Args:
        weights: name -> weight of each term, beside the ranking loss's 1. A weight of 0 only measures.
    """

    def __init__(self, weights: Mapping[str, float]) -> None:
        super().__init__()
        self.weights = dict(weights)

    def factor(self, progress: float) -> float:
        """What all terms' weights are multiplied with at this share of the training."""
        return 1.0

    def active(self, name: str, progress: float) -> bool:
        """Whether a term takes part in the loss, or is only measured."""
        return self.weights[name] > 0 and self.factor(progress) > 0

    def forward(
        self, ranking: Tensor, values: Mapping[str, Tensor], clicks: int, progress: float
    ) -> dict[str, Tensor]:
        """Named losses whose sum is to be minimised; those that are only measured are left out.

        Args:
            ranking: () ranking loss, summed over the clicks.
            values: name -> () value of a term, a mean.
            clicks: that the loss is of, so that a weight means the same as a click's loss.
            progress: share of the training done, 0 to 1.
        """
        factor = self.factor(progress) * clicks
        weighed = {
            name: value * (self.weights[name] * factor)
            for name, value in values.items()
            if self.active(name, progress)
        }
        return {RANKING: ranking, **weighed}


class ScheduledWeighting(Weighting):
    """Weights that rise in a straight line from 0 to their full size.

    Args:
        weights: name -> full weight.
        start, end: shares of the training between which they rise.
    """

    def __init__(self, weights: Mapping[str, float], *, start: float, end: float) -> None:
        super().__init__(weights)
        self.start = start
        self.end = end

    def factor(self, progress: float) -> float:
        """0 up to ``start``, 1 from ``end`` on."""
        if progress >= self.end:
            return 1.0
        return max(0.0, (progress - self.start) / (self.end - self.start))


class UncertaintyWeighting(Weighting):
    """Learned weights: each loss l with a log-variance s becomes ``exp(-s) l + s / 2``.

    So do the ranking loss and every term, whose weight multiplies the whole: s settles where a term's
    gradient is multiplied with ``weight / (2 l)``. Terms that can be negative are counted from their lower
    bound.

    Args:
        weights: name -> weight of each term.
        lowest: name -> lower bound of each term.

    Source:
        Kendall et al. 2018, "Multi-task learning using uncertainty to weigh losses", equation 10, whose
        softmax form serves all losses here. The weights are our addition; without them it is the paper's.
    """

    def __init__(self, weights: Mapping[str, float], lowest: Mapping[str, float]) -> None:
        super().__init__(weights)
        self.lowest = dict(lowest)
        active = [name for name, weight in weights.items() if weight]
        self.places = {name: place for place, name in enumerate([RANKING, *active])}
        self.log_variances = nn.Parameter(torch.zeros(len(self.places)))

    def forward(
        self, ranking: Tensor, values: Mapping[str, Tensor], clicks: int, progress: float
    ) -> dict[str, Tensor]:
        """Named losses whose sum is to be minimised, see the base class."""
        weighed = {RANKING: self._soften(RANKING, ranking, clicks)}
        for name, value in values.items():
            if self.active(name, progress):
                total = (value - self.lowest[name]) * clicks
                weighed[name] = self.weights[name] * self._soften(name, total, clicks)
        return weighed

    def _soften(self, name: str, total: Tensor, clicks: int) -> Tensor:
        log_variance = self.log_variances[self.places[name]]
        return torch.exp(-log_variance) * total + clicks * log_variance / 2

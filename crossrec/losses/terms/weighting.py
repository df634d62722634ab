"""Weightings of terms beside the ranking loss: fixed, scheduled, or learned."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from crossrec.config import Component, ComponentOptions

RANKING = "next_item"
"""Name of the ranking loss among a task's losses."""


class TermWeighting(Component, nn.Module):
    """Base of weightings, which turn a ranking loss and the values of terms into losses to be added up.

    Args:
        options: options of the weighting.
        weights: term name -> weight, beside the ranking loss's 1. A weight of 0 only measures.
        lowest: term name -> lower bound of its values.
    """

    def __init__(
        self, options: ComponentOptions, weights: Mapping[str, float], lowest: Mapping[str, float]
    ) -> None:
        super().__init__()
        self.weights = dict(weights)

    def factor(self, progress: float) -> float:
        """Return the factor of all terms' weights at this share of the training."""
        return 1.0

    def active(self, name: str, progress: float) -> bool:
        """Return whether a term takes part in the loss, or is only measured."""
        return self.weights[name] > 0 and self.factor(progress) > 0

    def forward(
        self, ranking: Tensor, values: Mapping[str, Tensor], clicks: int, progress: float
    ) -> dict[str, Tensor]:
        """Return named losses whose sum is to be minimized; terms that are only measured are left out.

        Args:
            ranking: () ranking loss, summed over the clicks.
            values: name -> () value of a term, a mean.
            clicks: number of clicks in the ranking loss, so that a weight means the same as a click's loss.
            progress: share of the training done, 0 to 1.
        """
        factor = self.factor(progress) * clicks
        weighed = {
            name: value * (self.weights[name] * factor)
            for name, value in values.items()
            if self.active(name, progress)
        }
        return {RANKING: ranking, **weighed}


class FixedWeighting(TermWeighting):
    """Constant weights."""

    class Options(ComponentOptions):
        """Every term keeps its weight."""


class ScheduledWeighting(TermWeighting):
    """Weights that rise linearly from 0 to their full size."""

    class Options(ComponentOptions):
        """Weights rise in a straight line from 0 to their full size.

        Args:
            start, end: shares of the training between which they rise.
        """

        start: float = Field(default=0.0, ge=0, lt=1)
        end: float = Field(default=0.5, gt=0, le=1)

        @model_validator(mode="after")
        def _in_order(self) -> Self:
            if self.start >= self.end:
                raise ValueError(f"start={self.start} must be below end={self.end}")
            return self

    def __init__(self, options: Options, weights: Mapping[str, float], lowest: Mapping[str, float]) -> None:
        super().__init__(options, weights, lowest)
        self.start = options.start
        self.end = options.end

    def factor(self, progress: float) -> float:
        """Return 0 up to ``start``, 1 from ``end`` on, and linear values between."""
        if progress >= self.end:
            return 1.0
        return max(0.0, (progress - self.start) / (self.end - self.start))


class UncertaintyWeighting(TermWeighting):
    """Learned weights: each loss l with a log-variance s becomes ``exp(-s) l + s / 2``.

    So do the ranking loss and every term, whose weight multiplies the whole: s settles where a term's
    gradient is multiplied with ``weight / (2 l)``. Terms that can be negative are counted from their lower
    bound.

    Source:
        Kendall et al. 2018, "Multi-task learning using uncertainty to weigh losses", equation 10, whose
        softmax form serves all losses here. The weights are our addition; without them it is the paper's.
    """

    class Options(ComponentOptions):
        """Learned weights, also of the ranking loss; a term's own weight multiplies its learned one."""

    def __init__(self, options: Options, weights: Mapping[str, float], lowest: Mapping[str, float]) -> None:
        super().__init__(options, weights, lowest)
        self.lowest = dict(lowest)
        active = [name for name, weight in weights.items() if weight]
        self.places = {name: place for place, name in enumerate([RANKING, *active])}
        self.log_variances = nn.Parameter(torch.zeros(len(self.places)))

    def forward(
        self, ranking: Tensor, values: Mapping[str, Tensor], clicks: int, progress: float
    ) -> dict[str, Tensor]:
        """Return named losses whose sum is to be minimized, see the base class."""
        weighed = {RANKING: self._soften(RANKING, ranking, clicks)}
        for name, value in values.items():
            if self.active(name, progress):
                total = (value - self.lowest[name]) * clicks
                weighed[name] = self.weights[name] * self._soften(name, total, clicks)
        return weighed

    def _soften(self, name: str, total: Tensor, clicks: int) -> Tensor:
        log_variance = self.log_variances[self.places[name]]
        return torch.exp(-log_variance) * total + clicks * log_variance / 2

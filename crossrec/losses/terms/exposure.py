"""Exposure terms: entropy and Gini coefficient of items' expected exposure in a step's soft lists."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from crossrec.losses.terms.base import ListTerm, ListTermOptions
from crossrec.losses.terms.positions import PositionSample


class ExposureTerm(ListTerm):
    """Base of terms over the expected exposure: each item's share of all places of the sampled lists.

    Under several processes, or in several parts of a step, exposure is that of the process's own part.
    """

    def forward(self, part: PositionSample) -> Tensor:
        """Compute the () loss of the expected exposure."""
        exposure_N = part.soft(self.k, self.temperature).mean(0)
        return self.loss(exposure_N / exposure_N.sum())

    def loss(self, share_N: Tensor) -> Tensor:
        """Compute the () loss of (N,) shares with sum 1."""
        raise NotImplementedError("an exposure term implements loss()")


class EntropyTerm(ExposureTerm):
    """Minus the Shannon entropy of the expected exposure, divided by log N: minus ``entropy_norm``.

    Source:
        Shannon 1948. Over a sample of lists it is an estimate that is too low by about the number of exposed
        items divided by twice the number of places (Miller 1955), in nats.
    """

    class Options(ListTermOptions):
        """Minus the entropy of the expected exposure."""

    lowest = -1.0

    def loss(self, share_N: Tensor) -> Tensor:
        """Return from -1, even exposure, to 0, one item gets all."""
        return torch.special.entr(share_N.clamp(min=1e-12)).sum() / -math.log(len(share_N))


class GiniTerm(ExposureTerm):
    """Gini coefficient of the expected exposure, ``sum_i (2 i - N - 1) e_(i) / N`` with e sorted upwards.

    The gradient is that of the order as it stands; it exists everywhere but at ties.

    Source:
        Fleder and Hosanagar 2009, "Blockbuster culture's next rise or fall", for recommendations.
    """

    class Options(ListTermOptions):
        """Gini coefficient of the expected exposure."""

    def loss(self, share_N: Tensor) -> Tensor:
        """Return from 0, even exposure, to 1 - 1 / N, one item gets all."""
        size = len(share_N)
        rank_N = torch.arange(1 - size, size, 2, device=share_N.device, dtype=share_N.dtype)
        return (share_N.sort().values * rank_N).sum() / size

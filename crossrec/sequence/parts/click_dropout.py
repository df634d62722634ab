"""Dropout of whole clicks."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class ClickDropout(nn.Module):
    """Training hides clicks at random: their item vectors become zeros, the others stay as they are.

    Unlike dropout of single entries it does not rescale what is left: a click is there or it is not.

    Args:
        rate: chance of a click to be hidden.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, vectors_BLD: Tensor) -> Tensor:
        """(B, L, D), in training with some rows of zeros."""
        if not self.training or self.rate == 0:
            return vectors_BLD
        kept_BL1 = torch.rand(vectors_BLD.shape[:2], device=vectors_BLD.device).unsqueeze(2) >= self.rate
        return vectors_BLD * kept_BL1.to(vectors_BLD.dtype)

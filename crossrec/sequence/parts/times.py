"""What the times of clicks say."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from crossrec.sequence.base import History
from crossrec.types import InputError

BUCKETS = 80
"""Each is a third longer than the one before; the last begins at 670 years."""


def required_times(history: History, option: str) -> Tensor:
    """(B, L) int64 seconds.

    Args:
        history: what the model reads.
        option: configuration key that asks for times.

    Raises:
        InputError: the history has none.
    """
    if history.times_BL is None:
        raise InputError(
            f"model.sequence.{option} needs the times of clicks, which these histories lack: give times, "
            f"or set model.sequence.{option}=false"
        )
    return history.times_BL


def log_buckets(seconds: Tensor) -> Tensor:
    """Numbers of the logarithmic buckets of some time differences, int32 in [0, ``BUCKETS``).

    Source: Zhai et al. 2024, Actions Speak Louder than Words: floor(ln(max(|t|, 1)) / 0.301).
    """
    logs = seconds.abs().clamp(min=1).float().log() / 0.301
    return logs.int().clamp(max=BUCKETS - 1)


class TimeGaps(nn.Module):
    """A vector for the time since the previous click, to be added to the item vector.

    A window's first click has one vector of its own, whatever came before the window.

    Args:
        width: D.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(BUCKETS + 1, width) * 0.02)

    def forward(self, times_BL: Tensor) -> Tensor:
        """(B, L, D) from seconds; position l reads the times of l and l - 1 only."""
        buckets_BL = F.pad(log_buckets(times_BL.diff(dim=1)), (1, 0), value=BUCKETS)
        return F.embedding(buckets_BL, self.weight)


class TimeBias(nn.Module):
    """A number for the time between two clicks, to be added to their attention score."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(BUCKETS, 1) * 0.02)

    def forward(self, buckets_BLL: Tensor) -> Tensor:
        """(B, L, L) from the buckets of :func:`log_buckets`."""
        return F.embedding(buckets_BLL, self.weight).squeeze(-1)

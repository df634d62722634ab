"""The weighted sum over members, and which candidates may be recommended."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from crossrec.ensemble.config import Missing
from crossrec.ensemble.rules import Opinion


def fuse(
    added: Sequence[Tensor], said: Sequence[Opinion], weights: Sequence[float], missing: Missing
) -> Tensor:
    """Fused scores; members of weight 0 have no part in them.

    Args:
        added: (B, P) float64 a member, what a rule makes of ``said``.
        said: one a member.
        weights: one a member, at least one above 0.
        missing: what a member's -inf means.

    Returns:
        (B, P) float64; -inf for a candidate that no member lists or, under ``veto``, that one refuses.
    """
    active = active_members(weights)
    out_BP = ~allowed([said[number] for number in active], missing)
    return weighted_sum(added, weights).masked_fill_(out_BP, -torch.inf)


def active_members(weights: Sequence[float]) -> tuple[int, ...]:
    """The members with a weight above 0."""
    return tuple(number for number, weight in enumerate(weights) if weight > 0)


def weighted_sum(added: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    """(B, P) float64, summed in the order of the members, so that equal terms give equal sums."""
    sum_BP = torch.zeros_like(added[0])
    for number in active_members(weights):
        sum_BP.add_(added[number], alpha=float(weights[number]))
    return sum_BP


def allowed(said: Sequence[Opinion], missing: Missing) -> Tensor:
    """(B, P) bool, candidates that these members together may recommend."""
    listed_BP = torch.stack([one.listed_BP for one in said]).any(0)
    if missing == "veto":
        return listed_BP & ~torch.stack([one.refused_BP for one in said]).any(0)
    return listed_BP

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
    active = [number for number, weight in enumerate(weights) if weight > 0]
    fused_BP = torch.zeros_like(added[0])
    for number in active:
        fused_BP.add_(added[number], alpha=float(weights[number]))
    return fused_BP.masked_fill_(~allowed([said[number] for number in active], missing), -torch.inf)


def allowed(said: Sequence[Opinion], missing: Missing) -> Tensor:
    """(B, P) bool, candidates that these members together may recommend."""
    listed_BP = torch.stack([one.listed_BP for one in said]).any(0)
    if missing == "veto":
        return listed_BP & ~torch.stack([one.refused_BP for one in said]).any(0)
    return listed_BP

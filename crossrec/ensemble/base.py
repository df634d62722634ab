"""Base of list fusions: members' scores, the weighted sum over members, and the allowed candidates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from crossrec.config import Component, ComponentOptions


@dataclass(frozen=True)
class MemberScores:
    """Scores of one member for P candidates of B histories.

    Args:
        own_BC: (B, C) scores of the member's own list; -inf beyond its end.
        scores_BP: (B, P) scores of the candidates; -inf where the member has none.
        ranks_BP: (B, P) ranks of the candidates in the member's own list, from 1; infinite outside it.
        refused_BP: (B, P) bool, candidates that the member excludes.
    """

    own_BC: Tensor
    scores_BP: Tensor
    ranks_BP: Tensor
    refused_BP: Tensor

    @property
    def listed_BP(self) -> Tensor:
        """(B, P) bool, candidates in the member's own list."""
        return self.ranks_BP.isfinite()

    @property
    def silent_B1(self) -> Tensor:
        """(B, 1) bool, uninformative lists: empty, or several items with equal scores.

        The order of equal scores is that of the catalogue, which expresses no preference.
        """
        there_BC = self.own_BC.isfinite()
        count_B1 = there_BC.sum(1, keepdim=True)
        high_B1 = self.own_BC.masked_fill(~there_BC, -torch.inf).amax(1, keepdim=True)
        low_B1 = self.own_BC.masked_fill(~there_BC, torch.inf).amin(1, keepdim=True)
        return (count_B1 == 0) | ((count_B1 > 1) & (high_B1 == low_B1))


class ListFusionBaseOptions(ComponentOptions):
    """Base of the options of list fusions."""

    @property
    def label(self) -> str:
        """Name in tables."""
        raise NotImplementedError("the options of a list fusion have a label")

    @property
    def scores_unlisted(self) -> bool:
        """Whether members score candidates outside their own lists."""
        return False


class ListFusion(Component):
    """Base of list fusions: maps a member's scores to its terms of the weighted sum.

    Members are built from their options and the number of places of a full list.
    """

    def __call__(self, scores: MemberScores) -> Tensor:
        """Return (B, P) float64 terms, finite; 0 in rows without information."""
        raise NotImplementedError("a list fusion implements __call__()")


Missing = Literal["lowest", "veto"]
"""Meanings of -inf from a member; see :class:`crossrec.ensemble.recommender.EnsembleConfig`."""


def fuse(
    added: Sequence[Tensor], said: Sequence[MemberScores], weights: Sequence[float], missing: Missing
) -> Tensor:
    """Return fused scores, without members of weight 0.

    Args:
        added: (B, P) float64 terms per member, from a list fusion.
        said: scores per member.
        weights: weight per member, at least one above 0.
        missing: meaning of -inf from a member.

    Returns:
        (B, P) float64; -inf for a candidate that no member lists or, under ``veto``, that one refuses.
    """
    active = active_members(weights)
    out_BP = ~allowed([said[number] for number in active], missing)
    return weighted_sum(added, weights).masked_fill_(out_BP, -torch.inf)


def active_members(weights: Sequence[float]) -> tuple[int, ...]:
    """Return the numbers of the members with a weight above 0."""
    return tuple(number for number, weight in enumerate(weights) if weight > 0)


def weighted_sum(added: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    """Return the (B, P) float64 sum in the order of the members, so that equal terms give equal sums."""
    sum_BP = torch.zeros_like(added[0])
    for number in active_members(weights):
        sum_BP.add_(added[number], alpha=float(weights[number]))
    return sum_BP


def allowed(said: Sequence[MemberScores], missing: Missing) -> Tensor:
    """Return (B, P) bool, the candidates that these members together may recommend."""
    listed_BP = torch.stack([one.listed_BP for one in said]).any(0)
    if missing == "veto":
        return listed_BP & ~torch.stack([one.refused_BP for one in said]).any(0)
    return listed_BP

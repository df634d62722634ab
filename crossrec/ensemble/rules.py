"""What a member's list adds to the sum: normalised scores, or points for places."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from crossrec.ensemble.config import Normalisation


@dataclass(frozen=True)
class Opinion:
    """What one member says of P candidates of B histories.

    Args:
        own_BC: (B, C) scores of the member's own list; -inf where it ran out.
        scores_BP: (B, P) its scores of the candidates; -inf where it has none to give.
        ranks_BP: (B, P) places of the candidates in its own list, from 1; infinite outside it.
        refused_BP: (B, P) bool, candidates that the member must not recommend.
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
        """(B, 1) bool, lists of several items whose scores are all equal, or without any: they say nothing.

        Their order is that of the catalogue, which is nobody's opinion.
        """
        there_BC = self.own_BC.isfinite()
        count_B1 = there_BC.sum(1, keepdim=True)
        high_B1 = self.own_BC.masked_fill(~there_BC, -torch.inf).amax(1, keepdim=True)
        low_B1 = self.own_BC.masked_fill(~there_BC, torch.inf).amin(1, keepdim=True)
        return (count_B1 == 0) | ((count_B1 > 1) & (high_B1 == low_B1))


class Rule(Protocol):
    """Maps what a member says to what it adds to the weighted sum."""

    def __call__(self, said: Opinion) -> Tensor:
        """(B, P) float64, finite; 0 in rows in which the member says nothing."""
        ...


@dataclass(frozen=True)
class ScoreRule:
    """Scores on a common scale; statistics are those of the member's own list.

    So what a member adds doesn't hang on who else is in the ensemble. A candidate without a score gets what
    the lowest of the list gets, and 0 under ``softmax``.

    Args:
        normalise: which scale.

    Source:
        Fox, Shaw: Combination of multiple searches (TREC-2, 1994; CombSUM); Lee: Analyses of multiple
        evidence combination (SIGIR 1997; min-max); Hinton: Training products of experts by minimizing
        contrastive divergence (2002; sums of log probabilities).
    """

    normalise: Normalisation

    def __call__(self, said: Opinion) -> Tensor:
        """(B, P) float64: doubles keep apart what float32 scores keep apart."""
        own_BC = said.own_BC.double()
        there_BC = own_BC.isfinite()
        low_B1 = own_BC.masked_fill(~there_BC, torch.inf).amin(1, keepdim=True)
        has_score_BP = said.scores_BP.isfinite()
        scores_BP = torch.where(has_score_BP, said.scores_BP.double(), low_B1)
        added_BP = NORMALISE[self.normalise](own_BC, there_BC, scores_BP)
        if self.normalise == "softmax":
            added_BP = added_BP.masked_fill(~has_score_BP, 0.0)
        return added_BP.masked_fill(said.silent_B1, 0.0)


@dataclass(frozen=True)
class ReciprocalRankRule:
    """1 / (constant + rank), 0 outside the member's list.

    Args:
        constant: 60 in the source.

    Source:
        Cormack, Clarke, Buettcher: Reciprocal rank fusion outperforms Condorcet and individual rank learning
        methods (SIGIR 2009); the weights are ours.
    """

    constant: float

    def __call__(self, said: Opinion) -> Tensor:
        """(B, P) float64 from 0 to 1."""
        return (1 / (self.constant + said.ranks_BP)).masked_fill(said.silent_B1, 0.0)


@dataclass(frozen=True)
class BordaRule:
    """(places + 1 - rank) / places, 0 outside the member's list.

    Args:
        places: of a full list; a place is worth the same in a list that ran out.

    Source:
        Aslam, Montague: Models for metasearch (SIGIR 2001), section 2.1; divided by the places, and an
        item outside a list gets 0 where they share out what is left.
    """

    places: int

    def __call__(self, said: Opinion) -> Tensor:
        """(B, P) float64 from 0 to 1."""
        points_BP = (self.places + 1 - said.ranks_BP).clamp(min=0) / self.places
        return points_BP.masked_fill(said.silent_B1, 0.0)


def _zscore(own_BC: Tensor, there_BC: Tensor, scores_BP: Tensor) -> Tensor:
    count_B1 = there_BC.sum(1, keepdim=True).clamp(min=1)
    mean_B1 = own_BC.masked_fill(~there_BC, 0).sum(1, keepdim=True) / count_B1
    apart_BC = (own_BC - mean_B1).masked_fill(~there_BC, 0)
    std_B1 = (apart_BC.square().sum(1, keepdim=True) / count_B1).sqrt()
    return ((scores_BP - mean_B1) / std_B1).masked_fill(std_B1 == 0, 0.0)


def _minmax(own_BC: Tensor, there_BC: Tensor, scores_BP: Tensor) -> Tensor:
    low_B1 = own_BC.masked_fill(~there_BC, torch.inf).amin(1, keepdim=True)
    range_B1 = own_BC.masked_fill(~there_BC, -torch.inf).amax(1, keepdim=True) - low_B1
    return ((scores_BP - low_B1) / range_B1).masked_fill(range_B1 == 0, 0.0)


def _log_softmax(own_BC: Tensor, there_BC: Tensor, scores_BP: Tensor) -> Tensor:
    return scores_BP - own_BC.masked_fill(~there_BC, -torch.inf).logsumexp(1, keepdim=True)


def _softmax(own_BC: Tensor, there_BC: Tensor, scores_BP: Tensor) -> Tensor:
    return _log_softmax(own_BC, there_BC, scores_BP).exp()


NORMALISE: dict[Normalisation, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "zscore": _zscore,
    "minmax": _minmax,
    "softmax": _softmax,
    "log_softmax": _log_softmax,
}

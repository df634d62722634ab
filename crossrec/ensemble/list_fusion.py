"""List fusions: sums of normalised scores, reciprocal ranks, or Borda points."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from crossrec.ensemble.base import ListFusion, ListFusionBaseOptions, MemberScores

Normalisation = Literal["zscore", "minmax", "softmax", "log_softmax"]


class ScoreFusion(ListFusion):
    """Score fusion (CombSUM): scores on a common scale, with the statistics of the member's own list.

    A member's terms don't depend on the other members. A candidate without a score gets the term of the
    lowest item of the list, and 0 under ``softmax``.

    Args:
        options: normalisation.
        places: not used.

    Source:
        Fox, Shaw: Combination of multiple searches (TREC-2, 1994; CombSUM); Lee: Analyses of multiple
        evidence combination (SIGIR 1997; min-max); Hinton: Training products of experts by minimizing
        contrastive divergence (2002; sums of log probabilities).
    """

    class Options(ListFusionBaseOptions):
        """Score fusion (CombSUM): a weighted sum of scores, normalised per user and member.

        Args:
            normalise: ``zscore`` for scores of any scale; ``minmax`` for bounded scores or short lists;
                ``softmax`` (a mixture) and ``log_softmax`` (a product of experts) for logits, such as the
                scores of models trained by a softmax.
            beyond: score of a candidate outside the member's own list: the member's score (``scored``), or
                the lowest score of its list (``lowest``), which costs nothing.
        """

        normalise: Normalisation = "zscore"
        beyond: Literal["scored", "lowest"] = "scored"

        @property
        def label(self) -> str:
            """Name in tables."""
            return self.normalise.replace("_", "-")

        @property
        def scores_unlisted(self) -> bool:
            """Whether members score candidates outside their own lists."""
            return self.beyond == "scored"

    def __init__(self, options: Options, places: int) -> None:
        self.normalise = options.normalise

    def __call__(self, scores: MemberScores) -> Tensor:
        """Return (B, P) float64: double precision keeps different float32 scores different."""
        own_BC = scores.own_BC.double()
        there_BC = own_BC.isfinite()
        low_B1 = own_BC.masked_fill(~there_BC, torch.inf).amin(1, keepdim=True)
        has_score_BP = scores.scores_BP.isfinite()
        scores_BP = torch.where(has_score_BP, scores.scores_BP.double(), low_B1)
        added_BP = NORMALISE[self.normalise](own_BC, there_BC, scores_BP)
        if self.normalise == "softmax":
            added_BP = added_BP.masked_fill(~has_score_BP, 0.0)
        return added_BP.masked_fill(scores.silent_B1, 0.0)


class ReciprocalRankFusion(ListFusion):
    """Reciprocal rank fusion: 1 / (constant + rank), 0 outside the member's list.

    Args:
        options: constant, 60 in the source.
        places: not used.

    Source:
        Cormack, Clarke, Buettcher: Reciprocal rank fusion outperforms Condorcet and individual rank learning
        methods (SIGIR 2009); the weights are ours.
    """

    class Options(ListFusionBaseOptions):
        """Reciprocal rank fusion: a weighted sum of 1 / (constant + rank).

        Args:
            constant: larger values make the first places count less.
        """

        constant: float = Field(60.0, ge=0)
        beyond: Literal["lowest"] = "lowest"

        @property
        def label(self) -> str:
            """Name in tables."""
            return "reciprocal rank"

    def __init__(self, options: Options, places: int) -> None:
        self.constant = options.constant

    def __call__(self, scores: MemberScores) -> Tensor:
        """Return (B, P) float64 from 0 to 1."""
        return (1 / (self.constant + scores.ranks_BP)).masked_fill(scores.silent_B1, 0.0)


class BordaFusion(ListFusion):
    """Borda count: (places + 1 - rank) / places, 0 outside the member's list.

    Args:
        options: none.
        places: number of places of a full list; a place is worth the same in a shorter list.

    Source:
        Aslam, Montague: Models for metasearch (SIGIR 2001), section 2.1; divided by the places, and an
        item outside a list gets 0 instead of a share of the remaining points.
    """

    class Options(ListFusionBaseOptions):
        """Borda count: a weighted sum of points that fall evenly along each member's list."""

        beyond: Literal["lowest"] = "lowest"

        @property
        def label(self) -> str:
            """Name in tables."""
            return "Borda"

    def __init__(self, options: Options, places: int) -> None:
        self.places = places

    def __call__(self, scores: MemberScores) -> Tensor:
        """Return (B, P) float64 from 0 to 1."""
        points_BP = (self.places + 1 - scores.ranks_BP).clamp(min=0) / self.places
        return points_BP.masked_fill(scores.silent_B1, 0.0)


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


ALL_FUSIONS: tuple[ListFusionBaseOptions, ...] = (
    ScoreFusion.Options(normalise="zscore"),
    ScoreFusion.Options(normalise="minmax"),
    ScoreFusion.Options(normalise="softmax"),
    ScoreFusion.Options(normalise="log_softmax"),
    ReciprocalRankFusion.Options(),
    BordaFusion.Options(),
)

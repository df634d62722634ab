"""Base classes of ranking losses: their options, the candidates they score, and where negatives come from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, cast

import numpy as np
import torch
from pydantic import Field
from scipy.sparse import csr_matrix
from torch import Tensor, nn
from torch.nn import functional as F

from crossrec.config import Component, ComponentOptions
from crossrec.losses.negatives import MixedNegatives, NegativeDistribution, NegativeSampler, distribution_of
from crossrec.losses.sample_weighting import SampleWeightingOptions
from crossrec.losses.sample_weighting.weights import SampleWeighting, Unweighted


@dataclass(frozen=True)
class CandidateVectors:
    """Item vectors that T queries are scored against: either all training items, or targets and negatives.

    Args:
        items_ND: vectors of all training items; None if negatives are sampled.
        positives_TD: vector of each query's target; None if ``items_ND`` holds them all.
        negatives: (K, D) vectors that all queries share, or (T, K, D), one set per query.
        negative_ids: (K,) or (T, K) int64 number of each negative, as the sampler drew them.
    """

    items_ND: Tensor | None = None
    positives_TD: Tensor | None = None
    negatives: Tensor | None = None
    negative_ids: Tensor | None = None

    def positives(self, chosen_B: Tensor, targets_B: Tensor) -> Tensor:
        """Return the (B, D) vectors of some queries' targets.

        Args:
            chosen_B: int64 places of the queries among the T.
            targets_B: int64 number of each of their targets.
        """
        if self.positives_TD is not None:
            return F.embedding(chosen_B, self.positives_TD)
        return F.embedding(targets_B, cast(Tensor, self.items_ND))


class RankingLossOptions(ComponentOptions):
    """Options of every ranking loss.

    Args:
        temperature: divides the logits, on top of the model's own scale.
        balance: sample weighting, how much each click counts.
    """

    temperature: float = Field(default=1.0, gt=0, le=10_000)
    balance: SampleWeightingOptions = Unweighted.Options()


class RankingLoss(Component, nn.Module):
    """Base of losses of next-item prediction over the training items, which are numbered from 0.

    A member's ``__init__`` takes ``(options, train_counts, categories=None)``.

    Args:
        options: temperature and sample weighting; the losses that come back are already weighted.
        train_counts: (N,) clicks per training item in the training split alone.
        categories: (N, G) membership of each item in each category, for what depends on categories.
    """

    sampler: NegativeSampler | None = None
    """Sampler of negatives; None for a loss over all training items."""

    def __init__(
        self, options: RankingLossOptions, train_counts: np.ndarray, categories: csr_matrix | None = None
    ) -> None:
        super().__init__()
        self.temperature = options.temperature
        self.balance: SampleWeighting = options.balance.build(train_counts, categories)

    def scaled(self, queries_TD: Tensor) -> Tensor:
        """Return queries whose dot products with item vectors are the logits."""
        return queries_TD if self.temperature == 1.0 else queries_TD / self.temperature

    def loss(self, queries_TD: Tensor, targets_T: Tensor, candidates: CandidateVectors) -> Tensor:
        """Compute the losses of T positions.

        Args:
            queries_TD: hidden states, normalized and scaled as the logits need them.
            targets_T: int64 number of the item clicked next.
            candidates: all training items if :attr:`sampler` is None, else targets and negatives.

        Returns:
            (T,) weighted losses in nats, fp32 (fp64 for fp64 input).

        Raises:
            ValueError: if the shapes do not fit together.
        """
        raise NotImplementedError("a ranking loss implements loss()")


class SampledLossOptions(RankingLossOptions):
    """Options of every loss with sampled negatives.

    Args:
        negatives: K, negatives drawn per step or, if they are not shared, per position; with replacement.
        distribution: uniform over items, by popularity, targets of the step, uniform over categories and
            within each over its items, or a mixture.
        mix_with: in ``mixed``, the distribution of the draws that are not uniform.
        uniform_share: in ``mixed``, share of uniform draws.
        power: exponent that flattens popularity, ``(clicks + smoothing) ** power``; targets of the step
            are never flattened.
        smoothing: clicks added to every item's count, so that items without clicks can be drawn.
        shared: whether all positions of a step share one set of negatives, or each has its own. Shared
            ones cost one matrix product and suit a softmax; losses that judge each negative on its own
            starve most items of gradient with them.
    """

    negatives: int = Field(default=512, ge=1, le=1_000_000)
    distribution: Literal["uniform", "popularity", "in_batch", "category", "mixed"] = "uniform"
    mix_with: Literal["popularity", "in_batch", "category"] = "popularity"
    uniform_share: float = Field(default=0.5, ge=0, le=1)
    power: float = Field(default=0.75, ge=0, le=10)
    smoothing: float = Field(default=1.0, ge=0, le=1_000_000_000)
    shared: bool = True


class SampledLoss(RankingLoss):
    """Base of losses over each position's target and sampled negatives.

    A subclass implements :meth:`losses`. A negative that is the target itself is a false negative: it takes
    no part in the loss.
    """

    sampler: NegativeSampler

    def __init__(
        self, options: SampledLossOptions, train_counts: np.ndarray, categories: csr_matrix | None = None
    ) -> None:
        super().__init__(options, train_counts, categories)
        self.sampler = NegativeSampler(
            _distribution(options, train_counts, categories), options.negatives, shared=options.shared
        )

    def loss(self, queries_TD: Tensor, targets_T: Tensor, candidates: CandidateVectors) -> Tensor:
        """Compute the losses of T positions, see the base class."""
        positives_TD, negatives = candidates.positives_TD, candidates.negatives
        losses_T: Tensor = self(queries_TD, positives_TD, negatives, targets_T, candidates.negative_ids)
        return losses_T

    def forward(
        self,
        queries_TD: Tensor,
        positives_TD: Tensor,
        negatives: Tensor,
        targets_T: Tensor,
        negative_ids: Tensor,
    ) -> Tensor:
        """Compute the losses of T positions; under autocast the products run in its dtype, the rest in fp32.

        Args:
            queries_TD: hidden states, normalized and scaled as the logits need them.
            positives_TD: vector of each position's target.
            negatives: (K, D) vectors that all positions share, or (T, K, D), one set per position.
            targets_T: int64 number of each target.
            negative_ids: (K,) or (T, K) int64 number of each negative, as the sampler drew them.

        Returns:
            (T,) weighted losses in nats, fp32 (fp64 for fp64 input).

        Raises:
            ValueError: if the shapes do not fit together.
        """
        check_shapes(queries_TD, positives_TD, negatives, targets_T, negative_ids)
        queries_TD = self.scaled(queries_TD)
        total = torch.promote_types(queries_TD.dtype, torch.float32)
        positive_T = (queries_TD.to(total) * positives_TD.to(total)).sum(-1)
        if negatives.ndim == 2:
            negative_TK = queries_TD @ negatives.T
        else:
            negative_TK = (negatives @ queries_TD[:, :, None]).squeeze(2)
        false_TK = targets_T[:, None] == negative_ids
        losses_T = self.losses(positive_T, negative_TK.to(total), false_TK, negative_ids)
        weighted_T: Tensor = self.balance(losses_T, targets_T)
        return weighted_T

    def losses(
        self, positive_T: Tensor, negative_TK: Tensor, false_TK: Tensor, negative_ids: Tensor
    ) -> Tensor:
        """Compute losses from logits.

        Args:
            positive_T: logits of the targets.
            negative_TK: logits of the negatives.
            false_TK: bool, true where the negative is the target itself.
            negative_ids: (K,) or (T, K) numbers of the negatives.

        Returns:
            (T,) losses before any weight.
        """
        raise NotImplementedError("a sampled loss implements losses()")


def _distribution(
    options: SampledLossOptions, train_counts: np.ndarray, categories: csr_matrix | None
) -> NegativeDistribution:
    def of(name: str) -> NegativeDistribution:
        return distribution_of(
            name, train_counts, categories, power=options.power, smoothing=options.smoothing
        )

    if options.distribution == "mixed":
        return MixedNegatives(options.uniform_share, of("uniform"), of(options.mix_with))
    return of(options.distribution)


def check_shapes(
    queries_TD: Tensor, positives_TD: Tensor, negatives: Tensor, targets_T: Tensor, negative_ids: Tensor
) -> None:
    """Check that the inputs of a sampled loss fit together.

    Raises:
        ValueError: if they do not.
    """
    rows, width = queries_TD.shape
    own = negatives.ndim == 3
    expected = (rows, *negative_ids.shape[1:], width) if own else (*negative_ids.shape, width)
    if (
        positives_TD.shape != queries_TD.shape
        or targets_T.shape != (rows,)
        or negatives.ndim != negative_ids.ndim + 1
        or negatives.shape != expected
        or (own and len(negative_ids) != rows)
    ):
        raise ValueError(
            f"queries {tuple(queries_TD.shape)} and positives {tuple(positives_TD.shape)} must agree, "
            f"targets {tuple(targets_T.shape)} have one a query, and negatives {tuple(negatives.shape)} "
            f"an id each, not {tuple(negative_ids.shape)}; expected (K, D) and (K,), or (T, K, D) and (T, K)"
        )

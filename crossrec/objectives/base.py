"""What all objectives share."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from crossrec.objectives.balance import Balance
from crossrec.objectives.negatives import NegativeSampler


class Objective(nn.Module):
    """A loss of next-item prediction over the training items, which it numbers from 0.

    Args:
        temperature: divides the logits.
        balance: weights of the clicks; the losses that come back are already weighted.
    """

    sampler: NegativeSampler | None = None
    """Where negatives come from; None for a loss that needs the whole catalogue."""

    def __init__(self, *, temperature: float, balance: Balance) -> None:
        super().__init__()
        self.temperature = temperature
        self.balance = balance

    def scaled(self, queries_TD: Tensor) -> Tensor:
        """Queries whose dot products with item vectors are the logits."""
        return queries_TD if self.temperature == 1.0 else queries_TD / self.temperature


class FullObjective(Objective):
    """An objective over the whole catalogue."""

    def forward(self, queries_TD: Tensor, items_ND: Tensor, targets_T: Tensor) -> Tensor:
        """Losses of T positions.

        Args:
            queries_TD: hidden states, normalised and scaled as the logits need them.
            items_ND: vectors of all training items.
            targets_T: int64 number of the item clicked next.

        Returns:
            (T,) weighted losses in nats, fp32 (fp64 for fp64 input).

        Raises:
            ValueError: the shapes do not fit together.
        """
        raise NotImplementedError("a full objective implements forward()")


class SampledObjective(Objective):
    """An objective over each position's target and sampled negatives.

    A subclass says what becomes of the logits in :meth:`losses`. A negative that is the target itself is
    a false one: it takes no part in the loss.

    Args:
        sampler: draws the negatives.
        temperature: divides the logits.
        balance: weights of the clicks.
    """

    sampler: NegativeSampler

    def __init__(self, sampler: NegativeSampler, *, temperature: float, balance: Balance) -> None:
        super().__init__(temperature=temperature, balance=balance)
        self.sampler = sampler

    def forward(
        self,
        queries_TD: Tensor,
        positives_TD: Tensor,
        negatives: Tensor,
        targets_T: Tensor,
        negative_ids: Tensor,
    ) -> Tensor:
        """Losses of T positions; under autocast the products run in its dtype, the rest in fp32.

        Args:
            queries_TD: hidden states, normalised and scaled as the logits need them.
            positives_TD: vector of each position's target.
            negatives: (K, D) vectors that all positions share, or (T, K, D) own to each.
            targets_T: int64 number of each target.
            negative_ids: (K,) or (T, K) int64 number of each negative, as the sampler drew them.

        Returns:
            (T,) weighted losses in nats, fp32 (fp64 for fp64 input).

        Raises:
            ValueError: the shapes do not fit together.
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
        return self.balance(losses_T, targets_T)

    def losses(
        self, positive_T: Tensor, negative_TK: Tensor, false_TK: Tensor, negative_ids: Tensor
    ) -> Tensor:
        """Losses from logits.

        Args:
            positive_T: logits of the targets.
            negative_TK: logits of the negatives.
            false_TK: bool, true where the negative is the target itself.
            negative_ids: (K,) or (T, K) numbers of the negatives.

        Returns:
            (T,) losses before any weight.
        """
        raise NotImplementedError("a sampled objective implements losses()")


def check_shapes(
    queries_TD: Tensor, positives_TD: Tensor, negatives: Tensor, targets_T: Tensor, negative_ids: Tensor
) -> None:
    """Raises ValueError where the shapes do not fit together."""
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

"""Adversarial term: a discriminator that should not find out what kind of items a query is about."""

from __future__ import annotations

from typing import Any, Literal

import torch
from pydantic import Field, field_validator
from torch import Tensor, nn
from torch.nn import functional as F

from crossrec.data.item_table import CATEGORY, ItemTable
from crossrec.losses.terms.base import Term, TermOptions
from crossrec.losses.terms.positions import PositionSample
from crossrec.types import ABSENT, InputError


class AdversarialTerm(Term[PositionSample]):
    """Adversarial loss that hides category or popularity of items in the user vector from a discriminator.

    A small MLP predicts the label distribution from the query, of unit length; its cross-entropy is the
    value of the term, which the MLP lowers while the model, behind a gradient reversal, raises it. So
    here a *higher* value is more diverse. Both learn in the same backward pass, and only in those in which
    the term weighs something: before that, the value is that of an untrained MLP.

    Source:
        Ganin et al. 2016, "Domain-adversarial training of neural networks", section 4; on user vectors: Bose
        and Hamilton 2019, "Compositional fairness constraints for graph embeddings". Ganin et al. raise the
        reversal along a sigmoid; here the weighting's schedule does that.
    """

    class Options(TermOptions):
        """A discriminator that should not find category or popularity in the user vector.

        It learns only while the term has a weight, so the weight can't be 0, and before the ``start`` of a
        schedule the log shows the cross-entropy of an untrained one.

        Args:
            predicts: what the discriminator predicts.
            of: whether labels are those of the click to be predicted, or the mean over the clicks before it.
            buckets: number of popularity classes, each with about the same number of clicks.
            hidden: width of the discriminator.
            reversal: factor of the gradient into the model, beside minus one.
        """

        predicts: Literal["category", "popularity"] = "category"
        of: Literal["target", "history"] = "target"
        buckets: int = Field(default=5, ge=2, le=100_000)
        hidden: int = Field(default=64, ge=1, le=65_536)
        reversal: float = Field(default=1.0, gt=0)

        @field_validator("weight")
        @classmethod
        def _learns(cls, weight: float) -> float:
            if weight == 0:
                raise ValueError(
                    "a discriminator without weight never learns, so that it measures nothing; "
                    "give the term a weight or leave it out"
                )
            return weight

    labels_NC: Tensor

    def __init__(self, options: Options, items: ItemTable, width: int) -> None:
        super().__init__()
        labels_NC = (
            category_labels(items)
            if options.predicts == "category"
            else popularity_labels(items, options.buckets)
        )
        self.of_history = options.of == "history"
        self.reversal = options.reversal
        self.register_buffer("labels_NC", labels_NC, persistent=False)
        self.discriminator = nn.Sequential(
            nn.Linear(width, options.hidden), nn.ReLU(), nn.Linear(options.hidden, labels_NC.shape[1])
        )

    def forward(self, part: PositionSample) -> Tensor:
        """Compute the () mean cross-entropy in nats over positions with a label; 0 if none has one."""
        wanted_BC = self.labels(part)
        known_B = wanted_BC.sum(1) > 0
        predicted_BC = self.predict(_Reverse.apply(part.queries_BD, self.reversal))
        losses_B = F.cross_entropy(predicted_BC, wanted_BC, reduction="none") * known_B
        return losses_B.sum() / known_B.sum().clamp(min=1)

    def predict(self, queries_BD: Tensor) -> Tensor:
        """Return the (B, C) logits of the labels."""
        scaled_BD = F.normalize(queries_BD, dim=1) * queries_BD.shape[1] ** 0.5
        logits_BC: Tensor = self.discriminator(scaled_BD)
        return logits_BC

    def labels(self, part: PositionSample) -> Tensor:
        """Return the (B, C) label distributions; zeros for a position without labels."""
        if not self.of_history:
            return self.labels_NC[part.targets_B]
        seen_BL = part.seen_BL != ABSENT
        sums_BC = (self.labels_NC[part.seen_BL.clamp(min=0)] * seen_BL[:, :, None]).sum(1)
        return sums_BC / sums_BC.sum(1, keepdim=True).clamp(min=1e-12)


def category_labels(items: ItemTable) -> Tensor:
    """Return (N, G) each item's categories as a distribution.

    Raises:
        InputError: if there are no categories.
    """
    items.require(CATEGORY, "diversity")
    return items.categories_NG.float() / items.categories_NG.sum(1, keepdim=True).clamp(min=1)


def popularity_labels(items: ItemTable, buckets: int) -> Tensor:
    """Return (N, C) one-hot popularity buckets of the items, each with about the same number of clicks.

    Raises:
        InputError: if there are no training clicks.
    """
    counts_N = items.train_counts_N.double()
    if not counts_N.sum() > 0:
        raise InputError("diversity: no training click, so there are no popularity buckets")
    ordered_N, order_N = counts_N.sort(stable=True)
    before_N = ordered_N.cumsum(0) - ordered_N / 2
    bucket_N = torch.empty_like(order_N)
    bucket_N[order_N] = (before_N * buckets / ordered_N.sum()).long().clamp(max=buckets - 1)
    return F.one_hot(bucket_N, buckets).float()


class _Reverse(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, strength: float) -> Tensor:
        ctx.strength = strength
        return values.view_as(values)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return -ctx.strength * gradients[0], None

"""A discriminator that should not be able to tell what kind of items a query is about."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from crossrec.losses.diversity.base import DiversityTerm, ItemInfo, StepSample
from crossrec.types import ABSENT, InputError


class AdversarialTerm(DiversityTerm):
    """Hides items' category or popularity in the user vector from a discriminator that learns to find it.

    A small MLP predicts the label distribution from the query, of unit length; its cross-entropy is the
    value of the term, which the MLP lowers while the model, behind a gradient reversal, raises it. So
    here a *higher* value is more diverse. Both learn in the same backward pass, and only in those in which
    the term weighs something: before that, the value is that of an untrained MLP.

    Args:
        labels_NC: label distribution of each training item; zeros for an item without one.
        width: D of the queries.
        hidden: width of the MLP.
        of: whether labels are those of the target, or the mean of those of the clicks that the query knows.
        reversal: what the gradient into the model is multiplied with, beside minus one.

    Source:
        Ganin et al. 2016, "Domain-adversarial training of neural networks", section 4; on user vectors: Bose
        and Hamilton 2019, "Compositional fairness constraints for graph embeddings". Ganin et al. raise the
        reversal along a sigmoid; here the weighting's schedule does that.
    """

    labels_NC: Tensor

    def __init__(
        self, labels_NC: Tensor, *, width: int, hidden: int, of: Literal["target", "history"], reversal: float
    ) -> None:
        super().__init__()
        self.of_history = of == "history"
        self.reversal = reversal
        self.register_buffer("labels_NC", labels_NC, persistent=False)
        self.discriminator = nn.Sequential(
            nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, labels_NC.shape[1])
        )

    def forward(self, sample: StepSample) -> Tensor:
        """() mean cross-entropy in nats over positions with a label; 0 where none has one."""
        wanted_BC = self.labels(sample)
        known_B = wanted_BC.sum(1) > 0
        predicted_BC = self.predict(_Reverse.apply(sample.queries_BD, self.reversal))
        losses_B = F.cross_entropy(predicted_BC, wanted_BC, reduction="none") * known_B
        return losses_B.sum() / known_B.sum().clamp(min=1)

    def predict(self, queries_BD: Tensor) -> Tensor:
        """(B, C) logits of the labels."""
        scaled_BD = F.normalize(queries_BD, dim=1) * queries_BD.shape[1] ** 0.5
        logits_BC: Tensor = self.discriminator(scaled_BD)
        return logits_BC

    def labels(self, sample: StepSample) -> Tensor:
        """(B, C) distribution that should not be found; zeros where there is none."""
        if not self.of_history:
            return self.labels_NC[sample.targets_B]
        seen_BL = sample.seen_BL != ABSENT
        sums_BC = (self.labels_NC[sample.seen_BL.clamp(min=0)] * seen_BL[:, :, None]).sum(1)
        return sums_BC / sums_BC.sum(1, keepdim=True).clamp(min=1e-12)


def category_labels(info: ItemInfo) -> Tensor:
    """(N, G) each item's categories as a distribution.

    Raises:
        InputError: there are no categories.
    """
    info.require("category")
    return info.categories_NG.float() / info.categories_NG.sum(1, keepdim=True).clamp(min=1)


def popularity_labels(info: ItemInfo, buckets: int) -> Tensor:
    """(N, C) one-hot bucket of each item's popularity, each bucket with about the same number of clicks.

    Raises:
        InputError: there are no training clicks.
    """
    counts_N = info.train_counts_N.double()
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

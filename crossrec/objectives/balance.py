"""Data balance: how much each click counts in the loss."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from crossrec.objectives.categories import categories_of, category_weights
from crossrec.types import InputError

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix


class Balance(nn.Module):
    """Turns the losses of clicks into weighted ones; this base class leaves them as they are."""

    def forward(self, losses_T: Tensor, targets_T: Tensor) -> Tensor:
        """Weighted losses.

        Args:
            losses_T: losses, each at least 0.
            targets_T: int64 item of each loss, in the numbering of the training items.

        Returns:
            (T,) losses times their weights.
        """
        return losses_T

    def with_slopes(self, losses_T: Tensor, targets_T: Tensor) -> tuple[Tensor, Tensor]:
        """Weighted losses and their derivatives by the losses, for losses that bring their own backward.

        Returns:
            (T,) losses times their weights and (T,) derivatives, both without a graph.
        """
        with torch.enable_grad():
            free_T = losses_T.detach().requires_grad_()
            balanced_T = self(free_T, targets_T)
            (slopes_T,) = torch.autograd.grad(balanced_T.sum(), free_T)
        return balanced_T.detach(), slopes_T


class ItemBalance(Balance):
    """Weights a click by its item.

    Args:
        weights_N: weight of each item's clicks up to a common factor, not negative.
        train_counts: (N,) training clicks of each item; the mean weight over these clicks becomes 1, so
            that a learning rate means the same with and without balance.

    Raises:
        InputError: there is no training click, or none with a weight.
    """

    weights_N: Tensor

    def __init__(self, weights_N: np.ndarray, train_counts: np.ndarray) -> None:
        super().__init__()
        weighted = float(np.dot(weights_N, train_counts))
        if not weighted > 0:
            raise InputError("balance: no training click has a weight; there is nothing to balance")
        scaled = torch.from_numpy(weights_N * (train_counts.sum() / weighted)).float()
        self.register_buffer("weights_N", scaled, persistent=False)

    def forward(self, losses_T: Tensor, targets_T: Tensor) -> Tensor:
        """(T,) losses times their items' weights."""
        return losses_T * self.weights_N[targets_T]


class Focal(Balance):
    """Lowers the weight of clicks that are predicted well: loss l becomes ``(1 - exp(-l)) ** gamma * l``.

    Of a softmax, ``exp(-l)`` is the target's probability, as in the source (with label smoothing a little
    below it; of a sampled softmax, the estimate of it). Of BCE and gBCE it is the geometric mean of the
    probabilities given to the K + 1 right answers, of BPR that of the K won comparisons.

    These weights depend on the model, so nothing is normalised: losses and gradients shrink as training
    goes on, and Adam's scale invariance keeps the meaning of its learning rate.

    Args:
        gamma: 0 leaves every loss as it is.

    Source:
        Lin et al. 2017, "Focal loss for dense object detection", equation 4.
    """

    def __init__(self, gamma: float) -> None:
        super().__init__()
        self.gamma = gamma

    def forward(self, losses_T: Tensor, targets_T: Tensor) -> Tensor:
        """(T,) focal losses; the weight takes part in the gradient."""
        # At a loss of 0 the power has no finite derivative for gamma below 1.
        return (-torch.expm1(-losses_T.clamp(min=1e-12))).pow(self.gamma) * losses_T


def inverse_propensity(train_counts: np.ndarray, power: float, clip: float) -> ItemBalance:
    """Weights a click by one over its item's propensity ``(clicks / most clicks) ** power``.

    Args:
        train_counts: (N,) training clicks of each item.
        power: 0 for no weights, 1 for the same total weight for every item.
        clip: least propensity.

    Source:
        Saito et al. 2020, "Unbiased recommender learning from missing-not-at-random implicit feedback",
        the clipped estimator. Normalised here to a mean of 1 over the training clicks.
    """
    counts = np.asarray(train_counts, dtype=np.float64)
    propensity = (counts / max(counts.max(initial=0.0), 1.0)) ** power
    return ItemBalance(1.0 / np.maximum(propensity, clip), counts)


def category_balanced(train_counts: np.ndarray, categories: csr_matrix, power: float) -> ItemBalance:
    """Weights a click by one over its categories' training clicks, ``mean_g clicks_g ** -power``.

    Args:
        train_counts: (N,) training clicks of each item.
        categories: (N, G), above 0 where the item is in the category.
        power: 0 for no weights; 1 for the same total weight for every category, where items have one each.

    Raises:
        InputError: no item has a category.
    """
    counts = np.asarray(train_counts, dtype=np.float64)
    weights_N = category_weights(categories, counts, power)
    if weights_N is None:
        raise InputError("balance: 'category_balanced', but no item has a category")
    return ItemBalance(weights_N / categories_of(categories), counts)


def class_balanced(train_counts: np.ndarray, beta: float) -> ItemBalance:
    """Weights a click by one over its item's effective number of clicks ``(1 - beta ** n) / (1 - beta)``.

    Args:
        train_counts: (N,) training clicks of each item; an item without any counts as one with a single
            click, the largest weight.
        beta: 0 for no weights; towards 1 for the same total weight for every item.

    Source:
        Cui et al. 2019, "Class-balanced loss based on effective number of samples", proposition 1.
        They normalise the sum of weights over the classes; here the mean over the training clicks is 1.
    """
    counts = np.asarray(train_counts, dtype=np.float64)
    return ItemBalance((1.0 - beta) / (1.0 - beta ** np.maximum(counts, 1.0)), counts)

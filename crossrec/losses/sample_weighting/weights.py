"""Sample weightings: by popularity, by category, and by how well a click is predicted."""

from __future__ import annotations

import numpy as np
import torch
from pydantic import Field
from scipy.sparse import csr_matrix, hstack
from torch import Tensor, nn

from crossrec.config import Component, ComponentOptions
from crossrec.types import InputError


class SampleWeighting(Component, nn.Module):
    """Base of sample weightings, which turn the losses of clicks into weighted ones.

    A member's ``__init__`` takes ``(options, train_counts, categories=None)``: its options, the (N,) training
    clicks per item, and the (N, G) membership of each item in each category.
    """

    def forward(self, losses_T: Tensor, targets_T: Tensor) -> Tensor:
        """Weight the losses.

        Args:
            losses_T: losses, each at least 0.
            targets_T: int64 item of each loss, in the numbering of the training items.

        Returns:
            (T,) losses times their weights.
        """
        raise NotImplementedError("a sample weighting implements forward()")

    def with_slopes(self, losses_T: Tensor, targets_T: Tensor) -> tuple[Tensor, Tensor]:
        """Weight the losses and their derivatives, for losses with their own backward.

        Returns:
            (T,) losses times their weights and (T,) derivatives, both without a graph.
        """
        with torch.enable_grad():
            free_T = losses_T.detach().requires_grad_()
            weighted_T = self(free_T, targets_T)
            (slopes_T,) = torch.autograd.grad(weighted_T.sum(), free_T)
        return weighted_T.detach(), slopes_T


class Unweighted(SampleWeighting):
    """Every click has weight 1."""

    class Options(ComponentOptions):
        """Every click counts the same."""

    def __init__(
        self, options: Options, train_counts: np.ndarray, categories: csr_matrix | None = None
    ) -> None:
        super().__init__()

    def forward(self, losses_T: Tensor, targets_T: Tensor) -> Tensor:
        """Return the losses as they are."""
        return losses_T


class ItemWeighting(SampleWeighting):
    """Base of weightings that depend on the clicked item alone.

    Args:
        weights_N: non-negative weight of each item's clicks, up to a common factor.
        train_counts: (N,) training clicks per item; the mean weight over these clicks becomes 1, so that a
            learning rate means the same with and without weighting.

    Raises:
        InputError: if there is no training click, or none with a weight.
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
        """Return the (T,) losses times their items' weights."""
        return losses_T * self.weights_N[targets_T]


class InversePropensity(ItemWeighting):
    """Weights of one over the item's propensity, ``1 / max(clip, (clicks / most clicks) ** power)``.

    Source:
        Saito et al. 2020, "Unbiased recommender learning from missing-not-at-random implicit feedback",
        the clipped estimator. Normalized here to a mean of 1 over the training clicks.
    """

    class Options(ComponentOptions):
        """Clicks on popular items count less, by ``1 / max(clip, (clicks / most clicks) ** power)``.

        Args:
            power: 0 for no weights, 1 for the same total weight for every item.
            clip: lower bound of the propensity, which bounds the weights.
        """

        power: float = Field(default=0.5, ge=0, le=10)
        clip: float = Field(default=0.1, gt=0, le=1)

    def __init__(
        self, options: Options, train_counts: np.ndarray, categories: csr_matrix | None = None
    ) -> None:
        counts = np.asarray(train_counts, dtype=np.float64)
        propensity = (counts / max(counts.max(initial=0.0), 1.0)) ** options.power
        super().__init__(1.0 / np.maximum(propensity, options.clip), counts)


class ClassBalanced(ItemWeighting):
    """Weights of one over the item's effective number of clicks, ``(1 - beta ** n) / (1 - beta)``.

    An item without training clicks counts as one with a single click, which has the largest weight.

    Source:
        Cui et al. 2019, "Class-balanced loss based on effective number of samples", proposition 1.
        They normalize the sum of weights over the classes; here the mean over the training clicks is 1.
    """

    class Options(ComponentOptions):
        """Clicks count by one over their item's effective number of clicks.

        Args:
            beta: 0 for no weights, towards 1 for the same total weight for every item.
        """

        beta: float = Field(default=0.99, ge=0, lt=1)

    def __init__(
        self, options: Options, train_counts: np.ndarray, categories: csr_matrix | None = None
    ) -> None:
        counts = np.asarray(train_counts, dtype=np.float64)
        beta = options.beta
        super().__init__((1.0 - beta) / (1.0 - beta ** np.maximum(counts, 1.0)), counts)


class CategoryBalanced(ItemWeighting):
    """Weights of one over the training clicks of the item's categories, ``mean_g clicks_g ** -power``.

    Raises:
        InputError: if no item has a category.
    """

    class Options(ComponentOptions):
        """Clicks count by one over the training clicks of their item's categories.

        Args:
            power: 0 for no weights; 1 for the same total weight for every category, where items have one
                each.
        """

        power: float = Field(default=0.5, ge=0, le=10)

    def __init__(
        self, options: Options, train_counts: np.ndarray, categories: csr_matrix | None = None
    ) -> None:
        if categories is None:
            raise InputError("balance: 'category_balanced' needs the catalogue's categories")
        counts = np.asarray(train_counts, dtype=np.float64)
        weights_N = category_weights(categories, counts, options.power)
        if weights_N is None:
            raise InputError("balance: 'category_balanced', but no item has a category")
        # Items without a category stand together as one.
        of_item_N = np.maximum(np.asarray((categories > 0).sum(1)).ravel(), 1)
        super().__init__(weights_N / of_item_N, counts)


class Focal(SampleWeighting):
    """Focal loss: loss l becomes ``(1 - exp(-l)) ** gamma * l``, less for clicks that are predicted well.

    Of a softmax, ``exp(-l)`` is the target's probability, as in the source (with label smoothing a little
    below it; of a sampled softmax, the estimate of it). Of BCE and gBCE it is the geometric mean of the
    probabilities given to the K + 1 right answers, of BPR that of the K won comparisons.

    These weights depend on the model, so nothing is normalized: losses and gradients shrink as training
    goes on, and Adam's scale invariance keeps the meaning of its learning rate.

    Source:
        Lin et al. 2017, "Focal loss for dense object detection", equation 4.
    """

    class Options(ComponentOptions):
        """Clicks that are predicted well count less.

        Args:
            gamma: 0 leaves every loss as it is.
        """

        gamma: float = Field(default=2.0, ge=0, le=100)

    def __init__(
        self, options: Options, train_counts: np.ndarray, categories: csr_matrix | None = None
    ) -> None:
        super().__init__()
        self.gamma = options.gamma

    def forward(self, losses_T: Tensor, targets_T: Tensor) -> Tensor:
        """Return the (T,) focal losses; the weight takes part in the gradient."""
        # At a loss of 0 the power has no finite derivative for gamma below 1.
        return (-torch.expm1(-losses_T.clamp(min=1e-12))).pow(self.gamma) * losses_T


def category_weights(
    categories: csr_matrix, counts: np.ndarray | None = None, power: float = 1.0
) -> np.ndarray | None:
    """Sum one over the category's size to a power over each item's categories.

    Args:
        categories: (N, G), above 0 where the item is in the category. Items without one stand together as
            one more category.
        counts: (N,) what each item adds to the size of its categories; 1 when None.
        power: exponent of a category's size; 1 gives every category the same total.

    Returns:
        (N,) float64 weights; None if no item has a category.
    """
    member = csr_matrix(categories > 0, dtype=np.float64)
    of_item_N = np.asarray(member.sum(1)).ravel()
    if not of_item_N.any():
        return None
    without_N1 = csr_matrix((of_item_N == 0).astype(np.float64)[:, None])
    member = csr_matrix(hstack([member, without_N1]))
    size_G = member.T @ (np.ones(member.shape[0]) if counts is None else np.asarray(counts, np.float64))
    inverse_G = np.divide(1.0, size_G**power, out=np.zeros_like(size_G), where=size_G > 0)
    return np.asarray(member @ inverse_G)

"""Configurations of the data balance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from pydantic import Field

from crossrec.config import Config, UnionFamily
from crossrec.types import InputError

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

    from crossrec.objectives.balance import Balance


class NoBalanceConfig(Config):
    """Every click counts the same."""

    type: Literal["none"] = "none"

    def build(self, train_counts: np.ndarray, categories: csr_matrix | None = None) -> Balance:
        """The balance, from (N,) training clicks of each item and its (N, G) categories."""
        from crossrec.objectives.balance import Balance

        return Balance()


class InversePropensityConfig(Config):
    """Clicks on popular items count less, by ``1 / max(clip, (clicks / most clicks) ** power)``.

    Args:
        power: 0 for no weights, 1 for the same total weight for every item.
        clip: least propensity, which bounds the weights.
    """

    type: Literal["inverse_propensity"] = "inverse_propensity"
    power: float = Field(default=0.5, ge=0, le=10)
    clip: float = Field(default=0.1, gt=0, le=1)

    def build(self, train_counts: np.ndarray, categories: csr_matrix | None = None) -> Balance:
        """The balance, from (N,) training clicks of each item and its (N, G) categories."""
        from crossrec.objectives.balance import inverse_propensity

        return inverse_propensity(train_counts, self.power, self.clip)


class ClassBalancedConfig(Config):
    """Clicks count by one over their item's effective number of clicks.

    Args:
        beta: 0 for no weights, towards 1 for the same total weight for every item.
    """

    type: Literal["class_balanced"] = "class_balanced"
    beta: float = Field(default=0.99, ge=0, lt=1)

    def build(self, train_counts: np.ndarray, categories: csr_matrix | None = None) -> Balance:
        """The balance, from (N,) training clicks of each item and its (N, G) categories."""
        from crossrec.objectives.balance import class_balanced

        return class_balanced(train_counts, self.beta)


class CategoryBalancedConfig(Config):
    """Clicks count by one over the training clicks of their item's categories.

    Args:
        power: 0 for no weights, 1 for the same total weight for every category.
    """

    type: Literal["category_balanced"] = "category_balanced"
    power: float = Field(default=0.5, ge=0, le=10)

    def build(self, train_counts: np.ndarray, categories: csr_matrix | None = None) -> Balance:
        """The balance, from (N,) training clicks of each item and its (N, G) categories.

        Raises:
            InputError: no item has a category.
        """
        from crossrec.objectives.balance import category_balanced

        if categories is None:
            raise InputError("balance: 'category_balanced' needs the catalogue's categories")
        return category_balanced(train_counts, categories, self.power)


class FocalConfig(Config):
    """Clicks that are predicted well count less.

    Args:
        gamma: 0 leaves every loss as it is.
    """

    type: Literal["focal"] = "focal"
    gamma: float = Field(default=2.0, ge=0, le=100)

    def build(self, train_counts: np.ndarray, categories: csr_matrix | None = None) -> Balance:
        """The balance, from (N,) training clicks of each item and its (N, G) categories."""
        from crossrec.objectives.balance import Focal

        return Focal(self.gamma)


BalanceConfig = Annotated[
    NoBalanceConfig | InversePropensityConfig | ClassBalancedConfig | CategoryBalancedConfig | FocalConfig,
    UnionFamily(),
]
"""For fields of other configurations."""

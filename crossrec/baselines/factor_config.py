"""Configurations of the factor models and of EASE."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from crossrec.baselines.context import BaselineContext, as_context
from crossrec.config import Config

if TYPE_CHECKING:
    from crossrec.baselines.base import Baseline


class ALSConfig(Config):
    """Matrix factorisation of implicit feedback by alternating least squares.

    Args:
        factors: width of user and item vectors.
        regularization: weight of the squared norms.
        alpha: confidence that one click adds.
        iterations: sweeps over users and items.
        seed: seed of the initial vectors.
    """

    type: Literal["als"] = "als"
    factors: int = Field(default=64, ge=1, le=65_536)
    regularization: float = Field(default=0.01, ge=0, le=1_000_000_000)
    alpha: float = Field(default=1.0, gt=0, le=1_000_000)
    iterations: int = Field(default=15, ge=1, le=1_000_000)
    seed: int = Field(default=0, ge=0)

    def grid(self) -> list[ALSConfig]:
        """The configurations that tuning tries, all with this seed and number of iterations."""
        return [
            self.model_copy(update={"factors": factors, "regularization": regularization, "alpha": alpha})
            for factors, regularization, alpha in product(
                (16, 32, 64), (0.01, 0.1, 1.0, 10.0), (1.0, 5.0, 20.0)
            )
        ]

    def build(self, context: BaselineContext | int) -> Baseline:
        """An unfitted recommender for a catalogue, or for a number of items of which nothing is known."""
        from crossrec.baselines.als import ALS

        return ALS(as_context(context), self)


class BPRConfig(Config):
    """Matrix factorisation that ranks clicked above unclicked items.

    Args:
        factors: width of user and item vectors; items have a bias beside them.
        learning_rate: of stochastic gradient descent.
        regularization: weight of the squared norms.
        iterations: passes over the clicks.
        ridge: weight of the squared map from histories to user vectors, relative to the data's.
        seed: seed of the initial vectors and of the draws.
    """

    type: Literal["bpr"] = "bpr"
    factors: int = Field(default=64, ge=1, le=65_536)
    learning_rate: float = Field(default=0.05, gt=0, le=100)
    regularization: float = Field(default=0.01, ge=0, le=1_000_000_000)
    iterations: int = Field(default=100, ge=1, le=1_000_000)
    ridge: float = Field(default=0.01, gt=0, le=1_000_000_000)
    seed: int = Field(default=0, ge=0)

    def grid(self) -> list[BPRConfig]:
        """The configurations that tuning tries, all with this seed and number of iterations."""
        return [
            self.model_copy(
                update={"factors": factors, "learning_rate": learning_rate, "regularization": regularization}
            )
            for factors, learning_rate, regularization in product(
                (32, 64, 128), (0.02, 0.05, 0.1), (0.003, 0.01, 0.03)
            )
        ]

    def build(self, context: BaselineContext | int) -> Baseline:
        """An unfitted recommender for a catalogue, or for a number of items of which nothing is known."""
        from crossrec.baselines.bpr import BPR

        return BPR(as_context(context), self)


class EASEConfig(Config):
    """The linear item-to-item model without self-similarity, in closed form.

    Args:
        regularization: added to the diagonal of the items' Gram matrix, in clicks.
        memory_gb: 10^9 bytes that the (N, N) tables may take; a catalogue that needs more is refused.
    """

    type: Literal["ease"] = "ease"
    regularization: float = Field(default=200.0, gt=0, le=1_000_000_000)
    memory_gb: float = Field(default=6.0, gt=0)

    def grid(self) -> list[EASEConfig]:
        """The configurations that tuning tries."""
        return [
            self.model_copy(update={"regularization": regularization})
            for regularization in (20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0)
        ]

    def build(self, context: BaselineContext | int) -> Baseline:
        """An unfitted recommender for a catalogue, or for a number of items of which nothing is known."""
        from crossrec.baselines.ease import EASE

        return EASE(as_context(context), self)

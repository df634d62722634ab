"""Configurations of the graph convolution models."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from crossrec.baselines.context import BaselineContext, as_context
from crossrec.config import Config

if TYPE_CHECKING:
    from crossrec.baselines.base import Baseline


class GraphConfig(Config):
    """What the graph convolution models share.

    Args:
        width: of the vectors, in every layer.
        layers: propagation steps.
        epochs: passes over the training clicks.
        batch_size: clicks in a step.
        learning_rate: of Adam.
        regularization: weight of a step's squared vectors, as a mean over its clicks.
        ridge: weight of the squared map from histories to user vectors, relative to the data's.
        seed: seed of initial weights, order and negatives.
    """

    width: int = Field(default=64, ge=1, le=65_536)
    layers: int = Field(default=2, ge=1, le=1_000)
    epochs: int = Field(default=60, ge=1, le=1_000_000)
    batch_size: int = Field(default=4096, ge=1, le=10_000_000)
    learning_rate: float = Field(default=0.01, gt=0, le=100)
    regularization: float = Field(default=0.0001, ge=0, le=1_000_000_000)
    ridge: float = Field(default=0.01, gt=0, le=1_000_000_000)
    seed: int = Field(default=0, ge=0)


class LightGCNConfig(GraphConfig):
    """Graph convolution without weights: vectors are averaged over neighbours in the click graph."""

    type: Literal["lightgcn"] = "lightgcn"

    def grid(self) -> list[LightGCNConfig]:
        """The configurations that tuning tries, all with this width and seed."""
        return [
            self.model_copy(update={"layers": layers, "regularization": regularization, "epochs": epochs})
            for layers, regularization, epochs in product((1, 2, 3), (1e-4, 1e-3, 1e-2), (30, 60))
        ]

    def build(self, context: BaselineContext | int) -> Baseline:
        """An unfitted recommender for a catalogue, or for a number of items of which nothing is known."""
        from crossrec.baselines.neural.lightgcn import LightGCN

        return LightGCN(as_context(context), self)


class NGCFConfig(GraphConfig):
    """Graph convolution with weights, and with products of users' and items' vectors.

    Args:
        dropout: share of messages left out while training.
    """

    type: Literal["ngcf"] = "ngcf"
    dropout: float = Field(default=0.1, ge=0, lt=1)
    learning_rate: float = Field(default=0.005, gt=0, le=100)

    def grid(self) -> list[NGCFConfig]:
        """The configurations that tuning tries, all with this width and seed."""
        return [
            self.model_copy(update={"layers": layers, "regularization": regularization})
            for layers, regularization in product((1, 2, 3), (1e-4, 1e-3, 1e-2))
        ]

    def build(self, context: BaselineContext | int) -> Baseline:
        """An unfitted recommender for a catalogue, or for a number of items of which nothing is known."""
        from crossrec.baselines.neural.ngcf import NGCF

        return NGCF(as_context(context), self)

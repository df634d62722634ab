"""Configurations of the trained models that know items by their content."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from crossrec.baselines.context import BaselineContext, as_context
from crossrec.config import Config

if TYPE_CHECKING:
    from crossrec.baselines.base import Baseline


class TwoTowerConfig(Config):
    """A user tower on the history's pooled content, an item tower on content, and their dot product.

    Args:
        modalities: whose frozen vectors are content; several stand side by side.
        width: of the towers' outputs.
        hidden: width of the towers' one hidden layer.
        recency: weight of a history click relative to the next younger one.
        history: youngest clicks of a history that are pooled.
        negatives: unclicked items for each click.
        power: negatives are drawn in proportion to clicks raised to this power; 0 draws evenly.
        log_q: subtracts the log of a negative's chance to be drawn from its logit while training, so
            that popular items, drawn more often, are not held down for it.
        epochs: passes over the training clicks.
        batch_size: clicks in a step.
        learning_rate: of Adam.
        regularization: Adam's decoupled weight decay.
        seed: seed of initial weights, order and negatives.
    """

    type: Literal["two_tower"] = "two_tower"
    modalities: tuple[str, ...] = Field(default=("text",), min_length=1)
    width: int = Field(default=64, ge=1, le=65_536)
    hidden: int = Field(default=128, ge=1, le=65_536)
    recency: float = Field(default=0.9, gt=0, le=1)
    history: int = Field(default=50, ge=1)
    negatives: int = Field(default=50, ge=1, le=1_000_000)
    power: float = Field(default=0.75, ge=0, le=1)
    log_q: bool = True
    epochs: int = Field(default=10, ge=1, le=1_000_000)
    batch_size: int = Field(default=1024, ge=1, le=10_000_000)
    learning_rate: float = Field(default=0.003, gt=0, le=100)
    regularization: float = Field(default=0.01, ge=0, le=1_000_000_000)
    seed: int = Field(default=0, ge=0)

    @property
    def needs(self) -> tuple[str, ...]:
        """Item features that it needs, by their names in :meth:`BaselineContext.require`."""
        return self.modalities

    def grid(self) -> list[TwoTowerConfig]:
        """The configurations that tuning tries, all of these modalities and widths."""
        return [
            self.model_copy(update={"recency": recency, "epochs": epochs, "log_q": log_q})
            for recency, epochs, log_q in product((1.0, 0.9, 0.7), (5, 10, 20), (True, False))
        ]

    def build(self, context: BaselineContext | int) -> Baseline:
        """An unfitted recommender for a catalogue, or for a number of items of which nothing is known."""
        from crossrec.baselines.neural.two_tower import TwoTower

        return TwoTower(as_context(context), self)


class VBPRConfig(Config):
    """Matrix factorisation by BPR with a part that sees the items' pictures.

    Args:
        modality: whose frozen vectors are seen; the paper's is ``image``.
        width: of the latent vectors.
        visual_width: of the vectors that pictures are projected to.
        epochs: passes over the training clicks.
        batch_size: clicks in a step.
        learning_rate: of Adam.
        regularization: weight of a step's squared vectors, as a mean over its clicks.
        ridge: weight of the squared map from histories to user vectors, relative to the data's.
        seed: seed of initial weights, order and negatives.
    """

    type: Literal["vbpr"] = "vbpr"
    modality: str = "image"
    width: int = Field(default=32, ge=1, le=65_536)
    visual_width: int = Field(default=32, ge=1, le=65_536)
    epochs: int = Field(default=60, ge=1, le=1_000_000)
    batch_size: int = Field(default=4096, ge=1, le=10_000_000)
    learning_rate: float = Field(default=0.01, gt=0, le=100)
    regularization: float = Field(default=0.01, ge=0, le=1_000_000_000)
    ridge: float = Field(default=0.01, gt=0, le=1_000_000_000)
    seed: int = Field(default=0, ge=0)

    @property
    def needs(self) -> tuple[str, ...]:
        """Item features that it needs, by their names in :meth:`BaselineContext.require`."""
        return (self.modality,)

    def grid(self) -> list[VBPRConfig]:
        """The configurations that tuning tries, all with this modality and seed."""
        return [
            self.model_copy(update={"width": width, "regularization": regularization, "epochs": epochs})
            for width, regularization, epochs in product((16, 32, 64), (1e-3, 1e-2, 1e-1), (30, 60))
        ]

    def build(self, context: BaselineContext | int) -> Baseline:
        """An unfitted recommender for a catalogue, or for a number of items of which nothing is known."""
        from crossrec.baselines.neural.vbpr import VBPR

        return VBPR(as_context(context), self)

"""Configuration of synthesis in a training: which categories and users are enlarged, and by how much."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from crossrec.augment.base import Schedule
from crossrec.augment.synthesis.config import BetaVaeConfig, VectorGeneratorConfig
from crossrec.config import Config

Space = Literal["text", "image"]
ClassSource = Literal["categories", "segments"]


class SyntheticItemsConfig(Config):
    """Synthetic items of tail categories: feature vectors that training takes in place of an item's own.

    Args:
        generator: learns the frozen features of items with a training click, given their categories.
        spaces: features that are generated; one that the model does not use frozen is left out.
        tail_share: share of the training clicks (of items in categories) that the tail categories hold.
        ratio: synthetic items for each item of a tail category.
        pool: vectors drawn for each synthetic item; the nearest ones to the item are taken.
        share: chance that a training look-up of such an item takes a synthetic one.
        schedule: multiplies the share as training goes on.
    """

    generator: VectorGeneratorConfig = BetaVaeConfig()
    spaces: tuple[Space, ...] = Field(("text", "image"), min_length=1)
    tail_share: float = Field(0.3, gt=0, lt=1)
    ratio: int = Field(2, ge=1, le=20)
    pool: int = Field(8, ge=1, le=1_000_000)
    share: float = Field(0.3, gt=0, le=1)
    schedule: Schedule = Schedule()


class SyntheticUsersConfig(Config):
    """Synthetic users like those with few clicks: generated profiles, turned into clicks on real items.

    Args:
        generator: learns profiles (mean content vectors of training clicks) of users with two clicks or
            more, given how their clicks fall on categories.
        max_clicks: users of at least two and at most so many training clicks are enlarged.
        ratio: synthetic users for each of them.
        temperature: of the softmax over cosines of profile and item from which items are drawn.
        schedule: of the number of synthetic users.
    """

    generator: VectorGeneratorConfig = BetaVaeConfig()
    max_clicks: int = Field(5, ge=2)
    ratio: float = Field(1.0, gt=0, le=20)
    temperature: float = Field(0.05, gt=0, le=10_000)
    schedule: Schedule = Schedule()


class SynthesisUseConfig(Config):
    """What generators add to a training; evaluation never sees any of it.

    Args:
        items: of tail categories; None for none.
        users: with few clicks; None for none.
        components: dimensions to which features are reduced by PCA for the generators.
        classes: what generators are told of a sample: categories (of an item; of a user, how the clicks fall
            on them), or the K-means group of ``segments`` that the item or user is in.
        max_classes: categories that generators are told of, those of most training items; an item that has
            only others is generated without a class.
    """

    items: SyntheticItemsConfig | None = None
    users: SyntheticUsersConfig | None = None
    components: int = Field(64, ge=2, le=65_536)
    classes: ClassSource = "categories"
    max_classes: int = Field(256, ge=1)

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.items is None and self.users is None:
            raise ValueError("needs items or users, or leave synthesis out")
        return self

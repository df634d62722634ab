"""Configurations of sequence augmentation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import Field, model_validator

from crossrec.augment.base import Schedule, name_of
from crossrec.config import Config, UnionFamily
from crossrec.data.neighbours import ItemSimilarity

if TYPE_CHECKING:
    from crossrec.augment.sequence.base import SequenceAugmenter
    from crossrec.augment.sequence.context import SequenceContext


class RowOptions(Config):
    """What every sequence augmenter has."""

    probability: float = Field(1.0, gt=0, le=1, description="of a row to be augmented, once it is its turn")


class CropConfig(RowOptions):
    """Keeps a contiguous part of the clicks."""

    type: Literal["crop"] = "crop"
    share: float = Field(0.6, gt=0, lt=1, description="of the clicks that are kept")

    def build(self, context: SequenceContext) -> SequenceAugmenter:
        """The augmenter."""
        from crossrec.augment.sequence.order import Crop

        return Crop(self.probability, self.share)


class MaskConfig(RowOptions):
    """Leaves out some clicks."""

    type: Literal["mask"] = "mask"
    share: float = Field(0.3, gt=0, lt=1, description="of the clicks that are left out")

    def build(self, context: SequenceContext) -> SequenceAugmenter:
        """The augmenter."""
        from crossrec.augment.sequence.order import Mask

        return Mask(self.probability, self.share)


class ReorderConfig(RowOptions):
    """Shuffles a contiguous part of the clicks."""

    type: Literal["reorder"] = "reorder"
    share: float = Field(0.6, gt=0, le=1, description="of the clicks that are shuffled")

    def build(self, context: SequenceContext) -> SequenceAugmenter:
        """The augmenter."""
        from crossrec.augment.sequence.order import Reorder

        return Reorder(self.probability, self.share)


class SimilarOptions(RowOptions):
    """What augmenters by item similarity have."""

    neighbours: int = Field(5, ge=1, le=100_000, description="most similar items, one of which is drawn")
    similarity: ItemSimilarity = Field(
        "clicks", description="by common users, by vectors of text and picture, or by whichever is larger"
    )


class SubstituteConfig(SimilarOptions):
    """Puts a similar item in the place of some clicks."""

    type: Literal["substitute"] = "substitute"
    share: float = Field(0.1, gt=0, le=1, description="of the clicks that are substituted; at least one is")

    def build(self, context: SequenceContext) -> SequenceAugmenter:
        """The augmenter, whose similar items come from the training part."""
        from crossrec.augment.sequence.similar import Substitute

        found = context.neighbours(self.neighbours, self.similarity)
        return Substitute(self.probability, self.share, found)


class InsertConfig(SimilarOptions):
    """Puts a similar item before some clicks."""

    type: Literal["insert"] = "insert"
    share: float = Field(0.4, gt=0, le=1, description="of the clicks that get one; at least one does")

    def build(self, context: SequenceContext) -> SequenceAugmenter:
        """The augmenter, whose similar items come from the training part."""
        from crossrec.augment.sequence.similar import Insert

        found = context.neighbours(self.neighbours, self.similarity)
        return Insert(self.probability, self.share, found)


SequenceAugmenterConfig = Annotated[
    CropConfig | MaskConfig | ReorderConfig | SubstituteConfig | InsertConfig, UnionFamily()
]
"""For fields of other configurations."""


class SequenceAugmentConfig(Config):
    """Augmented copies of users' training clicks beside the originals, other ones each epoch.

    The augmenters also make the two views of a history that a contrastive loss compares; for views alone,
    set ``copies`` to 0.
    """

    augmenters: tuple[SequenceAugmenterConfig, ...] = Field(
        (CropConfig(), MaskConfig(), ReorderConfig()), min_length=1
    )
    mode: Literal["one", "chain"] = Field(
        "one", description="each row goes through one augmenter at random, or through all in turn"
    )
    copies: float = Field(
        1.0, ge=0, le=10, description="augmented rows an epoch for each original; 0.5 copies half of them"
    )
    max_clicks: int | None = Field(
        None, ge=1, description="only rows of at most so many clicks are copied; None for all"
    )
    schedule: Schedule = Schedule()

    @model_validator(mode="after")
    def _schedule_is_used(self) -> Self:
        if self.copies == 0 and (self.schedule != Schedule() or self.max_clicks is not None):
            raise ValueError("schedule and max_clicks are of the copies, and copies is 0")
        return self

    def build(self, context: SequenceContext) -> SequenceAugmenter:
        """All augmenters as one.

        Raises:
            InputError: similarity by content is asked for and there are no vectors.
        """
        from crossrec.augment.sequence.compose import InTurn, OneOf

        built = [
            (f"{n}_{name_of(config)}", config.build(context)) for n, config in enumerate(self.augmenters)
        ]
        return OneOf(built) if self.mode == "one" else InTurn(built)

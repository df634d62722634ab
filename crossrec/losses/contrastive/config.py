"""Configurations of contrastive losses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from crossrec.config import Config, UnionFamily
from crossrec.losses.diversity.config import (
    LOGGED,
    FixedWeightingConfig,
    ScheduledWeightingConfig,
    TermName,
)

if TYPE_CHECKING:
    from crossrec.losses.contrastive.base import ContrastiveTerm
    from crossrec.losses.contrastive.terms import ContrastiveTerms


class TermOptions(Config):
    """What every term has.

    Attributes:
        needs_views: whether augmented views of histories must be made for it.
    """

    needs_views: ClassVar[bool] = False
    weight: float = Field(
        0.1, ge=0, le=1_000_000, description="beside the ranking loss's 1; 0 only measures the term"
    )
    temperature: float = Field(0.1, gt=0, le=10_000, description="of the cosines")


class SequenceViewsTermConfig(TermOptions):
    """Two views of one history, made by the augmenters of ``augment.sequence``."""

    needs_views: ClassVar[bool] = True
    type: Literal["sequence_views"] = "sequence_views"
    temperature: float = Field(0.5, gt=0, le=10_000, description="of the cosines")

    def build(self) -> ContrastiveTerm:
        """The term."""
        from crossrec.losses.contrastive.info_nce import SequenceViewsTerm

        return SequenceViewsTerm(self.temperature)


class CrossModalTermConfig(TermOptions):
    """Text, picture and id of one item."""

    type: Literal["cross_modal"] = "cross_modal"
    items: int = Field(512, ge=2, le=1_000_000, description="of a part of a step that are compared, at most")

    def build(self) -> ContrastiveTerm:
        """The term."""
        from crossrec.losses.contrastive.info_nce import CrossModalTerm

        return CrossModalTerm(self.temperature, self.items)


ContrastiveTermConfig = Annotated[SequenceViewsTermConfig | CrossModalTermConfig, UnionFamily()]
"""For fields of other configurations."""


class ContrastiveConfig(Config):
    """Contrastive terms by name, each with its weight, added to the ranking loss.

    Args:
        terms: the names are those in the log.
        weighting: fixed, or rising.
    """

    terms: dict[TermName, ContrastiveTermConfig] = Field(min_length=1)
    weighting: Annotated[FixedWeightingConfig | ScheduledWeightingConfig, UnionFamily()] = (
        FixedWeightingConfig()
    )

    @model_validator(mode="after")
    def _names_are_free(self) -> Self:
        for name in self.terms:
            if name in LOGGED:
                raise ValueError(f"terms.{name}: the log already has a field '{name}'; choose another name")
        return self

    @property
    def needs_views(self) -> bool:
        """Whether augmented views of histories must be made."""
        return any(term.needs_views for term in self.terms.values())

    def build(self) -> ContrastiveTerms:
        """What a task adds to its ranking loss."""
        from crossrec.losses.contrastive.terms import ContrastiveTerms

        weights = {name: term.weight for name, term in self.terms.items()}
        return ContrastiveTerms(
            {name: term.build() for name, term in self.terms.items()}, self.weighting.build(weights, {})
        )

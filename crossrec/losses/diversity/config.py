"""Configurations of diversity as a training loss."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from crossrec.config import Config, UnionFamily
from crossrec.losses.diversity.term_config import ItemToUserTermConfig, SimilarityTermConfig, TermConfig

if TYPE_CHECKING:
    from crossrec.losses.diversity.base import DiversityTerm, ItemInfo
    from crossrec.losses.diversity.terms import DiversityTerms
    from crossrec.losses.diversity.weighting import Weighting

LOGGED = ("kind", "step", "epoch", "loss", "lr", "clicks_per_s", "next_item")
"""Names that a line of the log, or the ranking loss, already uses."""

TermName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$")]


class FixedWeightingConfig(Config):
    """Every term keeps its weight."""

    type: Literal["fixed"] = "fixed"

    def build(self, weights: Mapping[str, float], terms: Mapping[str, DiversityTerm]) -> Weighting:
        """The weighting of terms, by name."""
        from crossrec.losses.diversity.weighting import Weighting

        return Weighting(weights)


class ScheduledWeightingConfig(Config):
    """Weights rise in a straight line from 0 to their full size.

    Args:
        start, end: shares of the training between which they rise.
    """

    type: Literal["schedule"] = "schedule"
    start: float = Field(default=0.0, ge=0, lt=1)
    end: float = Field(default=0.5, gt=0, le=1)

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.start >= self.end:
            raise ValueError(f"start={self.start} must be below end={self.end}")
        return self

    def build(self, weights: Mapping[str, float], terms: Mapping[str, DiversityTerm]) -> Weighting:
        """The weighting of terms, by name."""
        from crossrec.losses.diversity.weighting import ScheduledWeighting

        return ScheduledWeighting(weights, start=self.start, end=self.end)


class UncertaintyWeightingConfig(Config):
    """Weights are learned, also that of the ranking loss; a term's own weight multiplies its learned one."""

    type: Literal["uncertainty"] = "uncertainty"

    def build(self, weights: Mapping[str, float], terms: Mapping[str, DiversityTerm]) -> Weighting:
        """The weighting of terms, by name."""
        from crossrec.losses.diversity.weighting import UncertaintyWeighting

        return UncertaintyWeighting(weights, {name: term.lowest for name, term in terms.items()})


WeightingConfig = Annotated[
    FixedWeightingConfig | ScheduledWeightingConfig | UncertaintyWeightingConfig, UnionFamily()
]
"""For fields of other configurations."""


class DiversityOptions(Config):
    """What terms look at, and how they weigh.

    Args:
        rows: positions of each process's part of a step that terms look at, at most; drawn for each part.
        items: training items that lists are made of, drawn anew for each part of a step; None for all. A list
            of k out of a share of the items stands for a list of k divided by that share out of all.
        exclude_seen: whether lists leave out the clicks of the window that their query knows. Recommending
            leaves out the whole history, of which a window can be a part.
        weighting: fixed, scheduled or learned.
    """

    rows: int = Field(default=128, ge=1, le=10_000_000)
    items: int | None = Field(default=None, ge=2, le=1_000_000)
    exclude_seen: bool = True
    weighting: WeightingConfig = FixedWeightingConfig()

    def assemble(self, chosen: Mapping[str, TermConfig], info: ItemInfo, width: int) -> DiversityTerms:
        """The terms of this name, from what is known of the training items."""
        from crossrec.losses.diversity.terms import DiversityTerms

        terms = {name: term.build(info, width) for name, term in chosen.items()}
        weights = {name: term.weight for name, term in chosen.items()}
        return DiversityTerms(
            terms,
            self.weighting.build(weights, terms),
            info,
            rows=self.rows,
            items=self.items,
            exclude_seen=self.exclude_seen,
        )


class DiversityLossConfig(DiversityOptions):
    """Terms by name, each with its weight, added to the ranking loss.

    Args:
        terms: the names are those in the log.
    """

    type: Literal["terms"] = "terms"
    terms: dict[TermName, TermConfig] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _names_are_free(self) -> Self:
        for name in self.terms:
            if name in LOGGED:
                raise ValueError(f"terms.{name}: the log already has a field '{name}'; choose another name")
        return self

    def build(self, info: ItemInfo, width: int) -> DiversityTerms | None:
        """What a task adds to its ranking loss; None where there are no terms.

        Args:
            info: of the training items, in the numbering of the objective.
            width: D of the queries.

        Raises:
            InputError: a term asks for a space that there isn't, or for longer lists than there are items,
                or ``rows`` times items is more than memory should hold.
        """
        return self.assemble(self.terms, info, width) if self.terms else None


class UserItemDiversityConfig(DiversityOptions):
    """``L = L_user + item_weight * L_item + lambda * L_diversity``.

    ``L_user`` is the ranking loss (which item does this user click?), ``L_item`` its counterpart (which user
    clicks this item?), and lambda the weight of the diversity term.

    Args:
        item_weight: of ``L_item``.
        diversity: any term; its ``weight`` is lambda.
    """

    type: Literal["user_item_diversity"] = "user_item_diversity"
    item_weight: float = Field(default=1.0, ge=0, le=1_000_000)
    diversity: TermConfig = SimilarityTermConfig(weight=0.1)

    def build(self, info: ItemInfo, width: int) -> DiversityTerms:
        """What a task adds to its ranking loss, see :meth:`DiversityLossConfig.build`."""
        terms = {"item_to_user": ItemToUserTermConfig(weight=self.item_weight), "diversity": self.diversity}
        return self.assemble(terms, info, width)


DiversityConfig = Annotated[DiversityLossConfig | UserItemDiversityConfig, UnionFamily()]
"""For fields of other configurations."""

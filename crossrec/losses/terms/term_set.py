"""Term sets: named, weighted terms beside the ranking loss (keys ``diversity`` and ``contrastive``)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Self, cast

import torch
from pydantic import Field, StringConstraints, model_validator
from torch import Tensor, nn

from crossrec.config import Component, ComponentOptions
from crossrec.data.item_table import ItemTable
from crossrec.losses.terms import (
    ContrastiveTermOptions,
    DiversityTermOptions,
    TermWeightingOptions,
    UnlearnedWeightingOptions,
)
from crossrec.losses.terms.base import Term, TermInputs, TermOptions
from crossrec.losses.terms.item_to_user import ItemToUserTerm
from crossrec.losses.terms.positions import PositionSampler, PositionSamplerOptions
from crossrec.losses.terms.similarity import SimilarityTerm
from crossrec.losses.terms.weighting import FixedWeighting, TermWeighting

LOGGED = ("kind", "step", "epoch", "loss", "lr", "clicks_per_s", "seconds", "next_item", "distillation")
"""Names that a line of the log, the ranking loss or distillation already uses."""

TermName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$")]


class TermSet(Component, nn.Module):
    """Named terms that are added to a ranking loss, with their weighting.

    Args:
        terms: terms by name, in the order in which logs show them.
        options: the options that each term was built with, for its weight.
        weighting: options of the weighting, which turns values into losses.
    """

    def __init__(
        self, terms: Mapping[str, Term], options: Mapping[str, ComponentOptions], weighting: ComponentOptions
    ) -> None:
        super().__init__()
        self.names = list(terms)
        # A list, since the names of a ModuleDict must not be those of its methods.
        self.terms = nn.ModuleList(terms.values())
        weights = {name: cast(TermOptions, options[name]).weight for name in terms}
        lowest = {name: term.lowest for name, term in terms.items()}
        self.weighting: TermWeighting = weighting.build(weights, lowest)
        self.positions: PositionSampler | None = None
        self.needs_views = any(term.sees == "views" for term in terms.values())
        self.most_items = max((term.most_items for term in terms.values()), default=0)

    def active(self, progress: float) -> bool:
        """Return whether any term takes part in the loss, or all are only measured."""
        return any(self.weighting.active(name, progress) for name in self.names)

    def forward(self, inputs: TermInputs, progress: float) -> dict[str, Tensor]:
        """Compute the value of each term whose part of the step is there, without its weight.

        Args:
            inputs: parts of a step.
            progress: share of the training done; terms without a weight so far are only measured.

        Returns:
            Name -> () value.
        """
        parts = {
            name: (cast(Term, term), getattr(inputs, cast(Term, term).sees))
            for name, term in zip(self.names, self.terms, strict=True)
        }
        there = {name: found for name, found in parts.items() if found[1] is not None}
        values = {n: term(part) for n, (term, part) in there.items() if self.weighting.active(n, progress)}
        # After the others: what those keep in the sample has a gradient.
        with torch.no_grad():
            values |= {name: term(part) for name, (term, part) in there.items() if name not in values}
        return {name: values[name] for name in there}


def _check_names(terms: Mapping[str, ComponentOptions]) -> None:
    for name in terms:
        if name in LOGGED:
            raise ValueError(f"terms.{name}: the log already has a field '{name}'; choose another name")


class DiversitySetOptions(PositionSamplerOptions):
    """Options of every set of diversity terms: the positions that terms look at, and their weighting.

    Args:
        weighting: fixed, scheduled or learned.
    """

    weighting: TermWeightingOptions = FixedWeighting.Options()


class DiversitySet(TermSet):
    """Base of sets of diversity terms.

    Args:
        options: positions and weighting.
        chosen: name -> options of each term.
        items: features of the training items, in the numbering of the ranking loss.
        width: D of the queries.

    Raises:
        InputError: if a term needs a space that does not exist, or longer lists than there are items, or
            if ``rows`` times items take too much memory.
    """

    positions: PositionSampler

    def __init__(
        self,
        options: DiversitySetOptions,
        chosen: Mapping[str, ComponentOptions],
        items: ItemTable,
        width: int,
    ) -> None:
        terms: dict[str, Term] = {name: term.build(items, width) for name, term in chosen.items()}
        # Without a term there is nothing to learn a weight for.
        super().__init__(terms, chosen, options.weighting if chosen else FixedWeighting.Options())
        self.positions = PositionSampler(
            options,
            items,
            {name: term.k for name, term in terms.items() if term.k is not None},
            {term.space for term in terms.values() if term.space is not None},
        )


class DiversityTerms(DiversitySet):
    """Any diversity terms by name, each with its weight."""

    class Options(DiversitySetOptions):
        """Terms by name, each with its weight, added to the ranking loss.

        Args:
            terms: name in the log -> term.
        """

        terms: dict[TermName, DiversityTermOptions] = Field(default_factory=dict)

        @model_validator(mode="after")
        def _names_are_free(self) -> Self:
            _check_names(self.terms)
            return self

    def __init__(self, options: Options, items: ItemTable, width: int) -> None:
        super().__init__(options, options.terms, items, width)


class UserItemDiversity(DiversitySet):
    """A two-sided ranking loss with diversity: ``L = L_user + item_weight * L_item + lambda * L_diversity``.

    ``L_user`` is the ranking loss (which item does this user click?), ``L_item`` its counterpart (which user
    clicks this item?), and lambda the weight of the diversity term.
    """

    class Options(DiversitySetOptions):
        """``L = L_user + item_weight * L_item + lambda * L_diversity``.

        Args:
            item_weight: weight of ``L_item``.
            diversity: any diversity term; its ``weight`` is lambda.
        """

        item_weight: float = Field(default=1.0, ge=0, le=1_000_000)
        diversity: DiversityTermOptions = SimilarityTerm.Options(weight=0.1)

    def __init__(self, options: Options, items: ItemTable, width: int) -> None:
        item_to_user = ItemToUserTerm.Options(weight=options.item_weight)
        chosen = {"item_to_user": item_to_user, "diversity": options.diversity}
        super().__init__(options, chosen, items, width)


class ContrastiveTerms(TermSet):
    """Contrastive terms by name, each with its weight."""

    class Options(ComponentOptions):
        """Contrastive terms by name, each with its weight, added to the ranking loss.

        Args:
            terms: name in the log -> term.
            weighting: fixed or scheduled.
        """

        terms: dict[TermName, ContrastiveTermOptions] = Field(min_length=1)
        weighting: UnlearnedWeightingOptions = FixedWeighting.Options()

        @model_validator(mode="after")
        def _names_are_free(self) -> Self:
            _check_names(self.terms)
            return self

        @property
        def needs_views(self) -> bool:
            """Whether augmented views of histories must be made."""
            return any(cast(type[Term], term.component).sees == "views" for term in self.terms.values())

    def __init__(self, options: Options) -> None:
        terms = {name: term.build() for name, term in options.terms.items()}
        super().__init__(terms, options.terms, options.weighting)

"""Base classes of terms, their options, and the parts of a step that terms look at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Generic, Literal, Self, TypeVar

from pydantic import Field, model_validator
from torch import Tensor, nn

from crossrec.config import Component, ComponentOptions
from crossrec.data.item_table import ItemTable
from crossrec.losses.terms.positions import PositionSample

PartT = TypeVar("PartT")
PartName = Literal["positions", "views", "items"]


@dataclass(frozen=True)
class ViewSample:
    """Two augmented views of each history of a step.

    Args:
        first_BD, second_BD: float32 vector of each view; row b of both belongs to the same history.
        users_B: int64, equal for histories of the same user.
    """

    first_BD: Tensor
    second_BD: Tensor
    users_B: Tensor


@dataclass(frozen=True)
class ItemSample:
    """Some items of a step, each with its modalities.

    Args:
        features_KMD: float32 projected features; anything where a modality is missing.
        present_KM: bool.
    """

    features_KMD: Tensor
    present_KM: Tensor


@dataclass(frozen=True)
class TermInputs:
    """Parts of a step that terms look at; None for a part that no term needs, or that the step lacks.

    Args:
        positions: some positions and the lists recommended there.
        views: two views of each history.
        items: items of the step by modality.
    """

    positions: PositionSample | None = None
    views: ViewSample | None = None
    items: ItemSample | None = None


class TermOptions(ComponentOptions):
    """Options of every term.

    Args:
        weight: factor beside the ranking loss's 1; 0 only measures the term (``adversarial`` can't be
            measured so).
    """

    weight: float = Field(default=1.0, ge=0, le=1_000_000)


class Term(Component, nn.Module, Generic[PartT]):
    """Base of losses that are added to a ranking loss, in fp32.

    The ``__init__`` of a contrastive term takes ``(options)``, that of a diversity term
    ``(options, items, width)``: also the features of the training items, and D of the queries.

    Attributes:
        sees: name of the part of a step that :meth:`forward` takes, a field of :class:`TermInputs`.
        k: length of the soft lists that the term needs; None if it needs no lists.
        space: space in which it compares items; None if it doesn't.
        lowest: lower bound of its value; uncertainty weighting needs losses that are not negative.
        most_items: number of a step's items that it compares, at most; 0 if it sees another part.
    """

    sees: ClassVar[PartName] = "positions"
    k: int | None = None
    space: str | None = None
    lowest: float = 0.0
    most_items: int = 0

    def forward(self, part: PartT) -> Tensor:
        """Compute the () loss, a mean over the part, so that it does not grow with the part's size."""
        raise NotImplementedError("a term implements forward()")


class ListTermOptions(TermOptions):
    """Options of every term over soft lists.

    Args:
        k: length of the lists.
        temperature: temperature of the soft lists, in units of the logits that the ranking loss sees: low
            for lists that are almost hard, high for a gradient that reaches more items.
    """

    k: int = Field(default=10, ge=2, le=10_000)
    temperature: float = Field(default=0.5, gt=0, le=10_000)


class CandidateTermOptions(ListTermOptions):
    """Options of every term over the items furthest in a list.

    Args:
        candidates: number of these items; at least k.
    """

    candidates: int = Field(default=100, ge=2, le=100_000)

    @model_validator(mode="after")
    def _hold_a_list(self) -> Self:
        if self.candidates < self.k:
            raise ValueError(
                f"candidates={self.candidates} can't hold a list of k={self.k}; raise candidates or lower k"
            )
        return self


class ListTerm(Term[PositionSample]):
    """Base of terms over the soft lists recommended at some positions.

    Args:
        options: length and temperature of the lists.
        items: features of the training items.
        width: D of the queries.
    """

    k: int

    def __init__(self, options: ListTermOptions, items: ItemTable, width: int) -> None:
        super().__init__()
        self.k = options.k
        self.temperature = options.temperature

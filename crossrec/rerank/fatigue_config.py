"""Configuration of the reranker that goes by when things were last seen."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from crossrec.rerank.options import TradeOffOptions
from crossrec.types import InputError

if TYPE_CHECKING:
    from crossrec.rerank.base import ItemTraits
    from crossrec.rerank.fatigue import Fatigue

HALF_LIVES = {"clicks": 10.0, "seconds": 7 * 86_400.0}
"""Half-life in each unit where the configuration names none."""


class FatigueConfig(TradeOffOptions):
    """Lowers items, and items of categories, that the history saw a moment ago.

    Args:
        unit: what gaps are counted in: later ``clicks``, or ``seconds`` before the last click.
        half_life: gap after which half of the fatigue is gone, in that unit; 10 clicks or a week when
            left out.
        category_weight: how much a category just seen counts beside the item itself; 0 for items alone.
    """

    keeps_scores: ClassVar[bool] = False
    type: Literal["fatigue"] = "fatigue"
    unit: Literal["clicks", "seconds"] = "clicks"
    half_life: float | None = Field(default=None, gt=0)
    category_weight: float = Field(default=0.5, ge=0, le=1)

    @property
    def half_life_in_unit(self) -> float:
        """The half-life, in the unit of the gaps."""
        return HALF_LIVES[self.unit] if self.half_life is None else self.half_life

    def build(self, traits: ItemTraits) -> Fatigue:
        """The reranker for a catalogue.

        Raises:
            InputError: categories count and the catalogue has none.
        """
        from crossrec.rerank.aspects import Aspects
        from crossrec.rerank.fatigue import Fatigue

        if self.category_weight and not traits.categories_NG.shape[1]:
            raise InputError(
                "rerank: fatigue goes by categories too, but the catalogue has none; set category_weight: 0"
            )
        return Fatigue(self, Aspects(traits.categories_NG))

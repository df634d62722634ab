"""Configurations of the popularity baselines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from crossrec.baselines.context import BaselineContext, as_context
from crossrec.config import Config

if TYPE_CHECKING:
    from crossrec.baselines.base import Baseline


class PopularityConfig(Config):
    """The same list for everybody: items by their number of training clicks."""

    type: Literal["popularity"] = "popularity"

    def grid(self) -> list[PopularityConfig]:
        """The configurations that tuning tries: popularity has nothing to tune."""
        return [self]

    def build(self, context: BaselineContext | int) -> Baseline:
        """An unfitted recommender for a catalogue, or for a number of items of which nothing is known."""
        from crossrec.baselines.popularity import Popularity

        return Popularity(as_context(context))


class RecentPopularityConfig(Config):
    """The same list for everybody: items by training clicks that lose weight with age.

    Args:
        half_life_days: days in which a click loses half of its weight.
    """

    type: Literal["recent_popularity"] = "recent_popularity"
    half_life_days: float = Field(default=30.0, gt=0)

    def grid(self) -> list[RecentPopularityConfig]:
        """The configurations that tuning tries."""
        return [
            self.model_copy(update={"half_life_days": half_life_days})
            for half_life_days in (1.0, 7.0, 30.0, 90.0, 365.0, 1825.0)
        ]

    def build(self, context: BaselineContext | int) -> Baseline:
        """An unfitted recommender for a catalogue, or for a number of items of which nothing is known."""
        from crossrec.baselines.popularity import Popularity

        return Popularity(as_context(context), self.half_life_days)

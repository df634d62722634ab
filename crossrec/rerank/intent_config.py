"""Configurations of the rerankers that go by what a user is interested in, or by how popular items are."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from crossrec.rerank.options import TradeOffOptions
from crossrec.types import InputError

if TYPE_CHECKING:
    from crossrec.rerank.aspects import Aspects
    from crossrec.rerank.base import ItemTraits
    from crossrec.rerank.calibrated import Calibrated
    from crossrec.rerank.popularity import PopularityDebias
    from crossrec.rerank.xquad import XQuAD


class XQuADConfig(TradeOffOptions):
    """Covers the user's interests in proportion, and each the less the more of it is in the list.

    Args:
        aspects: what interests are about: the catalogue's categories, or ``popularity``, head and tail items.
        coverage: what an item of n aspects covers of each: 1 / n (``share``) or all (``membership``).
        redundancy: what is left of an aspect: the ``product`` of what each chosen item leaves, or what the
            chosen leave on average (``share``). A single item with ``membership`` uses up an aspect under
            the product, so head and tail call for ``share``.
        prior_clicks: clicks that the training clicks' shares of aspects count for beside the history.
        tail_share: share of the training clicks that the tail holds at most, where aspects go by popularity.
    """

    type: Literal["xquad"] = "xquad"
    aspects: Literal["category", "popularity"] = "category"
    coverage: Literal["share", "membership"] = "share"
    redundancy: Literal["product", "share"] = "product"
    prior_clicks: float = Field(default=1.0, gt=0)
    tail_share: float = Field(default=0.2, ge=0, le=1)

    def build(self, traits: ItemTraits) -> XQuAD:
        """The reranker for a catalogue.

        Raises:
            InputError: aspects are categories and the catalogue has none.
        """
        import torch

        from crossrec.data.tail import tail_items
        from crossrec.rerank.aspects import Aspects
        from crossrec.rerank.xquad import XQuAD

        if self.aspects == "category":
            return XQuAD(self, category_aspects(traits, "xquad"), traits.train_counts)
        tail_N = torch.from_numpy(tail_items(traits.train_counts, self.tail_share))
        member_N2 = torch.stack([~tail_N, tail_N], 1).to(traits.categories_NG.device)
        return XQuAD(self, Aspects(member_N2), traits.train_counts)


class CalibratedConfig(TradeOffOptions):
    """Categories in the proportions in which the user's history has them.

    Args:
        smoothing: alpha, how much of the history's distribution is mixed into the list's; the metric has
            0.01.
    """

    type: Literal["calibrated"] = "calibrated"
    smoothing: float = Field(default=0.01, gt=0, lt=1)

    def build(self, traits: ItemTraits) -> Calibrated:
        """The reranker for a catalogue.

        Raises:
            InputError: the catalogue has no categories.
        """
        from crossrec.rerank.calibrated import Calibrated

        return Calibrated(self, category_aspects(traits, "calibrated"))


class PopularityDebiasConfig(TradeOffOptions):
    """Raises items that few clicked on."""

    keeps_scores: ClassVar[bool] = False
    type: Literal["popularity"] = "popularity"

    def build(self, traits: ItemTraits) -> PopularityDebias:
        """The reranker for a catalogue."""
        from crossrec.rerank.popularity import PopularityDebias

        return PopularityDebias(self, traits.train_counts, traits.categories_NG.device)


def category_aspects(traits: ItemTraits, asked_by: str) -> Aspects:
    """The categories as aspects.

    Raises:
        InputError: there are none.
    """
    from crossrec.rerank.aspects import Aspects

    if not traits.categories_NG.shape[1]:
        raise InputError(f"rerank: {asked_by} goes by categories, but the catalogue has none")
    return Aspects(traits.categories_NG)

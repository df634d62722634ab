"""Configurations of the rerankers that go by how alike items are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from crossrec.rerank.options import TradeOffOptions

if TYPE_CHECKING:
    from crossrec.rerank.base import ItemTraits
    from crossrec.rerank.dpp import GreedyDPP
    from crossrec.rerank.max_sum import MaxSumDispersion
    from crossrec.rerank.mmr import MMR
    from crossrec.rerank.sliding_spectrum import SlidingSpectrum


class SimilarityOptions(TradeOffOptions):
    """Options that all of them share.

    Args:
        diversity: weight of being unlike the items already chosen: 0 leaves the pool's order alone.
        space: what similarity goes by: ``category`` (overlap of categories), or the cosine of item vectors,
            ``text``, ``image`` or ``model``.
    """

    diversity: float = Field(default=0.3, ge=0, le=1)
    space: str = "category"


class MMRConfig(SimilarityOptions):
    """Unlike the most similar item already chosen."""

    type: Literal["mmr"] = "mmr"

    def build(self, traits: ItemTraits) -> MMR:
        """The reranker for a catalogue.

        Raises:
            InputError: the traits have no such space.
        """
        from crossrec.rerank.mmr import MMR
        from crossrec.rerank.spaces import space_named

        return MMR(self, space_named(self.space, traits))


class DPPConfig(SimilarityOptions):
    """Not to be put together from the items already chosen.

    Args:
        window: how many of the items chosen last count; all when None.
    """

    type: Literal["dpp"] = "dpp"
    window: int | None = Field(default=None, ge=1)

    def build(self, traits: ItemTraits) -> GreedyDPP:
        """The reranker for a catalogue.

        Raises:
            InputError: the traits have no such space.
        """
        from crossrec.rerank.dpp import GreedyDPP
        from crossrec.rerank.spaces import space_named

        return GreedyDPP(self, space_named(self.space, traits))


class MaxSumConfig(SimilarityOptions):
    """Far from the items already chosen, all in all."""

    type: Literal["max_sum"] = "max_sum"

    def build(self, traits: ItemTraits) -> MaxSumDispersion:
        """The reranker for a catalogue.

        Raises:
            InputError: the traits have no such space.
        """
        from crossrec.rerank.max_sum import MaxSumDispersion
        from crossrec.rerank.spaces import space_named

        return MaxSumDispersion(self, space_named(self.space, traits))


class SlidingSpectrumConfig(SimilarityOptions):
    """New beside the items just before, along a list that is scrolled through.

    Args:
        window: how many of the items chosen last count: the source's w, less one.
        gamma: worth of an item unlike all in the window, in units of relevance.
    """

    type: Literal["ssd"] = "ssd"
    window: int = Field(default=5, ge=1)
    gamma: float = Field(default=1.0, gt=0, le=100)

    def build(self, traits: ItemTraits) -> SlidingSpectrum:
        """The reranker for a catalogue.

        Raises:
            InputError: the traits have no such space.
        """
        from crossrec.rerank.sliding_spectrum import SlidingSpectrum
        from crossrec.rerank.spaces import space_named

        return SlidingSpectrum(self, space_named(self.space, traits))

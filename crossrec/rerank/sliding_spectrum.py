"""Sliding spectrum decomposition (SSD)."""

from __future__ import annotations

from pydantic import Field
from torch import Tensor

from crossrec.data.item_table import ItemTable
from crossrec.rerank.greedy import GreedyReranker, SimilarityTradeOff
from crossrec.rerank.residual import Residuals
from crossrec.rerank.spaces import PoolSimilarity


class SlidingSpectrum(GreedyReranker):
    """Sliding spectrum decomposition: greedily takes the candidate i with the highest

    ``(1 - diversity) * relevance_i + diversity * gamma * |residual_i|``

    A residual is the rest of a candidate's vector after modified Gram-Schmidt against the last ``window``
    chosen items: each, when chosen, takes away the component along its own residual. The remaining
    candidates regain it when the item leaves the window, but not the item that is just being chosen. That
    differs from the residual against the window's items alone, as those keep the residuals that they had: the
    list before the window still counts. The most relevant candidate comes first. Unknown candidates are
    similar to none. Ties go to the better ranked.

    The source has relevance + gamma * volume; its gamma is diversity * gamma / (1 - diversity) here. This is
    the variant that adds the residual itself and not its product with the volume of the window. It needs no
    vectors: residuals come from similarities, which may be any positive semidefinite ones.

    Source:
        Huang, Wang, Zhang, Xu: Sliding spectrum decomposition for diversified recommendation (KDD 2021),
        section 3.

    Args:
        options: diversity, relevance, space, window and gamma.
        items: features of the catalogue's items.
    """

    class Options(SimilarityTradeOff):
        """Sliding spectrum decomposition (SSD): new directions beside the items just before, for scrolling.

        Args:
            window: number of last chosen items that count: the source's w, less one.
            gamma: value of an item unlike all in the window, in units of relevance.
        """

        window: int = Field(default=5, ge=1)
        gamma: float = Field(default=1.0, gt=0, le=100)

    def __init__(self, options: Options, items: ItemTable) -> None:
        super().__init__(options, items)
        self.ceiling = options.gamma
        self._window, self._gamma = options.window, options.gamma

    def gain(self, similarity: PoolSimilarity, like_BC: Tensor, k: int) -> _Novelty:
        """Return the scaled lengths of the candidates' residuals."""
        return _Novelty(Residuals(similarity, like_BC, max(1, min(self._window, k))), self._gamma)


class _Novelty:
    """Scaled length of each candidate's residual."""

    def __init__(self, residuals: Residuals, gamma: float) -> None:
        self._residuals = residuals
        self._gamma = gamma

    def now(self) -> Tensor:
        return self._residuals.squared_BC.clamp(0, 1).sqrt_().mul_(self._gamma)

    def choose(self, columns_B: Tensor) -> None:
        if self._residuals.full:
            self._residuals.slide(columns_B)
        else:
            self._residuals.add(columns_B)

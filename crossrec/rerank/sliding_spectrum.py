"""Sliding spectrum decomposition."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from crossrec.rerank.base import Pool
from crossrec.rerank.greedy import rerank_greedily
from crossrec.rerank.residual import Residuals
from crossrec.rerank.spaces import PoolSimilarity, Space

if TYPE_CHECKING:
    from crossrec.rerank.similarity_config import SlidingSpectrumConfig


class SlidingSpectrum:
    """Greedily takes the candidate i with the highest

    ``(1 - diversity) * relevance_i + diversity * gamma * |residual_i|``

    A residual is what is left of a candidate's vector after modified Gram-Schmidt against the last
    ``window`` chosen items: each, when chosen, takes away the component along its own residual, and gives it
    back when it leaves the window. That is not the residual against the window's items alone, as those keep
    the residuals that they had: the list before the window still counts. The most relevant candidate comes
    first. A candidate of which nothing is known is like no other. Ties go to the better ranked.

    The source has relevance + gamma * volume; ``diversity`` makes its gamma diversity * gamma /
    (1 - diversity). Ours is the variant that adds the residual itself and not its product with the volume of
    the window, and needs no vectors: residuals come from similarities, which may be any positive
    semidefinite ones.

    Source:
        Huang, Wang, Zhang, Xu: Sliding spectrum decomposition for diversified recommendation (KDD 2021),
        section 3.

    Args:
        options: the configuration.
        space: similarity of items.
    """

    def __init__(self, options: SlidingSpectrumConfig, space: Space) -> None:
        self._options = options
        self._space = space

    def rerank(self, pool: Pool, k: int) -> Pool:
        """A pool of width min(k, C), the chosen candidates in the order in which they were chosen."""
        ceiling = self._options.gamma
        return rerank_greedily(pool, k, self._options, self._space, self._spectrum, ceiling)

    def _spectrum(self, similarity: PoolSimilarity, like_BC: Tensor, k: int) -> _Novelty:
        window = max(1, min(self._options.window, k))
        return _Novelty(Residuals(similarity, like_BC, window), self._options.gamma)


class _Novelty:
    """Scaled length of each candidate's residual."""

    def __init__(self, residuals: Residuals, gamma: float) -> None:
        self._residuals = residuals
        self._gamma = gamma

    def now(self) -> Tensor:
        return self._residuals.squared_BC.clamp(0, 1).sqrt_().mul_(self._gamma)

    def choose(self, columns_B: Tensor) -> None:
        if self._residuals.full:
            self._residuals.give_back()
        self._residuals.add(columns_B)

"""Expected intra-list similarity of soft lists."""

from __future__ import annotations

from torch import Tensor

from crossrec.data.item_table import ItemTable
from crossrec.losses.terms.base import ListTerm, ListTermOptions
from crossrec.losses.terms.positions import PositionSample

TINY = 1e-6


class SimilarityTerm(ListTerm):
    """Intra-list similarity: mean cosine of two different items of a list, expected over the soft list.

    ``sum_{i != j} p_i p_j s_ij / sum_{i != j} p_i p_j``, without pairs: the numerator is
    ``|sum_i p_i v_i|^2 - sum_i p_i^2`` for unit vectors. Items without a vector are left out, as in the
    metrics ``ild_text``, ``ild_image`` and ``ild_behaviour``; of a hard list, the value is one less these.

    Source:
        Ziegler et al. 2005, "Improving recommendation lists through topic diversification", intra-list
        similarity; its expectation under independent inclusion is ours.
    """

    class Options(ListTermOptions):
        """Expected intra-list similarity.

        Args:
            space: ``category``, ``text``, ``image``, ``behaviour`` (co-clicks), or ``model`` for the model's
                own item vectors.
            detach: in the space ``model``, whether only scores learn from the term; else the item vectors
                are driven apart, too.
        """

        space: str = "category"
        detach: bool = True

    space: str
    lowest = -1.0

    def __init__(self, options: Options, items: ItemTable, width: int) -> None:
        super().__init__(options, items, width)
        self.space = options.space
        self.detach = options.detach

    def forward(self, part: PositionSample) -> Tensor:
        """Compute the () mean over lists, from -1 / (k - 1) to 1; 0 for a list without vectors."""
        unit_ND = part.space(self.space, detach=self.detach)
        known_N = (unit_ND.detach() != 0).any(1).to(unit_ND.dtype)
        soft_BN = part.soft(self.k, self.temperature) * known_N
        squares_B = soft_BN.square().sum(1)
        together_B = (soft_BN @ unit_ND).square().sum(1) - squares_B
        pairs_B = soft_BN.sum(1).square() - squares_B
        return (together_B / pairs_B.clamp(min=TINY)).mean()

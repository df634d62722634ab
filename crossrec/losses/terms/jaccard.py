"""Expected overlap of categories in soft lists."""

from __future__ import annotations

import torch
from torch import Tensor

from crossrec.data.item_table import CATEGORY, ItemTable
from crossrec.losses.terms.base import CandidateTermOptions, ListTerm
from crossrec.losses.terms.positions import PositionSample
from crossrec.losses.terms.similarity import TINY


class JaccardTerm(ListTerm):
    """Mean Jaccard overlap of the categories of two different items, expected over the soft list.

    ``sum_{i != j} p_i p_j J_ij / sum_{i != j} p_i p_j`` over the M items that are furthest in the list and
    have a category; of a hard list this is the metric ``jaccard``, one less ``ild_category``.

    Source:
        Jaccard 1912, as in Ziegler et al. 2005 for pairs of a list; the expectation is ours.
    """

    class Options(CandidateTermOptions):
        """Expected overlap of categories, over the pairs of the candidates."""

    space = CATEGORY

    def __init__(self, options: Options, items: ItemTable, width: int) -> None:
        super().__init__(options, items, width)
        self.candidates = options.candidates

    def forward(self, part: PositionSample) -> Tensor:
        """Compute the () mean over lists, 0 to 1; 0 for a list without categories."""
        soft_BM, places_BM = part.top(self.k, self.temperature, self.candidates)
        member_BMG = (part.at_places(CATEGORY, places_BM) > 0).to(soft_BM.dtype)
        size_BM = member_BMG.sum(2)
        shared_BMM = torch.bmm(member_BMG, member_BMG.transpose(1, 2))
        either_BMM = size_BM[:, :, None] + size_BM[:, None, :] - shared_BMM
        overlap_BMM = shared_BMM / either_BMM.clamp(min=1)
        soft_BM = soft_BM * (size_BM > 0)
        squares_B = soft_BM.square().sum(1)
        # An item with a category overlaps itself by 1.
        together_B = torch.einsum("bm,bmn,bn->b", soft_BM, overlap_BMM, soft_BM) - squares_B
        pairs_B = soft_BM.sum(1).square() - squares_B
        return (together_B / pairs_B.clamp(min=TINY)).mean()

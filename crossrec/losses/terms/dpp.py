"""Log-determinant of soft lists."""

from __future__ import annotations

import torch
from torch import Tensor

from crossrec.data.item_table import ItemTable
from crossrec.losses.terms.base import CandidateTermOptions, ListTerm
from crossrec.losses.terms.positions import PositionSample


class DPPTerm(ListTerm):
    """Volume of a list under a determinantal point process.

    ``-log det(I + diag(sqrt p) S diag(sqrt p)) / k`` with S the cosine of two items.

    The matrix in it is the kernel L of a determinantal point process with quality ``sqrt p``, and
    ``det(I + L)`` its normalizer: the sum of the squared volumes of all subsets of the list, each weighted by
    how far its items are in it. For a hard list of k items it is -log 2 when they are orthogonal and
    ``-log(1 + k) / k`` when they are all alike. A softer list reaches down to -1, so at high temperatures
    part of the term rewards less certain lists. Items without a vector add nothing. The matrix is over the M
    items furthest in the list.

    Source:
        Kulesza and Taskar 2012, "Determinantal point processes for machine learning", equations 2.15 and 3.1;
        Wilhelm et al. 2018, "Practical diversified recommendations on YouTube with DPPs", for recommendation.
        They maximize the likelihood of clicked sets; here the expected volume of the model's own list grows.
    """

    class Options(CandidateTermOptions):
        """Log-determinant of the list, over the candidates.

        Args:
            space: ``category``, ``text``, ``image``, ``behaviour`` (co-clicks), or ``model`` for the model's
                own item vectors.
            detach: in the space ``model``, whether only scores learn from the term.
        """

        space: str = "category"
        detach: bool = True

    space: str
    lowest = -1.0

    def __init__(self, options: Options, items: ItemTable, width: int) -> None:
        super().__init__(options, items, width)
        self.space = options.space
        self.candidates = options.candidates
        self.detach = options.detach

    def forward(self, part: PositionSample) -> Tensor:
        """Compute the () mean over lists, from -1 to 0."""
        soft_BM, places_BM = part.top(self.k, self.temperature, self.candidates)
        unit_BMD = part.at_places(self.space, places_BM, detach=self.detach)
        # det(I + A A') = det(I + A' A): the smaller of the two.
        if unit_BMD.shape[2] <= unit_BMD.shape[1]:
            inner = unit_BMD.transpose(1, 2) @ (unit_BMD * soft_BM[:, :, None])
        else:
            # The root has no finite slope at 0.
            root_BM1 = soft_BM.clamp(min=1e-12).sqrt()[:, :, None]
            scaled_BMD = unit_BMD * root_BM1
            inner = scaled_BMD @ scaled_BMD.transpose(1, 2)
        factor = torch.linalg.cholesky(
            inner + torch.eye(inner.shape[1], device=inner.device, dtype=inner.dtype)
        )
        log_det_B = 2 * factor.diagonal(dim1=1, dim2=2).log().sum(1)
        return -log_det_B.mean() / self.k

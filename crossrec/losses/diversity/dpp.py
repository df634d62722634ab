"""Log-determinant of soft lists."""

from __future__ import annotations

import torch
from torch import Tensor

from crossrec.losses.diversity.base import DiversityTerm, StepSample


class DPPTerm(DiversityTerm):
    """Volume of a list: ``-log det(I + diag(sqrt p) S diag(sqrt p)) / k`` with S the cosine of two items.

    The matrix in it is the kernel L of a determinantal point process with quality ``sqrt p``, and
    ``det(I + L)`` its normaliser: the sum of the squared volumes of all subsets of the list, each weighted by
    how far its items are in it. For a hard list of k items it is -log 2 when they are orthogonal and
    ``-log(1 + k) / k`` when they are all alike. A softer list reaches down to -1, so at high temperatures
    part of the term asks for less certain lists. Items of which nothing is known add nothing.

    Args:
        space: ``category``, ``model`` or a space of frozen vectors.
        k: length of the lists.
        temperature: of the soft lists.
        candidates: M, items furthest in the list, which make the matrix; at least k.
        detach: in the space ``model``, whether only scores learn from the term.

    Source:
        Kulesza and Taskar 2012, "Determinantal point processes for machine learning", equations 2.15 and 3.1;
        Wilhelm et al. 2018, "Practical diversified recommendations on YouTube with DPPs", for recommendation.
        They maximise the likelihood of clicked sets; here the expected volume of the model's own list grows.
    """

    k: int
    space: str
    lowest = -1.0

    def __init__(self, *, space: str, k: int, temperature: float, candidates: int, detach: bool) -> None:
        super().__init__()
        self.space = space
        self.k = k
        self.temperature = temperature
        self.candidates = candidates
        self.detach = detach

    def forward(self, sample: StepSample) -> Tensor:
        """() mean over lists, from -1 to 0."""
        soft_BM, places_BM = sample.top(self.k, self.temperature, self.candidates)
        unit_BMD = sample.at_places(self.space, places_BM, detach=self.detach)
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

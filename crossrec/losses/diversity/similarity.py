"""Expected intra-list similarity of soft lists."""

from __future__ import annotations

from torch import Tensor

from crossrec.losses.diversity.base import DiversityTerm, StepSample

TINY = 1e-6


class SimilarityTerm(DiversityTerm):
    """Mean cosine of two different items of a list, expected over the soft list.

    ``sum_{i != j} p_i p_j s_ij / sum_{i != j} p_i p_j``, without pairs: the numerator is
    ``|sum_i p_i v_i|^2 - sum_i p_i^2`` for unit vectors. Items without a vector are left out, as in the
    metrics ``ild_text`` and ``ild_image``; of a hard list, the value is one less these.

    Args:
        space: ``category``, ``model`` or a space of frozen vectors.
        k: length of the lists.
        temperature: of the soft lists.
        detach: in the space ``model``, whether only scores learn from the term; else the item vectors are
            driven apart, too.

    Source:
        Ziegler et al. 2005, "Improving recommendation lists through topic diversification", intra-list
        similarity; its expectation under independent inclusion is ours.
    """

    k: int
    space: str
    lowest = -1.0

    def __init__(self, *, space: str, k: int, temperature: float, detach: bool) -> None:
        super().__init__()
        self.space = space
        self.k = k
        self.temperature = temperature
        self.detach = detach

    def forward(self, sample: StepSample) -> Tensor:
        """() mean over lists, from -1 / (k - 1) to 1; 0 for a list of which nothing is known."""
        unit_ND = sample.space(self.space, detach=self.detach)
        known_N = (unit_ND.detach() != 0).any(1).to(unit_ND.dtype)
        soft_BN = sample.soft(self.k, self.temperature) * known_N
        squares_B = soft_BN.square().sum(1)
        together_B = (soft_BN @ unit_ND).square().sum(1) - squares_B
        pairs_B = soft_BN.sum(1).square() - squares_B
        return (together_B / pairs_B.clamp(min=TINY)).mean()

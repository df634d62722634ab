"""Losses that judge the target and each negative on its own, or in pairs."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from crossrec.objectives.balance import Balance
from crossrec.objectives.base import SampledObjective
from crossrec.objectives.negatives import NegativeSampler


class GBCE(SampledObjective):
    """Generalised binary cross-entropy: ``-(beta log sigmoid(s+) + sum_k log(1 - sigmoid(s_k))) / (K + 1)``.

    Few negatives make a model overrate its positives; ``beta < 1`` undoes it. A false negative drops out
    of the sum, the divisor stays. Label smoothing is not offered: it would undo what ``beta`` sets.

    Args:
        sampler: draws the negatives.
        beta: power of the positive's probability, see :func:`gbce_beta`; 1 for plain BCE.
        temperature: divides the logits.
        balance: weights of the clicks.

    Source:
        Petrov and Macdonald 2023, "gSASRec: reducing overconfidence in sequential recommendation trained
        with negative sampling", definition of gBCE, with the mean over K + 1 as there and in their code.
        They compute a transformed positive logit in fp64; the product form here needs no clamping.
        With beta 1 and K = 1 it is half of SASRec's loss (Kang and McAuley 2018), which sums
        its two terms.
    """

    def __init__(
        self, sampler: NegativeSampler, *, beta: float, temperature: float, balance: Balance
    ) -> None:
        super().__init__(sampler, temperature=temperature, balance=balance)
        self.beta = beta

    def losses(
        self, positive_T: Tensor, negative_TK: Tensor, false_TK: Tensor, negative_ids: Tensor
    ) -> Tensor:
        """(T,) losses from logits."""
        negatives_T = F.softplus(negative_TK).masked_fill(false_TK, 0.0).sum(1)
        return (negatives_T - self.beta * F.logsigmoid(positive_T)) / (negative_TK.shape[1] + 1)


class BPR(SampledObjective):
    """Bayesian personalised ranking: mean over the negatives of ``-log sigmoid(s+ - s_k)``.

    A false negative adds 0 to the mean, the divisor stays K.

    Source:
        Rendle et al. 2009, "BPR: Bayesian personalized ranking from implicit feedback", section 4.1,
        without its regulariser (weight decay belongs to the optimiser).
    """

    def losses(
        self, positive_T: Tensor, negative_TK: Tensor, false_TK: Tensor, negative_ids: Tensor
    ) -> Tensor:
        """(T,) losses from logits."""
        lost_TK = F.softplus(negative_TK - positive_T[:, None])
        return lost_TK.masked_fill(false_TK, 0.0).mean(1)


def gbce_beta(negatives: int, n_items: int, t: float) -> float:
    """The positive's power that calibrates a model to share ``t``.

    Args:
        negatives: K.
        n_items: N, of which N - 1 are negatives of a position.
        t: 0 for plain BCE (beta 1), 1 for probabilities as if all negatives had been used
            (beta K / (N - 1)).

    Returns:
        ``alpha (t (1 - 1 / alpha) + 1 / alpha) = 1 - t (1 - alpha)`` with ``alpha = K / (N - 1)``, at most 1:
        draws are with replacement, so that K may exceed N - 1.

    Source:
        Petrov and Macdonald 2023, beta from the calibration parameter t.
    """
    alpha = min(1.0, negatives / max(n_items - 1, 1))
    return 1.0 - t * (1.0 - alpha)

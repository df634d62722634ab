"""Binary losses: BCE and gBCE judge the target and each negative on its own, BPR in pairs."""

from __future__ import annotations

import numpy as np
from pydantic import Field
from scipy.sparse import csr_matrix
from torch import Tensor
from torch.nn import functional as F

from crossrec.losses.base import SampledLoss, SampledLossOptions


class BCELoss(SampledLoss):
    """Binary cross-entropy of the target and its negatives, a mean over the K + 1.

    With K = 1 it is half of SASRec's loss, which sums its two terms. A false negative drops out of the sum,
    the divisor stays.

    Source:
        Kang and McAuley 2018, "Self-attentive sequential recommendation", section 3.5.
    """

    class Options(SampledLossOptions):
        """Binary cross-entropy of the target and its negatives: with one, SASRec's original loss (halved)."""

        negatives: int = Field(default=1, ge=1, le=1_000_000)
        shared: bool = False

    beta: float = 1.0
    """Exponent of the positive's probability."""

    def losses(
        self, positive_T: Tensor, negative_TK: Tensor, false_TK: Tensor, negative_ids: Tensor
    ) -> Tensor:
        """Compute the (T,) losses from logits."""
        negatives_T = F.softplus(negative_TK).masked_fill(false_TK, 0.0).sum(1)
        return (negatives_T - self.beta * F.logsigmoid(positive_T)) / (negative_TK.shape[1] + 1)


class GBCELoss(BCELoss):
    """Generalized BCE, ``-(beta log sigmoid(s+) + sum_k log(1 - sigmoid(s_k))) / (K + 1)``.

    Few negatives make a model overrate its positives; ``beta < 1``, see :func:`gbce_beta`, undoes it. Label
    smoothing is not offered: it would undo what ``beta`` sets.

    Source:
        Petrov and Macdonald 2023, "gSASRec: reducing overconfidence in sequential recommendation trained
        with negative sampling", definition of gBCE, with the mean over K + 1 as there and in their code.
        They compute a transformed positive logit in fp64; the product form here needs no clamping.
    """

    class Options(BCELoss.Options):
        """Generalized binary cross-entropy, the loss of gSASRec.

        Args:
            t: calibration, 0 for plain BCE to 1 for probabilities as if no negative had been left out.
        """

        negatives: int = Field(default=256, ge=1, le=1_000_000)
        t: float = Field(default=0.75, ge=0, le=1)

    def __init__(
        self, options: Options, train_counts: np.ndarray, categories: csr_matrix | None = None
    ) -> None:
        super().__init__(options, train_counts, categories)
        self.beta = gbce_beta(options.negatives, len(train_counts), options.t)


class BPRLoss(SampledLoss):
    """Bayesian personalized ranking: mean over the negatives of ``-log sigmoid(s+ - s_k)``.

    A false negative adds 0 to the mean, the divisor stays K.

    Source:
        Rendle et al. 2009, "BPR: Bayesian personalized ranking from implicit feedback", section 4.1,
        without its regularizer (weight decay belongs to the optimizer).
    """

    class Options(SampledLossOptions):
        """Bayesian personalized ranking: the target against each negative."""

        negatives: int = Field(default=1, ge=1, le=1_000_000)
        shared: bool = False

    def losses(
        self, positive_T: Tensor, negative_TK: Tensor, false_TK: Tensor, negative_ids: Tensor
    ) -> Tensor:
        """Compute the (T,) losses from logits."""
        lost_TK = F.softplus(negative_TK - positive_T[:, None])
        return lost_TK.masked_fill(false_TK, 0.0).mean(1)


def gbce_beta(negatives: int, n_items: int, t: float) -> float:
    """Return the positive's exponent that calibrates a model to share ``t``.

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

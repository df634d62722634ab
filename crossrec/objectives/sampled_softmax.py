"""Softmax over the target and sampled negatives."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from crossrec.objectives.balance import Balance
from crossrec.objectives.base import SampledObjective, check_shapes
from crossrec.objectives.fused import Swept, fused_loss
from crossrec.objectives.label_smoothing import SharedSmoothing
from crossrec.objectives.logits import LogitProducts, Precision, Scratch, chunks
from crossrec.objectives.negatives import NegativeSampler

CHUNK = 1024
"""Positions at once; a chunk of them and of 2,048 negatives stays in a CPU's last cache."""


class SampledSoftmax(SampledObjective):
    """Negative log-likelihood of the next item with the rest of the catalogue estimated by sampling.

    With correction, the loss of a position is ``-s_t + log(exp(s_t) + sum_k exp(s_k - log(K q_k)))``
    over the negatives k that are not the target: an unbiased estimate of the full softmax's
    denominator, so that loss and gradient approach the full softmax's as K grows. The target itself
    stands in the sum once and with certainty, therefore its logit is not corrected; subtracting
    ``log q`` from it too, as is common, would not approach the full softmax. Without correction,
    all logits stand as they are.

    Args:
        sampler: draws negatives from q.
        correct_log_q: whether negatives are corrected by the log of their expected count.
        label_smoothing: share of the target's probability that is spread evenly over the target and the
            negatives that are not the target.
        temperature: divides the logits, before the correction.
        balance: weights of the clicks.

    Source:
        Bengio and Senecal 2008, "Adaptive importance sampling to accelerate training of a neural
        probabilistic language model"; Yi et al. 2019, "Sampling-bias-corrected neural modeling for
        large corpus item recommendations"; the target uncorrected as in Khrylchenko et al. 2025,
        "Correcting the logQ correction", without their sample weight.
    """

    log_expected_N: Tensor

    def __init__(
        self,
        sampler: NegativeSampler,
        *,
        correct_log_q: bool,
        label_smoothing: float,
        temperature: float,
        balance: Balance,
    ) -> None:
        super().__init__(sampler, temperature=temperature, balance=balance)
        self.correct_log_q = correct_log_q
        self.label_smoothing = label_smoothing
        q_N = torch.from_numpy(sampler.draws.q_N)
        log_expected_N = (torch.log(q_N) + math.log(sampler.negatives)).float()
        self.register_buffer("log_expected_N", log_expected_N, persistent=False)
        self._scratch = Scratch()

    def forward(
        self,
        queries_TD: Tensor,
        positives_TD: Tensor,
        negatives: Tensor,
        targets_T: Tensor,
        negative_ids: Tensor,
    ) -> Tensor:
        """Losses of T positions, see the base class; 0 where every negative was the target.

        Shared negatives take the fused pass, with label smoothing or without; own ones go through autograd.
        """
        if negatives.ndim == 3:
            return super().forward(queries_TD, positives_TD, negatives, targets_T, negative_ids)
        check_shapes(queries_TD, positives_TD, negatives, targets_T, negative_ids)
        sweep = _SharedSweep(
            targets_T,
            negative_ids,
            self.log_expected_N[negative_ids] if self.correct_log_q else None,
            self.label_smoothing,
            self.balance,
            Precision.of(queries_TD, positives_TD, negatives),
            self._scratch,
        )
        return fused_loss(sweep, self.scaled(queries_TD), positives_TD, negatives)

    def losses(
        self, positive_T: Tensor, negative_TK: Tensor, false_TK: Tensor, negative_ids: Tensor
    ) -> Tensor:
        """(T,) losses from logits."""
        if self.correct_log_q:
            negative_TK = negative_TK - self.log_expected_N[negative_ids]
        all_TK = torch.cat([positive_T[:, None], negative_TK.masked_fill(false_TK, -torch.inf)], dim=1)
        expected_T = positive_T
        if self.label_smoothing:
            kept_T = 1 + (~false_TK).sum(1)
            mean_T = (positive_T + negative_TK.masked_fill(false_TK, 0.0).sum(1)) / kept_T
            expected_T = (1 - self.label_smoothing) * positive_T + self.label_smoothing * mean_T
        return all_TK.logsumexp(dim=1) - expected_T


@dataclass(frozen=True)
class _SharedSweep:
    """One pass over the logits of queries and negatives that all queries share."""

    targets_T: Tensor
    ids_K: Tensor
    log_expected_K: Tensor | None
    smoothing: float
    balance: Balance
    precision: Precision
    scratch: Scratch

    def __call__(self, vectors: tuple[Tensor, ...], slopes_T: Tensor | None, gradients: bool) -> Swept:
        queries_TD, positives_TD, negatives_KD = vectors
        products = LogitProducts(queries_TD, negatives_KD, self.precision, self.scratch)
        positives = positives_TD.to(self.precision.total)
        positive_T = (products.rows_TD * positives).sum(1)
        weight_K = None if self.log_expected_K is None else self.log_expected_K.neg().exp()
        smoothing = self._smoothing(products.columns_ND)
        expected_T = positive_T if smoothing is None else smoothing.expected(positive_T, products.rows_TD)
        losses_T = torch.empty_like(positive_T)
        slopes = torch.ones_like(losses_T) if slopes_T is None else slopes_T.to(losses_T.dtype)
        surplus_T = torch.empty_like(losses_T)
        both = products.zeros() if gradients else ()
        bounded = products.bounded and bool((positive_T.abs() < 60).all())
        for rows in chunks(len(queries_TD), CHUNK):
            logits_CK = products.logits(rows)
            positive_C = positive_T[rows] / products.unit
            peak_C = None if bounded else torch.maximum(logits_CK.amax(1), positive_C)
            products.exponentiate(logits_CK, peak_C)
            logits_CK.masked_fill_(self.targets_T[rows, None] == self.ids_K, 0.0)
            if weight_K is not None:
                logits_CK.mul_(weight_K)
            own_C = products.exponentiate(positive_C.clone()[:, None], peak_C).squeeze(1)
            rest_C = logits_CK.sum(1)
            sum_C = own_C + rest_C
            plain_C = sum_C.log() - expected_T[rows]
            if peak_C is not None:
                plain_C += products.unit * peak_C
            losses_T[rows], slope_C = self.balance.with_slopes(plain_C, self.targets_T[rows])
            if slopes_T is None:
                slopes[rows] = slope_C
            surplus_T[rows] = -rest_C / sum_C
            if both:
                products.add_gradients(both, rows, logits_CK, sum_C, slopes[rows])
        if not both:
            return Swept(losses_T, slopes)
        if smoothing is not None:
            surplus_T += smoothing.take_off(both, products.rows_TD, slopes)
        surplus_T *= slopes
        both[0].addcmul_(positives, surplus_T[:, None])
        return Swept(losses_T, slopes, (both[0], products.rows_TD * surplus_T[:, None], both[1]))

    def _smoothing(self, negatives_KD: Tensor) -> SharedSmoothing | None:
        if not self.smoothing:
            return None
        return SharedSmoothing(self.smoothing, self.targets_T, self.ids_K, negatives_KD, self.log_expected_K)

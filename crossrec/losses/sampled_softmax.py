"""Softmax cross-entropy over the target and sampled negatives."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from pydantic import Field
from scipy.sparse import csr_matrix
from torch import Tensor

from crossrec.losses.base import SampledLoss, SampledLossOptions, check_shapes
from crossrec.losses.fused import LogitDtypes, LogitProducts, PassResult, Scratch, chunks, fused_loss
from crossrec.losses.sample_weighting.weights import SampleWeighting

CHUNK = 1024
"""Positions at once; a chunk of them and of 2,048 negatives stays in a CPU's last cache."""


class SampledSoftmax(SampledLoss):
    """Sampled softmax: cross-entropy of the next item, the rest of the catalogue estimated by sampling.

    With correction, the loss of a position is ``-s_t + log(exp(s_t) + sum_k exp(s_k - log(K q_k)))``
    over the negatives k that are not the target: an unbiased estimate of the full softmax's
    denominator, so that loss and gradient approach the full softmax's as K grows. The target itself
    stands in the sum once and with certainty, therefore its logit is not corrected; subtracting
    ``log q`` from it too, as is common, would not approach the full softmax. Without correction,
    all logits stand as they are. The temperature divides the logits before the correction.

    Source:
        Bengio and Senecal 2008, "Adaptive importance sampling to accelerate training of a neural
        probabilistic language model"; Yi et al. 2019, "Sampling-bias-corrected neural modeling for
        large corpus item recommendations"; the target uncorrected as in Khrylchenko et al. 2025,
        "Correcting the logQ correction", without their sample weight.
    """

    class Options(SampledLossOptions):
        """Cross-entropy over the target and sampled negatives.

        Args:
            correct_log_q: whether each negative's logit is lowered by the log of its expected count.
            label_smoothing: share of the target's probability that is spread evenly over the target and its
                negatives.
        """

        correct_log_q: bool = True
        label_smoothing: float = Field(default=0.0, ge=0, lt=1)

    log_expected_N: Tensor

    def __init__(
        self, options: Options, train_counts: np.ndarray, categories: csr_matrix | None = None
    ) -> None:
        super().__init__(options, train_counts, categories)
        self.correct_log_q = options.correct_log_q
        self.label_smoothing = options.label_smoothing
        q_N = torch.from_numpy(self.sampler.distribution.q_N)
        log_expected_N = (torch.log(q_N) + math.log(self.sampler.negatives)).float()
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
        """Compute the losses of T positions, see the base class; 0 if every negative was the target.

        Shared negatives take the fused pass, with label smoothing or without; own ones go through autograd.
        """
        if negatives.ndim == 3:
            return super().forward(queries_TD, positives_TD, negatives, targets_T, negative_ids)
        check_shapes(queries_TD, positives_TD, negatives, targets_T, negative_ids)
        shared_pass = _SharedPass(
            targets_T,
            negative_ids,
            self.log_expected_N[negative_ids] if self.correct_log_q else None,
            self.label_smoothing,
            self.balance,
            LogitDtypes.from_vectors(queries_TD, positives_TD, negatives),
            self._scratch,
        )
        return fused_loss(shared_pass, self.scaled(queries_TD), positives_TD, negatives)

    def losses(
        self, positive_T: Tensor, negative_TK: Tensor, false_TK: Tensor, negative_ids: Tensor
    ) -> Tensor:
        """Compute the (T,) losses from logits."""
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
class _SharedPass:
    """One pass over the logits of queries and negatives that all queries share."""

    targets_T: Tensor
    ids_K: Tensor
    log_expected_K: Tensor | None
    smoothing: float
    balance: SampleWeighting
    dtypes: LogitDtypes
    scratch: Scratch

    def __call__(self, vectors: tuple[Tensor, ...], slopes_T: Tensor | None, gradients: bool) -> PassResult:
        queries_TD, positives_TD, negatives_KD = vectors
        products = LogitProducts(queries_TD, negatives_KD, self.dtypes, self.scratch)
        positives = positives_TD.to(self.dtypes.total)
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
            return PassResult(losses_T, slopes)
        if smoothing is not None:
            surplus_T += smoothing.subtract_gradients(both, products.rows_TD, slopes)
        surplus_T *= slopes
        both[0].addcmul_(positives, surplus_T[:, None])
        return PassResult(losses_T, slopes, (both[0], products.rows_TD * surplus_T[:, None], both[1]))

    def _smoothing(self, negatives_KD: Tensor) -> SharedSmoothing | None:
        if not self.smoothing:
            return None
        return SharedSmoothing(self.smoothing, self.targets_T, self.ids_K, negatives_KD, self.log_expected_K)


class SharedSmoothing:
    """Label smoothing over a target and shared negatives, computed without a look at each logit.

    A share of the target's probability is spread evenly over the target and each negative that is not it.

    Sums over negatives are products with sums of vectors, those of false negatives taken off by item; a
    negative's gradient is that of all positions less that of those whose target it is.

    Args:
        share: share of the probability that is spread, 0 to 1.
        targets_T: int64 item of each position.
        ids_K: int64 item of each negative.
        negatives_KD: vectors of the negatives.
        log_expected_K: correction subtracted from the negatives' logits; None for none.
    """

    def __init__(
        self,
        share: float,
        targets_T: Tensor,
        ids_K: Tensor,
        negatives_KD: Tensor,
        log_expected_K: Tensor | None,
    ) -> None:
        self.share = share
        ids_U, self.place_K, count_U = ids_K.unique(return_inverse=True, return_counts=True)
        self.n_distinct = len(ids_U)
        self.place_T = torch.searchsorted(ids_U, targets_T).clamp(max=self.n_distinct - 1)
        self.false_T1 = (ids_U[self.place_T] == targets_T).to(negatives_KD.dtype)[:, None]
        sums_UD = negatives_KD.new_zeros(self.n_distinct, negatives_KD.shape[1])
        self.negatives_TD = self._others(sums_UD.index_add_(0, self.place_K, negatives_KD))
        self.even_T = share / (1 + self._others(count_U.to(negatives_KD.dtype)[:, None]).squeeze(1))
        self.correction_T = torch.zeros_like(self.even_T)
        if log_expected_K is not None:
            corrections_U1 = negatives_KD.new_zeros(self.n_distinct, 1)
            corrections_U1.index_add_(0, self.place_K, log_expected_K.to(negatives_KD.dtype)[:, None])
            self.correction_T = self._others(corrections_U1).squeeze(1)

    def _others(self, sums_UX: Tensor) -> Tensor:
        """Return (T, X) sums over the items that are not each position's target."""
        return sums_UX.sum(0) - sums_UX[self.place_T] * self.false_T1

    def expected(self, positive_T: Tensor, queries_TD: Tensor) -> Tensor:
        """Return the (T,) logit that is expected under the smoothed target."""
        total_T = positive_T + (queries_TD * self.negatives_TD).sum(1) - self.correction_T
        return (1 - self.share) * positive_T + self.even_T * total_T

    def subtract_gradients(
        self, gradients: tuple[Tensor, Tensor], queries_TD: Tensor, slopes_T: Tensor
    ) -> Tensor:
        """Subtract the expected logit's gradients from those of queries and negatives, in place.

        Returns:
            (T,) derivative of the losses by the positive logits, to be added and weighted.
        """
        of_queries_TD, of_negatives_KD = gradients
        weights_T1 = (slopes_T * self.even_T)[:, None]
        of_queries_TD.sub_(self.negatives_TD * weights_T1)
        weighted_TD = queries_TD * weights_T1
        own_UD = of_negatives_KD.new_zeros(self.n_distinct, of_negatives_KD.shape[1])
        own_UD.index_add_(0, self.place_T, weighted_TD * self.false_T1)
        of_negatives_KD.sub_(weighted_TD.sum(0) - own_UD[self.place_K])
        return self.share - self.even_T

"""Label smoothing over a target and negatives that all positions share, without looking at each logit."""

from __future__ import annotations

import torch
from torch import Tensor


class SharedSmoothing:
    """An even share of the target's probability for the target and each negative that is not the target.

    Sums over negatives are products with sums of vectors, those of false negatives taken off by item; a
    negative's gradient is that of all positions less that of those whose target it is.

    Args:
        share: of the probability that is spread, 0 to 1.
        targets_T: int64 item of each position.
        ids_K: int64 item of each negative.
        negatives_KD: vectors of the negatives.
        log_expected_K: what is taken off the negatives' logits; None for nothing.
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
        """(T, X) sums over the items that are not each position's target."""
        return sums_UX.sum(0) - sums_UX[self.place_T] * self.false_T1

    def expected(self, positive_T: Tensor, queries_TD: Tensor) -> Tensor:
        """(T,) logit that is expected under the smoothed target."""
        total_T = positive_T + (queries_TD * self.negatives_TD).sum(1) - self.correction_T
        return (1 - self.share) * positive_T + self.even_T * total_T

    def take_off(self, gradients: tuple[Tensor, Tensor], queries_TD: Tensor, slopes_T: Tensor) -> Tensor:
        """Takes what the expected logit gives off the gradients of queries and negatives, in place.

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

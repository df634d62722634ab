"""Softmax over the target and a shared set of sampled negatives."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from crossrec.objectives.negatives import NegativeSampler


class SampledSoftmax(nn.Module):
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

    Source:
        Bengio and Senecal 2008, "Adaptive importance sampling to accelerate training of a neural
        probabilistic language model"; Yi et al. 2019, "Sampling-bias-corrected neural modeling for
        large corpus item recommendations"; the target uncorrected as in Khrylchenko et al. 2025,
        "Correcting the logQ correction", without their sample weight.
    """

    samples_negatives = True

    def __init__(self, sampler: NegativeSampler, correct_log_q: bool = True) -> None:
        super().__init__()
        self.sampler = sampler
        self.correct_log_q = correct_log_q
        q_N = torch.from_numpy(sampler.q_N)
        log_expected_N = (torch.log(q_N) + math.log(sampler.negatives)).float()
        self.register_buffer("log_expected_N", log_expected_N, persistent=False)

    def sample(self, generator: torch.Generator) -> Tensor:
        """Negatives for one step, shared by all positions of all processes.

        Args:
            generator: in the same state on every process; a CPU generator gives the same draws on
                any machine.

        Returns:
            (K,) int64 catalogue indices on the generator's device, repeats possible.
        """
        return self.sampler.sample(generator)

    def forward(
        self,
        queries_TD: Tensor,
        positives_TD: Tensor,
        negatives_KD: Tensor,
        targets_T: Tensor,
        negative_ids_K: Tensor,
    ) -> Tensor:
        """Losses of T positions; under autocast the products run in its dtype, the rest in fp32.

        Args:
            queries_TD: hidden states, normalised and scaled as the logits need them.
            positives_TD: vector of each position's target.
            negatives_KD: vectors of the sampled negatives.
            targets_T: int64 catalogue index of each target.
            negative_ids_K: int64 catalogue index of each negative, as :meth:`sample` returned them.

        Returns:
            (T,) fp32 losses in nats (fp64 for fp64 input); 0 where every negative was the target.

        Raises:
            ValueError: the shapes do not fit together.
        """
        if queries_TD.shape != positives_TD.shape or negatives_KD.shape[:1] != negative_ids_K.shape:
            raise ValueError(
                f"queries {tuple(queries_TD.shape)} and positives {tuple(positives_TD.shape)} must agree,"
                f" and negatives {tuple(negatives_KD.shape)} have an id each,"
                f" not {tuple(negative_ids_K.shape)}"
            )
        total = torch.promote_types(queries_TD.dtype, torch.float32)
        positive_T = (queries_TD.to(total) * positives_TD.to(total)).sum(-1)
        negative_TK = (queries_TD @ negatives_KD.T).to(total)
        if self.correct_log_q:
            negative_TK = negative_TK - self.get_buffer("log_expected_N")[negative_ids_K]
        hit_TK = targets_T[:, None] == negative_ids_K
        negative_TK = negative_TK.masked_fill(hit_TK, -torch.inf)
        return torch.cat([positive_T[:, None], negative_TK], dim=1).logsumexp(dim=1) - positive_T

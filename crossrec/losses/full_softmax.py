"""Softmax over the whole catalogue, computed chunk by chunk so that the logits never exist at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from pydantic import Field
from scipy.sparse import csr_matrix
from torch import Tensor

from crossrec.losses.base import CandidateVectors, RankingLoss, RankingLossOptions
from crossrec.losses.fused import LogitDtypes, LogitProducts, PassResult, Scratch, chunks, fused_loss
from crossrec.losses.sample_weighting.weights import SampleWeighting

CHUNK = {"cpu": 512}
"""Positions at once where a configuration leaves it open (4096 on other devices, whose kernels should be
large). Forward and backward of 6,400 positions and 12,101 items, 64 wide: one core took the same with 64 to
512 positions, two cores 0.84 s with 128 and 0.66 s with 512 (the three matrix products at once: 0.68 s)."""


class FullSoftmax(RankingLoss):
    """Softmax cross-entropy over all training items: negative log-likelihood of the next item.

    Both gradients come from the same pass as the losses, from one computation of the logits, so memory is
    ``chunk * N`` values whatever the number of positions. That memory is kept between steps: on a CPU,
    first writing to fresh pages costs more than the matrix product itself.

    Source:
        Wijmans et al. 2025, "Cut your losses in large-vocabulary language models" (no logits in memory);
        Hsu et al. 2024, "Liger kernel" (gradients in the forward pass).
    """

    class Options(RankingLossOptions):
        """Cross-entropy over the whole catalogue.

        Args:
            chunk: positions whose logits are held at once, which bounds memory by ``chunk * N`` logits;
                when left out, a default for the device.
            label_smoothing: share of the target's probability that is spread evenly over the catalogue.
        """

        chunk: int | None = Field(default=None, ge=1)
        label_smoothing: float = Field(default=0.0, ge=0, lt=1)

    def __init__(
        self, options: Options, train_counts: np.ndarray, categories: csr_matrix | None = None
    ) -> None:
        super().__init__(options, train_counts, categories)
        self.chunk = options.chunk
        self.label_smoothing = options.label_smoothing
        self._scratch = Scratch()

    def loss(self, queries_TD: Tensor, targets_T: Tensor, candidates: CandidateVectors) -> Tensor:
        """Compute the losses of T positions, see the base class."""
        losses_T: Tensor = self(queries_TD, candidates.items_ND, targets_T)
        return losses_T

    def forward(self, queries_TD: Tensor, items_ND: Tensor, targets_T: Tensor) -> Tensor:
        """Compute the losses of T positions; under autocast the products run in its dtype, the rest in fp32.

        Args:
            queries_TD: hidden states, normalized and scaled as the logits need them.
            items_ND: vectors of all training items.
            targets_T: int64 number of the item clicked next.

        Returns:
            (T,) weighted losses in nats, fp32 (fp64 for fp64 input).

        Raises:
            ValueError: if the shapes do not fit together.
        """
        if queries_TD.shape[1:] != items_ND.shape[1:] or targets_T.shape != queries_TD.shape[:1]:
            raise ValueError(
                f"queries {tuple(queries_TD.shape)}, items {tuple(items_ND.shape)} and targets "
                f"{tuple(targets_T.shape)} do not fit; expected (T, D), (N, D) and (T,)"
            )
        full_pass = _FullPass(
            targets_T,
            self.chunk or CHUNK.get(queries_TD.device.type, 4096),
            self.label_smoothing,
            self.balance,
            LogitDtypes.from_vectors(queries_TD, items_ND),
            self._scratch,
        )
        return fused_loss(full_pass, self.scaled(queries_TD), items_ND)


@dataclass(frozen=True)
class _FullPass:
    """One pass over the logits of queries and items."""

    targets_T: Tensor
    chunk: int
    smoothing: float
    balance: SampleWeighting
    dtypes: LogitDtypes
    scratch: Scratch

    def __call__(self, vectors: tuple[Tensor, ...], slopes_T: Tensor | None, gradients: bool) -> PassResult:
        queries_TD, items_ND = vectors
        products = LogitProducts(queries_TD, items_ND, self.dtypes, self.scratch)
        mean_D = products.columns_ND.mean(0)
        losses_T = torch.empty(len(queries_TD), dtype=self.dtypes.total, device=queries_TD.device)
        slopes = torch.ones_like(losses_T) if slopes_T is None else slopes_T.to(losses_T.dtype)
        both = products.zeros() if gradients else ()
        for rows in chunks(len(queries_TD), self.chunk):
            target_C1 = self.targets_T[rows, None]
            logits_CN = products.logits(rows)
            expected_C = (1 - self.smoothing) * products.unit * logits_CN.gather(1, target_C1).squeeze(1)
            if self.smoothing:
                expected_C += self.smoothing * (products.rows_TD[rows] @ mean_D)
            peak_C = None if products.bounded else logits_CN.amax(1)
            sum_C = products.exponentiate(logits_CN, peak_C).sum(1)
            plain_C = sum_C.log() - expected_C
            if peak_C is not None:
                plain_C += products.unit * peak_C
            losses_T[rows], own_C = self.balance.with_slopes(plain_C, self.targets_T[rows])
            if slopes_T is None:
                slopes[rows] = own_C
            if both:
                # Probabilities less the target's share of 1, both times the sum.
                logits_CN.scatter_add_(1, target_C1, (sum_C * (self.smoothing - 1))[:, None])
                products.add_gradients(both, rows, logits_CN, sum_C, slopes[rows])
        if both and self.smoothing:
            both[0].sub_(torch.outer(slopes, self.smoothing * mean_D))
            both[1].sub_(self.smoothing / len(items_ND) * (slopes @ products.rows_TD))
        return PassResult(losses_T, slopes, both)

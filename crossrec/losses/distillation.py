"""Distillation of a teacher's ranked lists: soft targets beside the clicked item."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from crossrec.losses.full_softmax import CHUNK
from crossrec.losses.fused import (
    LogitDtypes,
    LogitProducts,
    LossPass,
    PassResult,
    Scratch,
    chunks,
    fused_loss,
)

GATHERED = 1 << 22
"""Numbers of the lists' item vectors that are held at once, ``positions * K * D``."""


@dataclass(frozen=True)
class SoftTargets:
    """A teacher's lists at T positions.

    Args:
        ids_TK: int64 catalogue indices, best first; ``ABSENT`` (-1) after the end of a list.
        scores_TK: float32 scores; -inf where absent.
    """

    ids_TK: Tensor
    scores_TK: Tensor

    def to(self, device: torch.device) -> SoftTargets:
        """Return the lists on a device."""
        return SoftTargets(self.ids_TK.to(device), self.scores_TK.to(device))

    def only(self, chosen_T: Tensor) -> SoftTargets:
        """Return the lists of some positions."""
        return SoftTargets(self.ids_TK[chosen_T], self.scores_TK[chosen_T])

    def numbered(self, position_of: Tensor) -> SoftTargets:
        """Return the lists in another numbering of the items.

        Args:
            position_of: (N,) number of each item of the catalogue; -1 for an item that leaves the lists.
        """
        numbers_TK = position_of[self.ids_TK.clamp(min=0)].masked_fill(self.ids_TK < 0, -1)
        return SoftTargets(numbers_TK, self.scores_TK.masked_fill(numbers_TK < 0, -torch.inf))

    @property
    def taught_T(self) -> Tensor:
        """(T,) bool, positions with a list."""
        return self.scores_TK.isfinite().any(1)


class DistillationLoss(nn.Module):
    """Distillation loss: ``temperature² * KL(teacher || student)`` at each position with a list.

    The teacher's distribution is the softmax of its scores of the list's items, and 0 elsewhere; the
    student's is the softmax of its logits over all items, or over the list's items alone where those are all
    that it has. Both divide by the temperature first. The square keeps the size of the gradient whatever the
    temperature. Gradients are computed in the same pass as the losses, in chunks of positions whose memory is
    kept between steps.

    Source:
        Hinton, Vinyals, Dean: Distilling the knowledge in a neural network (2015); from a teacher's top
        items, as in Tang and Wang: Ranking distillation (KDD 2018).

    Args:
        temperature: temperature of both distributions.
    """

    def __init__(self, temperature: float) -> None:
        super().__init__()
        self.temperature = temperature
        self._scratch = Scratch()

    def forward(
        self, queries_TD: Tensor, vectors_MD: Tensor, soft: SoftTargets, *, over_list: bool
    ) -> Tensor:
        """Compute the losses of T positions, 0 without a list; sums are in fp32 also under autocast.

        Args:
            queries_TD: student's queries, whose dot products with item vectors are its logits.
            vectors_MD: student's item vectors.
            soft: teacher's lists, numbered by the rows of ``vectors_MD``.
            over_list: whether the student's distribution is over the list's items, else over all rows.

        Returns:
            (T,) losses in nats, fp32 (fp64 for fp64 input).
        """
        queries_TD = queries_TD / self.temperature
        dtypes = LogitDtypes.from_vectors(queries_TD, vectors_MD)
        teacher = _Teacher.of(soft, self.temperature, dtypes.total)
        found: LossPass
        if over_list:
            found = _ListPass(teacher, self.temperature**2, dtypes.total)
        else:
            found = _FullPass(teacher, self.temperature**2, dtypes, self._scratch)
        return fused_loss(found, queries_TD, vectors_MD)


@dataclass(frozen=True)
class _Teacher:
    """The teacher's distributions.

    Args:
        ids_TK: rows of the items; any row where the probability is 0.
        p_TK: probabilities; 0 without a list.
        negentropy_T: sum of ``p * log(p)``.
        listed_TK: bool, items of the lists.
    """

    ids_TK: Tensor
    p_TK: Tensor
    negentropy_T: Tensor
    listed_TK: Tensor

    @classmethod
    def of(cls, soft: SoftTargets, temperature: float, dtype: torch.dtype) -> _Teacher:
        listed_TK, taught_T1 = soft.scores_TK != -torch.inf, soft.taught_T[:, None]
        scores_TK = torch.where(taught_T1, soft.scores_TK.to(dtype) / temperature, 0.0)
        log_TK = scores_TK.log_softmax(1)
        p_TK = log_TK.exp() * taught_T1
        negentropy_T = (p_TK * log_TK.masked_fill(~listed_TK, 0.0)).sum(1)
        return cls(soft.ids_TK.clamp(min=0), p_TK, negentropy_T, listed_TK)


@dataclass(frozen=True)
class _FullPass:
    """One pass over the logits of all items."""

    teacher: _Teacher
    factor: float
    dtypes: LogitDtypes
    scratch: Scratch

    def __call__(self, vectors: tuple[Tensor, ...], slopes_T: Tensor | None, gradients: bool) -> PassResult:
        queries_TD, items_ND = vectors
        products = LogitProducts(queries_TD, items_ND, self.dtypes, self.scratch)
        losses_T = torch.empty(len(queries_TD), dtype=self.dtypes.total, device=queries_TD.device)
        slopes = torch.ones_like(losses_T) if slopes_T is None else slopes_T.to(losses_T.dtype)
        both = products.zeros() if gradients else ()
        for rows in chunks(len(queries_TD), CHUNK.get(queries_TD.device.type, 4096)):
            p_CK, ids_CK = self.teacher.p_TK[rows], self.teacher.ids_TK[rows]
            taught_C = self.teacher.listed_TK[rows].any(1)
            logits_CN = products.logits(rows)
            expected_C = products.unit * (p_CK * logits_CN.gather(1, ids_CK)).sum(1)
            peak_C = None if products.bounded else logits_CN.amax(1)
            sum_C = products.exponentiate(logits_CN, peak_C).sum(1)
            plain_C = self.teacher.negentropy_T[rows] - expected_C + sum_C.log()
            if peak_C is not None:
                plain_C += products.unit * peak_C
            losses_T[rows] = self.factor * torch.where(taught_C, plain_C, 0.0)
            if both:
                # Student's probabilities less the teacher's, both times the sum.
                logits_CN.scatter_add_(1, ids_CK, p_CK * -sum_C[:, None])
                weights_C = self.factor * slopes[rows] * taught_C
                products.add_gradients(both, rows, logits_CN, sum_C, weights_C)
        return PassResult(losses_T, slopes, both)


@dataclass(frozen=True)
class _ListPass:
    """One pass over the logits of the lists' items."""

    teacher: _Teacher
    factor: float
    total: torch.dtype

    def __call__(self, vectors: tuple[Tensor, ...], slopes_T: Tensor | None, gradients: bool) -> PassResult:
        queries_TD, vectors_MD = (vector.to(self.total) for vector in vectors)
        n_positions, n_listed = self.teacher.ids_TK.shape
        losses_T = queries_TD.new_zeros(n_positions)
        slopes = torch.ones_like(losses_T) if slopes_T is None else slopes_T.to(self.total)
        both = (torch.zeros_like(queries_TD), torch.zeros_like(vectors_MD)) if gradients else ()
        for rows in chunks(n_positions, max(GATHERED // max(n_listed * queries_TD.shape[1], 1), 1)):
            p_CK, ids_CK, listed_CK = (
                part[rows] for part in (self.teacher.p_TK, self.teacher.ids_TK, self.teacher.listed_TK)
            )
            taught_C1 = listed_CK.any(1, keepdim=True)
            found_CKD = vectors_MD[ids_CK]
            logits_CK = torch.einsum("cd,ckd->ck", queries_TD[rows], found_CKD)
            # Without a list any finite numbers do, as they count 0.
            student_CK = logits_CK.masked_fill(~listed_CK & taught_C1, -torch.inf).log_softmax(1)
            crossed_C = (p_CK * student_CK.masked_fill(~listed_CK, 0.0)).sum(1)
            losses_T[rows] = self.factor * (self.teacher.negentropy_T[rows] - crossed_C)
            if both:
                weights_C1 = self.factor * slopes[rows, None] * taught_C1
                of_logits_CK = (student_CK.exp() - p_CK) * weights_C1
                both[0][rows] = torch.einsum("ck,ckd->cd", of_logits_CK, found_CKD)
                outer_CKD = of_logits_CK[:, :, None] * queries_TD[rows, None]
                both[1].index_add_(0, ids_CK.flatten(), outer_CKD.flatten(0, 1))
        return PassResult(losses_T, slopes, both)

"""The distillation loss: its formula, its gradient, lists of unlike length, and chunks."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from crossrec.losses import distillation
from crossrec.losses.distillation import DistillationLoss, SoftTargets

T, M, K, D = 7, 9, 4, 5


def lists() -> SoftTargets:
    """Seven lists; the second is short, the third is empty."""
    generator = torch.Generator().manual_seed(0)
    ids_TK = torch.stack([torch.randperm(M, generator=generator)[:K] for _ in range(T)])
    scores_TK = torch.randn(T, K, generator=generator).sort(1, descending=True).values
    ids_TK[1, 2:], scores_TK[1, 2:] = -1, -torch.inf
    ids_TK[2], scores_TK[2] = -1, -torch.inf
    return SoftTargets(ids_TK, scores_TK)


def vectors() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return tuple(  # type: ignore[return-value]
        torch.randn(n, D, generator=generator, dtype=torch.float64, requires_grad=True) for n in (T, M)
    )


def plain(
    queries_TD: Tensor, vectors_MD: Tensor, soft: SoftTargets, temperature: float, *, over_list: bool
) -> Tensor:
    """The formula, list by list."""
    losses = []
    for query_D, ids_K, scores_K in zip(queries_TD, soft.ids_TK, soft.scores_TK, strict=True):
        ids, scores = ids_K[ids_K >= 0], scores_K[ids_K >= 0].double()
        teacher = (scores / temperature).log_softmax(0)
        logits_M = vectors_MD @ query_D / temperature
        student = logits_M[ids].log_softmax(0) if over_list else logits_M.log_softmax(0)[ids]
        losses.append(temperature**2 * (teacher.exp() * (teacher - student)).sum())
    return torch.stack(losses)


@pytest.mark.parametrize("over_list", [False, True])
@pytest.mark.parametrize("size", [1.0, 500.0])
def test_losses_and_gradients_are_those_of_the_formula(
    size: float, monkeypatch: pytest.MonkeyPatch, *, over_list: bool
) -> None:
    soft, (queries_TD, vectors_MD) = lists(), vectors()
    found = (queries_TD.detach() * size).requires_grad_(), vectors_MD
    expected = found[0].detach().clone().requires_grad_(), found[1].detach().clone().requires_grad_()
    for temperature, chunk in ((0.5, 2), (3.0, 1000)):
        monkeypatch.setattr(distillation, "GATHERED", chunk * K * D)
        monkeypatch.setitem(distillation.CHUNK, "cpu", chunk)
        losses_T = DistillationLoss(temperature)(*found, soft, over_list=over_list)
        plain_T = plain(*expected, soft, temperature, over_list=over_list)
        torch.testing.assert_close(losses_T, plain_T)
        weights_T = torch.arange(T, dtype=torch.float64)
        for total, wanted in ((losses_T.sum(), plain_T.sum()), (losses_T @ weights_T, plain_T @ weights_T)):
            gradients = torch.autograd.grad(total, found, retain_graph=True)
            torch.testing.assert_close(gradients, torch.autograd.grad(wanted, expected, retain_graph=True))


def test_a_student_that_scores_like_its_teacher_has_no_loss() -> None:
    queries_TD, vectors_MD = (v.detach() for v in vectors())
    ids_TK = torch.arange(M).repeat(T, 1)
    soft = SoftTargets(ids_TK, (queries_TD @ vectors_MD.T).float() + 5.0)
    for over_list in (False, True):
        losses_T = DistillationLoss(2.0)(queries_TD, vectors_MD, soft, over_list=over_list)
        torch.testing.assert_close(losses_T, torch.zeros(T, dtype=torch.float64), atol=1e-6, rtol=0)


def test_items_without_a_number_leave_the_lists() -> None:
    soft = SoftTargets(torch.tensor([[2, 0, -1], [1, -1, -1]]), torch.tensor([[1.0, 0.0, -torch.inf]] * 2))
    numbered = soft.numbered(torch.tensor([5, -1, 7]))
    assert numbered.ids_TK.tolist() == [[7, 5, -1], [-1, -1, -1]]
    assert numbered.taught_T.tolist() == [True, False]

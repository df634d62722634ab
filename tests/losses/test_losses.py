"""The contract of every ranking loss, sample weighting and distribution of negatives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.sparse import csr_matrix
from torch import Tensor

from crossrec.config import Config
from crossrec.losses import LOSSES, LossOptions
from crossrec.losses.base import CandidateVectors, RankingLoss
from crossrec.losses.sample_weighting import SAMPLE_WEIGHTINGS, SampleWeightingOptions

T, N, D = 6, 12, 4
COUNTS = np.arange(1, N + 1)
CATEGORIES = csr_matrix(np.eye(3, dtype=np.float32)[np.arange(N) % 3])
TARGETS = torch.tensor([0, 3, 3, 7, 11, 2])


class Holder(Config):
    objective: LossOptions | None = None
    balance: SampleWeightingOptions | None = None


def build(name: str, **options: Any) -> RankingLoss:
    loss: RankingLoss = LOSSES.parse({"type": name, **options}).build(COUNTS, CATEGORIES)
    return loss


def candidates(loss: RankingLoss, items: Tensor) -> CandidateVectors:
    """All items where the loss asks for no negatives, else targets and some."""
    if loss.sampler is None:
        return CandidateVectors(items)
    ids = loss.sampler.sample(torch.Generator().manual_seed(0), TARGETS)
    return CandidateVectors(None, items[TARGETS], items[ids], ids)


def vectors() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    queries, items = torch.randn(T, D, generator=generator), torch.randn(N, D, generator=generator)
    return queries.requires_grad_(), items.requires_grad_()


@pytest.mark.parametrize("name", [*LOSSES])
def test_a_step_down_the_gradient_lowers_the_loss(name: str) -> None:
    loss, (queries, items) = build(name), vectors()
    before_T = loss.loss(queries, TARGETS, candidates(loss, items))
    assert before_T.shape == (T,)
    assert before_T.dtype == torch.float32
    assert (before_T >= 0).all()  # 0 where the only negative is the target
    gradients = torch.autograd.grad(before_T.sum(), [queries, items])
    assert all(gradient.isfinite().all() and gradient.abs().max() > 0 for gradient in gradients)
    queries, items = queries - 0.01 * gradients[0], items - 0.01 * gradients[1]
    assert loss.loss(queries, TARGETS, candidates(loss, items)).sum() < before_T.sum()


@pytest.mark.parametrize("name", [*LOSSES])
def test_temperature_divides_the_logits_of_every_loss(name: str) -> None:
    (queries, items), loss, cold = vectors(), build(name), build(name, temperature=0.5)
    cold_T = cold.loss(queries, TARGETS, candidates(cold, items))
    torch.testing.assert_close(cold_T, loss.loss(2 * queries, TARGETS, candidates(loss, items)))
    torch.testing.assert_close(cold.scaled(queries), 2 * queries)


@pytest.mark.parametrize("weighting", [*SAMPLE_WEIGHTINGS])
@pytest.mark.parametrize("name", [*LOSSES])
def test_every_loss_is_weighted_by_every_sample_weighting(name: str, weighting: str) -> None:
    queries, items = vectors()
    plain = build(name)
    weighted = build(name, balance={"type": weighting})
    plain_T = plain.loss(queries, TARGETS, candidates(plain, items))
    found_T = weighted.loss(queries, TARGETS, candidates(weighted, items))
    torch.testing.assert_close(found_T, weighted.balance(plain_T, TARGETS))
    assert torch.equal(found_T, plain_T) == (weighting == "none")


@pytest.mark.parametrize("name", [*LOSSES])
def test_options_come_back_from_their_dump_and_nothing_is_saved(name: str) -> None:
    for weighting in SAMPLE_WEIGHTINGS:
        held = Holder.model_validate({"objective": {"type": name, "balance": {"type": weighting}}})
        dumped = held.model_dump(mode="json")
        assert dumped["objective"]["type"] == name
        assert dumped["objective"]["balance"]["type"] == weighting
        assert Holder.model_validate(dumped) == held
        loss = build(name, balance={"type": weighting})
        assert list(loss.parameters()) == []
        assert loss.state_dict() == {}


def test_positives_are_the_targets_vectors_in_both_kinds_of_candidates() -> None:
    _, items = vectors()
    chosen = torch.tensor([5, 1])
    for found in (CandidateVectors(items), CandidateVectors(None, items[TARGETS])):
        assert torch.equal(found.positives(chosen, TARGETS[chosen]), items[TARGETS[chosen]])

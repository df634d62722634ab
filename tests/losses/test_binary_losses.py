"""BCE, gBCE and BPR against plain PyTorch, and what all sampled losses share."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from crossrec.config import Config, validate
from crossrec.losses import LOSSES, LossOptions, sampled_softmax
from crossrec.losses.base import SampledLoss
from crossrec.losses.binary import gbce_beta

T, N, D, K = 6, 20, 4, 5
COUNTS = np.arange(1, N + 1) ** 2
NAMES = [name for name in LOSSES if name != "full_softmax"]


class Holder(Config):
    objective: LossOptions


def build(**content: Any) -> SampledLoss:
    objective = validate(Holder, {"objective": content}, "test.yaml").objective.build(COUNTS)
    assert isinstance(objective, SampledLoss)
    return objective


def inputs(dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    queries = torch.randn(T, D, generator=generator, dtype=dtype).requires_grad_()
    items = torch.randn(N, D, generator=generator, dtype=dtype).requires_grad_()
    return queries, items, torch.randint(0, N, (T,), generator=generator)


def own_ids(targets: Tensor) -> Tensor:
    """Own negatives; the target is among those of the first position."""
    ids = torch.randint(0, N, (T, K), generator=torch.Generator().manual_seed(1))
    ids[0, 2] = targets[0]
    return ids


def plain(name: str, positive: Tensor, negative: Tensor, false: Tensor, t: float) -> Tensor:
    keep = (~false).to(negative.dtype)
    if name == "bpr":
        return -(torch.sigmoid(positive[:, None] - negative).log() * keep).sum(1) / negative.shape[1]
    beta = gbce_beta(negative.shape[1], N, t) if name == "gbce" else 1.0
    wins = (torch.sigmoid(positive) ** beta).log() + ((1 - torch.sigmoid(negative)).log() * keep).sum(1)
    return -wins / (negative.shape[1] + 1)


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("name", ["gbce", "bce", "bpr"])
def test_matches_the_formula_with_false_negatives_left_out(name: str, shared: bool) -> None:
    """In float64: the plain formulas lose digits where a probability nears 1."""
    queries, items, targets = inputs(torch.float64)
    ids = own_ids(targets)[0] if shared else own_ids(targets)
    found = build(type=name, negatives=K, temperature=0.5)(queries, items[targets], items[ids], targets, ids)
    negative = (queries @ items.T / 0.5).gather(1, ids.expand(T, K))
    positive = (queries * items[targets]).sum(1) / 0.5
    expected = plain(name, positive, negative, ids.expand(T, K) == targets[:, None], 0.75)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


SMOOTHED = {"type": "sampled_softmax", "label_smoothing": 0.2}
CASES: dict[str, dict[str, Any]] = {
    **{name: {"type": name} for name in NAMES},
    "smoothed": SMOOTHED,
    "uncorrected": {**SMOOTHED, "correct_log_q": False},
}


@pytest.mark.parametrize("chunk", [4, 1024])
@pytest.mark.parametrize("loss", CASES.values(), ids=CASES)
def test_shared_and_own_negatives_agree_when_they_are_the_same(
    loss: dict[str, Any], chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Values and gradients; for the softmax this sets the fused pass against plain autograd."""
    monkeypatch.setattr(sampled_softmax, "CHUNK", chunk)
    queries, items, targets = inputs()
    objective = build(**loss, negatives=K, distribution="popularity")
    shared = own_ids(targets)[0]
    own = shared.expand(T, K)
    losses = [objective(queries, items[targets], items[ids], targets, ids) for ids in (shared, own)]
    torch.testing.assert_close(losses[0], losses[1], rtol=1e-5, atol=1e-6)
    for weights in (torch.ones(T), torch.linspace(0, 2, T)):
        gradients = [
            torch.autograd.grad(loss @ weights, [queries, items], retain_graph=True) for loss in losses
        ]
        for a, b in zip(*gradients, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("loss", CASES.values(), ids=CASES)
@pytest.mark.parametrize("stretch", [1.0, 400.0])
def test_gradcheck_in_float64(loss: dict[str, Any], stretch: float) -> None:
    queries, items, targets = inputs(torch.float64)
    ids = own_ids(targets)[0]
    objective = build(**loss, negatives=K, balance={"type": "focal"})
    positives, negatives = items[targets].detach().requires_grad_(), items[ids].detach().requires_grad_()
    assert torch.autograd.gradcheck(
        lambda q, p, n: objective(stretch * q, p, n, targets, ids), (queries, positives, negatives), atol=1e-4
    )


@pytest.mark.parametrize("name", NAMES)
def test_large_logits_stay_finite(name: str) -> None:
    queries, items, targets = inputs()
    for ids in (own_ids(targets)[0], own_ids(targets)):
        loss = build(type=name, negatives=K)(1e4 * queries, items[targets], items[ids], targets, ids)
        loss.sum().backward()
        assert loss.isfinite().all()
    assert queries.grad is not None
    assert queries.grad.isfinite().all()


def test_gbce_without_calibration_is_bce_and_beta_follows_the_paper() -> None:
    queries, items, targets = inputs()
    ids = own_ids(targets)
    call = (queries, items[targets], items[ids], targets, ids)
    assert torch.equal(build(type="gbce", negatives=K, t=0)(*call), build(type="bce", negatives=K)(*call))
    for negatives, t in ((5, 0.75), (5, 1.0), (1, 0.3)):
        alpha = negatives / (N - 1)
        wanted = alpha * (t * (1 - 1 / alpha) + 1 / alpha)
        assert gbce_beta(negatives, N, t) == pytest.approx(wanted)
    assert gbce_beta(100, N, 1.0) == 1.0


@pytest.mark.parametrize("shared", [True, False])
def test_sampled_label_smoothing_is_that_of_cross_entropy(shared: bool) -> None:
    queries, items, targets = inputs()
    ids = torch.stack([torch.tensor([i for i in range(N) if i != t][:K]) for t in targets.tolist()])
    if shared:
        ids = torch.tensor([i for i in range(N) if i not in targets.tolist()][:K])
    objective = build(
        type="sampled_softmax", negatives=K, label_smoothing=0.2, distribution="popularity", smoothing=0.0
    )
    found = objective(queries, items[targets], items[ids], targets, ids)
    q = COUNTS**0.75 / (COUNTS**0.75).sum()
    negative = (queries @ items.T - torch.from_numpy(np.log(K * q)).float()).gather(1, ids.expand(T, K))
    logits = torch.cat([(queries * items[targets]).sum(1, keepdim=True), negative], 1)
    zeros = torch.zeros(T, dtype=torch.int64)
    expected = F.cross_entropy(logits, zeros, reduction="none", label_smoothing=0.2)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("distribution", ["uniform", "popularity", "in_batch", "mixed"])
def test_sampler_depends_on_generator_and_targets_alone(distribution: str) -> None:
    _, _, targets = inputs()
    sampler = build(type="bpr", negatives=K, distribution=distribution).sampler
    first = sampler.sample(torch.Generator().manual_seed(3), targets)
    torch.manual_seed(99)
    assert first.shape == (T, K)
    assert first.dtype == torch.int64
    assert torch.equal(first, sampler.sample(torch.Generator().manual_seed(3), targets))
    assert not torch.equal(first, sampler.sample(torch.Generator().manual_seed(4), targets))
    assert sampler.sample(torch.Generator(), targets[:0]).shape == (0, K)


def test_in_batch_negatives_are_targets_of_the_step() -> None:
    sampler = build(type="sampled_softmax", negatives=200, distribution="in_batch").sampler
    targets = torch.tensor([3, 3, 7])
    drawn = sampler.sample(torch.Generator().manual_seed(0), targets)
    assert set(drawn.tolist()) == {3, 7}
    with pytest.raises(ValueError, match="at least one target"):
        sampler.sample(torch.Generator(), targets[:0])
    cold = np.array([0, 1, 1])
    unclicked = validate(
        Holder, {"objective": {"type": "bpr", "distribution": "in_batch"}}, "test.yaml"
    ).objective.build(cold)
    with pytest.raises(ValueError, match="no training click"):
        unclicked.sampler.sample(torch.Generator(), torch.tensor([0, 1]))


@pytest.mark.parametrize("name", NAMES)
def test_shapes_that_do_not_fit_are_named(name: str) -> None:
    queries, items, targets = inputs()
    ids = own_ids(targets)
    objective = build(type=name, negatives=K)
    for negatives, wrong in ((items[ids], ids[0]), (items[ids[0]], ids), (items[ids[:2]], ids[:2])):
        with pytest.raises(ValueError, match="an id each, not"):
            objective(queries, items[targets], negatives, targets, wrong)

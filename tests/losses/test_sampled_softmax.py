"""The sampled softmax and its sampler: distributions, masks, and the way to the full softmax."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from crossrec.config import Config, validate
from crossrec.losses import LossOptions
from crossrec.losses.full_softmax import FullSoftmax
from crossrec.losses.negatives import WeightedNegatives
from crossrec.losses.sampled_softmax import SampledSoftmax
from crossrec.types import ConfigError, InputError

T, N, D = 6, 20, 4
COUNTS = np.arange(N) ** 2
TARGETS = torch.repeat_interleave(torch.arange(N), torch.from_numpy(COUNTS))
"""Every training click: a step whose targets are spread as the clicks are."""


class Holder(Config):
    objective: LossOptions


def inputs() -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    queries = torch.randn(T, D, generator=generator).requires_grad_()
    items = torch.randn(N, D, generator=generator).requires_grad_()
    return queries, items, torch.randint(0, N, (T,), generator=generator)


def drawn_from(distribution: str, negatives: int) -> SampledSoftmax.Options:
    name, _, rest = (
        distribution.partition("_") if distribution.startswith("mixed") else (distribution, "", "")
    )
    mix = {"mix_with": rest} if rest else {}
    return SampledSoftmax.Options.model_validate({"distribution": name, "negatives": negatives, **mix})


def losses(
    config: SampledSoftmax.Options,
    seed: int,
    items: Tensor,
    queries: Tensor,
    targets: Tensor,
    counts: np.ndarray = COUNTS,
) -> Tensor:
    objective = config.build(counts)
    clicks = torch.repeat_interleave(torch.arange(N), torch.from_numpy(counts))
    ids = objective.sampler.sample(torch.Generator().manual_seed(seed), clicks)
    loss: Tensor = objective(queries, items[targets], items[ids], targets, ids)
    return loss


def test_matches_plain_arithmetic() -> None:
    """Written out position by position, with the target among the negatives of some positions."""
    queries, items, targets = inputs()
    config = SampledSoftmax.Options(negatives=40, distribution="popularity")
    objective = config.build(COUNTS)
    ids = objective.sampler.sample(torch.Generator().manual_seed(1), TARGETS)
    assert any(int(t) in ids.tolist() for t in targets)
    q = (COUNTS + 1.0) ** 0.75 / ((COUNTS + 1.0) ** 0.75).sum()
    expected = []
    for query, target in zip(queries.tolist(), targets.tolist(), strict=True):
        score = [math.fsum(a * b for a, b in zip(query, item, strict=True)) for item in items.tolist()]
        rest = math.fsum(math.exp(score[i]) / (40 * q[i]) for i in ids.tolist() if i != target)
        expected.append(math.log(math.exp(score[target]) + rest) - score[target])
    found = objective(queries, items[targets], items[ids], targets, ids)
    assert found.shape == (T,)
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found.detach().numpy(), expected, rtol=1e-5)


@pytest.mark.parametrize("correct", [True, False])
def test_own_negatives_give_the_losses_of_shared_ones(correct: bool) -> None:
    """Each position with its own copy of one set: another path through the code, the same arithmetic."""
    queries, items, targets = inputs()
    objective = SampledSoftmax.Options(negatives=40, correct_log_q=correct).build(COUNTS)
    ids = objective.sampler.sample(torch.Generator().manual_seed(1), TARGETS)
    shared = objective(queries, items[targets], items[ids], targets, ids)
    own_ids = ids.expand(T, -1)
    own = objective(queries, items[targets], items[own_ids], targets, own_ids)
    torch.testing.assert_close(own, shared)


def test_without_correction_it_is_cross_entropy_over_target_and_negatives() -> None:
    queries, items, targets = inputs()
    ids = torch.tensor([i for i in range(N) if i not in targets.tolist()])
    config = SampledSoftmax.Options(negatives=len(ids), correct_log_q=False)
    found = config.build(COUNTS)(queries, items[targets], items[ids], targets, ids)
    logits = torch.cat([(queries * items[targets]).sum(1, keepdim=True), queries @ items[ids].T], 1)
    expected = F.cross_entropy(logits, torch.zeros(T, dtype=torch.int64), reduction="none")
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("correct", [True, False])
def test_accidental_hits_get_no_weight_and_no_gradient(correct: bool) -> None:
    queries, items, targets = inputs()
    objective = SampledSoftmax.Options(negatives=3, correct_log_q=correct).build(COUNTS)
    ids = targets[:1].repeat(3)
    negatives = items[ids].detach().requires_grad_()
    loss = objective(queries, items[targets], negatives, targets, ids)
    other = targets != targets[0]
    assert (loss[~other] == 0).all()
    assert (loss[other] > 0).all()
    gradient = torch.autograd.grad(loss[~other].sum(), negatives)[0]
    assert (gradient == 0).all()


@pytest.mark.parametrize("narrow", [True, False])
@pytest.mark.parametrize("false", [1, 60, 64])
def test_smoothing_spreads_over_those_that_are_not_the_target(false: int, narrow: bool) -> None:
    queries, items, targets = inputs()
    ids = torch.arange(64) % N
    ids[:false] = targets[0]
    objective = SampledSoftmax.Options(negatives=64, label_smoothing=0.3).build(COUNTS)
    with torch.autocast("cpu", torch.bfloat16, enabled=narrow):
        found = objective(queries, items[targets], items[ids], targets, ids)
    logits = (queries @ items.T)[0].tolist()
    kept = [logits[i] - math.log(64 / N) for i in ids.tolist() if i != targets[0]]
    own = logits[int(targets[0])]
    expected = 0.7 * own + 0.3 * (own + sum(kept)) / (1 + len(kept))
    loss = math.log(math.fsum(math.exp(s) for s in [own, *kept])) - expected
    assert found[0].item() == pytest.approx(loss, abs=0.05 if narrow and kept else 1e-5)


@pytest.mark.parametrize("distribution", ["uniform", "popularity", "in_batch", "mixed", "mixed_in_batch"])
def test_denominator_is_unbiased_and_gradient_nears_the_full_softmax(distribution: str) -> None:
    """400 draws of 256 negatives: the mean gradient was within 0.025 of the full softmax's, whose
    largest entry is 3.5 (uncorrected: 0.09 to 0.78 away), the mean denominator within 1.4 %.

    In-batch negatives need every item to have clicks: one without never comes up."""
    counts = 10 + np.arange(N) if "in_batch" in distribution else COUNTS
    queries, items, targets = inputs()
    full = torch.autograd.grad(F.cross_entropy(queries @ items.T, targets, reduction="sum"), [queries, items])
    config = drawn_from(distribution, 256)
    mean = [torch.zeros_like(queries), torch.zeros_like(items)]
    partition = torch.zeros(T)
    for seed in range(400):
        loss = losses(config, seed, items, queries, targets, counts)
        with torch.no_grad():
            partition += (loss + (queries * items[targets]).sum(1)).exp() / 400
        for total, part in zip(mean, torch.autograd.grad(loss.sum(), [queries, items]), strict=True):
            total += part / 400
    torch.testing.assert_close(partition, (queries @ items.T).exp().sum(1), rtol=0.025, atol=0)
    for found, wanted in zip(mean, full, strict=True):
        assert (found - wanted).abs().max() < 0.04


def test_more_negatives_come_closer_to_the_full_loss() -> None:
    queries, items, targets = inputs()
    exact = F.cross_entropy(queries @ items.T, targets, reduction="none")

    def error(negatives: int) -> float:
        config = SampledSoftmax.Options(negatives=negatives, distribution="mixed")
        draws = [losses(config, seed, items, queries, targets) - exact for seed in range(20)]
        return torch.stack(draws).abs().mean().item()

    assert error(20_000) < 0.3 * error(200) < 0.3 * error(5)


@pytest.mark.parametrize("distribution", ["uniform", "popularity", "in_batch", "mixed", "mixed_in_batch"])
def test_draws_follow_the_distribution(distribution: str) -> None:
    """100,000 draws: every frequency within five standard errors."""
    config = drawn_from(distribution, 100_000)
    popular = (COUNTS + 1.0) ** 0.75
    popular /= popular.sum()
    even = np.full(N, 1 / N)
    clicked = COUNTS / COUNTS.sum()
    q = {
        "uniform": even,
        "popularity": popular,
        "in_batch": clicked,
        "mixed": (even + popular) / 2,
        "mixed_in_batch": (even + clicked) / 2,
    }[distribution]
    objective = config.build(COUNTS)
    np.testing.assert_allclose(objective.sampler.distribution.q_N, q)
    ids = objective.sampler.sample(torch.Generator().manual_seed(0), TARGETS)
    assert ids.dtype == torch.int64
    frequency = np.bincount(ids.numpy(), minlength=N) / len(ids)
    assert (np.abs(frequency - q) <= 5 * np.sqrt(q * (1 - q) / len(ids))).all()


def test_the_same_generator_state_gives_the_same_negatives() -> None:
    objective = SampledSoftmax.Options(negatives=64).build(COUNTS)
    first = objective.sampler.sample(torch.Generator().manual_seed(5), TARGETS)
    torch.manual_seed(99)
    torch.rand(3)
    assert torch.equal(objective.sampler.sample(torch.Generator().manual_seed(5), TARGETS), first)
    generator = torch.Generator().manual_seed(5)
    objective.sampler.sample(generator, TARGETS)
    assert not torch.equal(objective.sampler.sample(generator, TARGETS), first)


def test_smoothing_decides_whether_cold_items_can_be_negatives() -> None:
    counts = np.array([0, 5, 0, 5])
    config = SampledSoftmax.Options(distribution="popularity", negatives=2000)
    drawn = config.build(counts).sampler.sample(torch.Generator().manual_seed(0), TARGETS)
    assert set(drawn.tolist()) == {0, 1, 2, 3}
    strict = config.model_copy(update={"smoothing": 0.0}).build(counts)
    assert set(strict.sampler.sample(torch.Generator().manual_seed(0), TARGETS).tolist()) == {1, 3}
    flat = config.model_copy(update={"smoothing": 0.0, "power": 0.0}).build(counts)
    assert set(flat.sampler.sample(torch.Generator().manual_seed(0), TARGETS).tolist()) == {1, 3}


def test_no_draw_falls_on_a_trailing_impossible_item() -> None:
    draws = WeightedNegatives(np.array([0.1] * 10 + [0.0]))
    draws._cumulative_N *= 0.5
    assert draws.draw((10,), torch.Generator().manual_seed(0), TARGETS).max() == 9


def test_impossible_distributions_are_refused() -> None:
    with pytest.raises(InputError, match="no training click and smoothing 0"):
        SampledSoftmax.Options(distribution="popularity", smoothing=0).build(np.zeros(3))
    SampledSoftmax.Options(distribution="uniform", smoothing=0).build(np.zeros(3))
    for q in ([0.0, 0.0], [1.0, -1.0], [1.0, math.nan]):
        with pytest.raises(ValueError, match="must be finite, not negative"):
            WeightedNegatives(np.array(q))


def test_bf16_autocast_stays_close_and_returns_fp32() -> None:
    """bf16 logits of this size are off by less than 0.02; measured difference of the loss 0.015."""
    queries, items, targets = inputs()
    config = SampledSoftmax.Options(negatives=64)
    exact = losses(config, 0, items, queries, targets)
    with torch.autocast("cpu", torch.bfloat16):
        found = losses(config, 0, items, queries, targets)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, exact, rtol=0, atol=0.03)


def test_shapes_that_do_not_fit_are_named() -> None:
    queries, items, targets = inputs()
    objective = SampledSoftmax.Options(negatives=3).build(COUNTS)
    with pytest.raises(ValueError, match=r"an id each, not \(2,\)"):
        objective(queries, items[targets], items[:3], targets, torch.tensor([0, 1]))


@pytest.mark.parametrize(
    "config",
    [FullSoftmax.Options(chunk=64, label_smoothing=0.1), SampledSoftmax.Options(distribution="mixed")],
)
def test_config_round_trip_and_build(config: FullSoftmax.Options | SampledSoftmax.Options) -> None:
    held = Holder(objective=config)
    assert Holder.model_validate(held.model_dump()) == held
    objective = config.build(COUNTS)
    assert (objective.sampler is None) is isinstance(config, FullSoftmax.Options)
    assert list(objective.parameters()) == []
    assert objective.state_dict() == {}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"type": "sampled"}, "did you mean 'sampled_softmax'"),
        ({"type": "full_softmax", "chunks": 2}, "did you mean 'chunk'"),
        ({"type": "full_softmax", "label_smoothing": 1.0}, "less than 1"),
        (
            {"type": "sampled_softmax", "distribution": "popular"},
            "'uniform', 'popularity', 'in_batch', 'category' or 'mixed'",
        ),
    ],
)
def test_wrong_config_names_the_way_out(content: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        validate(Holder, {"objective": content}, "test.yaml")

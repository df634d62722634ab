"""Sample weighting: mean weight 1, the formulas, and the same gradients as weighting by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from crossrec.losses.binary import BCELoss
from crossrec.losses.full_softmax import FullSoftmax
from crossrec.losses.negatives import NegativeSampler
from crossrec.losses.sample_weighting.weights import (
    CategoryBalanced,
    ClassBalanced,
    Focal,
    InversePropensity,
    ItemWeighting,
    category_weights,
)
from crossrec.losses.sampled_softmax import SampledSoftmax
from crossrec.types import InputError

COUNTS = np.array([0, 1, 4, 100])
N = len(COUNTS)
MEMBER = csr_matrix(np.array([[1, 0], [1, 0], [1, 0], [0, 1], [0, 0], [0, 0]], dtype=np.float32))
MEMBER_COUNTS = np.array([6, 3, 0, 1, 2, 0])


def inverse_propensity(counts: np.ndarray, power: float, clip: float) -> InversePropensity:
    weighting: InversePropensity = InversePropensity.Options(power=power, clip=clip).build(counts)
    return weighting


def class_balanced(counts: np.ndarray, beta: float) -> ClassBalanced:
    weighting: ClassBalanced = ClassBalanced.Options(beta=beta).build(counts)
    return weighting


def sampler(counts: np.ndarray, categories: csr_matrix, **options: Any) -> NegativeSampler:
    loss: SampledSoftmax = SampledSoftmax.Options(**options).build(counts, categories)
    return loss.sampler


@given(
    counts=st.lists(st.integers(0, 10_000), min_size=1, max_size=30).filter(any),
    power=st.floats(0, 2),
    clip=st.floats(1e-3, 1),
    beta=st.floats(0, 0.9999),
)
def test_mean_weight_over_clicks_is_one(counts: list[int], power: float, clip: float, beta: float) -> None:
    array = np.array(counts)
    for balance in (inverse_propensity(array, power, clip), class_balanced(array, beta)):
        assert np.average(balance.weights_N.double().numpy(), weights=array) == pytest.approx(1, rel=1e-5)


def test_weights_follow_their_formulas() -> None:
    weights = inverse_propensity(COUNTS, 0.5, 0.15).weights_N
    np.testing.assert_allclose(weights / weights[3], [1 / 0.15, 1 / 0.15, 5, 1], rtol=1e-6)
    weights = class_balanced(COUNTS, 0.9).weights_N
    effective = [1, 1, (1 - 0.9**4) / 0.1, (1 - 0.9**100) / 0.1]
    np.testing.assert_allclose(weights / weights[1], 1 / np.array(effective), rtol=1e-6)
    assert torch.equal(class_balanced(COUNTS, 0.0).weights_N, torch.ones(N))


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_focal_loss_and_its_slope_are_those_of_the_formula(gamma: float) -> None:
    losses = torch.tensor([0.0, 1e-6, 0.5, 3.0, 80.0])
    found, slopes = (
        Focal.Options(gamma=gamma).build(COUNTS).with_slopes(losses, torch.zeros(5, dtype=torch.int64))
    )
    exact = losses.double().requires_grad_()
    wanted = (1 - torch.exp(-exact)) ** gamma * exact
    torch.testing.assert_close(found.double(), wanted, rtol=1e-5, atol=1e-7)
    expected = torch.autograd.grad(wanted[1:].sum(), exact)[0]
    torch.testing.assert_close(slopes[1:].double(), expected[1:], rtol=1e-4, atol=1e-6)
    assert slopes.isfinite().all()


@pytest.mark.parametrize(
    "balance", [InversePropensity.Options(), ClassBalanced.Options(beta=0.9), Focal.Options(gamma=2.0)]
)
@pytest.mark.parametrize("even", [True, False])
def test_full_softmax_gradients_are_those_of_weighting_by_hand(
    balance: InversePropensity.Options | ClassBalanced.Options | Focal.Options, even: bool
) -> None:
    torch.manual_seed(0)
    queries, items = torch.randn(9, 5).requires_grad_(), torch.randn(N, 5).requires_grad_()
    targets = torch.arange(9) % 3 + 1
    upstream = torch.ones(9) if even else torch.linspace(0, 1, 9)
    found = FullSoftmax.Options(chunk=4, balance=balance).build(COUNTS)(queries, items, targets)
    plain = F.cross_entropy(queries @ items.T, targets, reduction="none")
    expected = balance.build(COUNTS)(plain, targets)
    assert not torch.allclose(found, plain, rtol=0.01)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    for a, b in zip(
        torch.autograd.grad(found @ upstream, [queries, items]),
        torch.autograd.grad(expected @ upstream, [queries, items]),
        strict=True,
    ):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("config", [SampledSoftmax.Options, BCELoss.Options])
def test_sampled_losses_are_multiplied_by_their_targets_weights(
    config: type[SampledSoftmax.Options] | type[BCELoss.Options],
) -> None:
    torch.manual_seed(0)
    queries, items, targets, ids = (
        torch.randn(3, 5),
        torch.randn(N, 5),
        torch.tensor([1, 2, 3]),
        torch.tensor([0]),
    )
    call = (queries, items[targets], items[ids], targets, ids)
    balance = InversePropensity.Options()
    weights = inverse_propensity(COUNTS, balance.power, balance.clip).weights_N[targets]
    found = config(negatives=1, balance=balance).build(COUNTS)(*call)
    torch.testing.assert_close(found, config(negatives=1).build(COUNTS)(*call) * weights)


def test_balance_of_no_clicks_is_refused() -> None:
    with pytest.raises(InputError, match="no training click"):
        ItemWeighting(np.ones(3), np.zeros(3))


@given(
    rows=st.lists(st.lists(st.booleans(), min_size=3, max_size=3), min_size=1, max_size=8),
    power=st.sampled_from([0.0, 0.5, 1.0]),
    seed=st.integers(0, 99),
)
def test_weights_are_the_sum_over_an_items_categories(
    rows: list[list[bool]], power: float, seed: int
) -> None:
    counts = np.random.default_rng(seed).integers(1, 9, len(rows))
    found = category_weights(csr_matrix(np.array(rows, dtype=float)), counts, power)
    if not any(any(row) for row in rows):
        assert found is None
        return
    sizes = [sum(counts[i] for i, row in enumerate(rows) if row[g]) for g in range(3)]
    without = sum(counts[i] for i, row in enumerate(rows) if not any(row))
    for item, row in enumerate(rows):
        own = [sizes[g] for g in range(3) if row[g]] or [without]
        assert found is not None
        assert found[item] == pytest.approx(sum(1 / size**power for size in own))


def test_every_category_is_drawn_alike_and_the_rest_stands_as_one_more() -> None:
    found = sampler(MEMBER_COUNTS, MEMBER, negatives=60_000, distribution="category")
    np.testing.assert_allclose(found.distribution.q_N, [1 / 9, 1 / 9, 1 / 9, 1 / 3, 1 / 6, 1 / 6])
    drawn = found.sample(torch.Generator().manual_seed(0), torch.zeros(1, dtype=torch.int64))
    np.testing.assert_allclose(
        np.bincount(drawn.numpy(), minlength=6) / len(drawn), found.distribution.q_N, atol=0.01
    )


def test_an_item_of_several_categories_comes_up_in_each() -> None:
    member = csr_matrix(np.array([[1, 1], [1, 0], [1, 0], [0, 1]]))
    found = sampler(np.ones(4), member, distribution="category").distribution.q_N
    np.testing.assert_allclose(found, [1 / 6 + 1 / 4, 1 / 6, 1 / 6, 1 / 4])
    # A click is one click, whatever its item's categories: there the mean over them counts.
    weights = CategoryBalanced.Options(power=1.0).build(np.ones(4), member)(torch.ones(4), torch.arange(4))
    np.testing.assert_allclose(weights / weights[1], [(1 / 3 + 1 / 2) / 2 * 3, 1, 1, 1.5], rtol=1e-6)


def test_every_category_weighs_the_same_and_a_click_one_on_average() -> None:
    balance = CategoryBalanced.Options(power=1.0).build(MEMBER_COUNTS, MEMBER)
    weight_N = balance(torch.ones(6), torch.arange(6)).double().numpy()
    in_first, in_second, without = (
        weight_N[:3] @ MEMBER_COUNTS[:3],
        weight_N[3] * MEMBER_COUNTS[3],
        weight_N[4:] @ MEMBER_COUNTS[4:],
    )
    assert in_first == pytest.approx(in_second) == pytest.approx(without)
    assert weight_N @ MEMBER_COUNTS == pytest.approx(MEMBER_COUNTS.sum())
    even = CategoryBalanced.Options(power=0.0).build(MEMBER_COUNTS, MEMBER)
    torch.testing.assert_close(even(torch.ones(6), torch.arange(6)), torch.ones(6))


def test_what_goes_by_category_needs_categories() -> None:
    nothing = csr_matrix((6, 2))
    for categories, told in ((None, "needs the catalogue's categories"), (nothing, "no item has a category")):
        with pytest.raises(InputError, match=told):
            SampledSoftmax.Options(distribution="category").build(MEMBER_COUNTS, categories)
        with pytest.raises(InputError, match=told):
            CategoryBalanced.Options().build(MEMBER_COUNTS, categories)
    mixed = sampler(MEMBER_COUNTS, MEMBER, distribution="mixed", mix_with="category")
    assert mixed.distribution.q_N[3] == pytest.approx((1 / 6 + 1 / 3) / 2)

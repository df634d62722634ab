"""Data balance: mean weight 1, the formulas, and the same gradients as weighting by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from crossrec.objectives.balance import Focal, ItemBalance, class_balanced, inverse_propensity
from crossrec.objectives.balance_config import ClassBalancedConfig, FocalConfig, InversePropensityConfig
from crossrec.objectives.config import BCEConfig, FullSoftmaxConfig, SampledSoftmaxConfig
from crossrec.types import InputError

COUNTS = np.array([0, 1, 4, 100])
N = len(COUNTS)


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
    found, slopes = Focal(gamma).with_slopes(losses, torch.zeros(5, dtype=torch.int64))
    exact = losses.double().requires_grad_()
    wanted = (1 - torch.exp(-exact)) ** gamma * exact
    torch.testing.assert_close(found.double(), wanted, rtol=1e-5, atol=1e-7)
    expected = torch.autograd.grad(wanted[1:].sum(), exact)[0]
    torch.testing.assert_close(slopes[1:].double(), expected[1:], rtol=1e-4, atol=1e-6)
    assert slopes.isfinite().all()


@pytest.mark.parametrize(
    "balance", [InversePropensityConfig(), ClassBalancedConfig(beta=0.9), FocalConfig(gamma=2.0)]
)
@pytest.mark.parametrize("even", [True, False])
def test_full_softmax_gradients_are_those_of_weighting_by_hand(
    balance: InversePropensityConfig | ClassBalancedConfig | FocalConfig, even: bool
) -> None:
    torch.manual_seed(0)
    queries, items = torch.randn(9, 5).requires_grad_(), torch.randn(N, 5).requires_grad_()
    targets = torch.arange(9) % 3 + 1
    upstream = torch.ones(9) if even else torch.linspace(0, 1, 9)
    found = FullSoftmaxConfig(chunk=4, balance=balance).build(COUNTS)(queries, items, targets)
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


@pytest.mark.parametrize("config", [SampledSoftmaxConfig, BCEConfig])
def test_sampled_losses_are_multiplied_by_their_targets_weights(
    config: type[SampledSoftmaxConfig] | type[BCEConfig],
) -> None:
    torch.manual_seed(0)
    queries, items, targets, ids = (
        torch.randn(3, 5),
        torch.randn(N, 5),
        torch.tensor([1, 2, 3]),
        torch.tensor([0]),
    )
    call = (queries, items[targets], items[ids], targets, ids)
    balance = InversePropensityConfig()
    weights = inverse_propensity(COUNTS, balance.power, balance.clip).weights_N[targets]
    found = config(negatives=1, balance=balance).build(COUNTS)(*call)
    torch.testing.assert_close(found, config(negatives=1).build(COUNTS)(*call) * weights)


def test_balance_of_no_clicks_is_refused() -> None:
    with pytest.raises(InputError, match="no training click"):
        ItemBalance(np.ones(3), np.zeros(3))

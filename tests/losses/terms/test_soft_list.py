"""Soft lists: rows sum to k, gradients are those of finite differences, low temperatures give hard lists."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit

from crossrec.losses.terms.soft_list import soft_top_k


def by_bisection(logits: list[float], k: int, temperature: float) -> list[float]:
    low, high = min(logits) - 100 * temperature, max(logits) + 100 * temperature
    for _ in range(200):
        middle = (low + high) / 2
        inside = [float(expit((x - middle) / temperature)) for x in logits]
        low, high = (middle, high) if sum(inside) > k else (low, middle)
    return inside


@settings(max_examples=60, deadline=None)
@given(
    logits=st.lists(st.floats(-20, 20), min_size=3, max_size=30),
    share=st.floats(0, 1),
    temperature=st.sampled_from([0.05, 0.5, 3.0, 50.0]),
)
def test_the_list_is_that_of_plain_bisection(logits: list[float], share: float, temperature: float) -> None:
    k = 1 + int(share * (len(logits) - 2))
    expected = by_bisection(logits, k, temperature)
    for dtype, tolerance in ((torch.float64, 1e-9), (torch.float32, 2e-3)):
        found = soft_top_k(torch.tensor([logits, logits[::-1]], dtype=dtype), k, temperature)
        assert found.sum(1) == pytest.approx(k, rel=2e-5)
        np.testing.assert_allclose(found[0], expected, atol=tolerance)
        np.testing.assert_allclose(found[1], expected[::-1], atol=tolerance)


@pytest.mark.parametrize("temperature", [0.3, 1.0, 4.0])
def test_gradients_are_those_of_finite_differences(temperature: float) -> None:
    logits = torch.randn(3, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 2
    logits.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: soft_top_k(x, 4, temperature), (logits,), atol=1e-6)


def test_a_low_temperature_gives_the_hard_list_and_a_high_one_an_even_one() -> None:
    logits = torch.randn(5, 200, generator=torch.Generator().manual_seed(1))
    hard = torch.zeros_like(logits).scatter_(1, logits.topk(7).indices, 1.0)
    torch.testing.assert_close(soft_top_k(logits, 7, 1e-4), hard, atol=1e-4, rtol=0)
    even = torch.full_like(logits, 7 / 200)
    torch.testing.assert_close(soft_top_k(logits, 7, 1e4), even, atol=1e-4, rtol=0)


def test_impossible_items_are_left_out_and_their_gradient_is_zero() -> None:
    logits = torch.randn(3, 8, generator=torch.Generator().manual_seed(2))
    logits[0, :3] = -torch.inf
    logits[1, 2:] = -torch.inf
    logits[2] = -torch.inf
    logits.requires_grad_()
    soft = soft_top_k(logits, 4, 0.5)
    weights = torch.arange(8.0)
    (soft * weights).sum().backward()
    soft = soft.detach()
    assert soft[0, :3].eq(0).all()
    assert soft[0].sum() == pytest.approx(4, rel=1e-4)
    # Two are possible, so both are in.
    torch.testing.assert_close(soft[1], torch.tensor([1.0, 1, 0, 0, 0, 0, 0, 0]))
    assert soft[2].eq(0).all()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
    assert logits.grad[0, :3].eq(0).all()
    assert logits.grad[0, 3:].abs().max() > 0


@pytest.mark.parametrize("possible", [0, 1, 3, 4])
def test_a_row_with_few_possible_items_costs_no_more_steps(
    monkeypatch: pytest.MonkeyPatch, possible: int
) -> None:
    logits = torch.randn(6, 40, generator=torch.Generator().manual_seed(3))
    expected = soft_top_k(logits, 4, 0.5)
    logits = torch.cat([logits, torch.full((1, 40), -torch.inf)])
    logits[6, :possible] = torch.arange(float(possible))
    steps, norm = [], torch.linalg.vector_norm
    monkeypatch.setattr(torch.linalg, "vector_norm", lambda *a, **k: steps.append(1) or norm(*a, **k))
    found = soft_top_k(logits, 4, 0.5)
    assert 0 < len(steps) < 15
    torch.testing.assert_close(found[:6], expected)
    torch.testing.assert_close(found[6], (torch.arange(40) < possible).float(), atol=1e-4, rtol=0)


def test_a_wide_gap_between_in_and_out_is_found() -> None:
    logits = torch.cat([torch.full((1, 5), 1e4), torch.full((1, 50), -1e4)], dim=1)
    torch.testing.assert_close(soft_top_k(logits, 5, 0.5)[0, :5], torch.ones(5))
    # Six places for five: the rest share one place.
    torch.testing.assert_close(
        soft_top_k(logits, 6, 0.5)[0, 5:], torch.full((50,), 1 / 50), rtol=1e-3, atol=0
    )


def test_a_list_as_long_as_the_catalogue_is_refused() -> None:
    with pytest.raises(ValueError, match="more than 4"):
        soft_top_k(torch.zeros(2, 4), 4, 1.0)

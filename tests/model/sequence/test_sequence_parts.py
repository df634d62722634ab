"""Parts that sequence models share, each against its formula."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from crossrec.model.sequence.layers import (
    BUCKETS,
    Attention,
    ClickDropout,
    Rotary,
    SwiGLU,
    TimeGaps,
    log_buckets,
    make_norm,
)


def test_rotary_turns_pairs_by_their_angle() -> None:
    torch.manual_seed(0)
    states = torch.randn(3, 2, 10, 8)
    pairs = torch.complex(states[..., :4], states[..., 4:])
    angles = torch.arange(10.0)[:, None] * 10_000 ** (-torch.arange(0, 8, 2) / 8)
    turned = pairs * torch.polar(torch.ones_like(angles), angles)
    expected = torch.cat([turned.real, turned.imag], dim=-1)
    torch.testing.assert_close(Rotary(8, 12)(states), expected, rtol=1e-5, atol=1e-5)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 99), st.integers(0, 99), st.integers(0, 100))
def test_rotary_products_depend_on_distance_alone(first: int, second: int, shift: int) -> None:
    rotary = Rotary(8, 200)
    torch.manual_seed(first)
    query, key = torch.randn(2, 8)
    queries, keys = rotary(query.expand(200, 8)), rotary(key.expand(200, 8))
    moved = queries[first + shift] @ keys[second + shift]
    torch.testing.assert_close(moved, queries[first] @ keys[second], rtol=1e-4, atol=1e-4)


def test_attention_turns_queries_and_keys_but_not_values() -> None:
    torch.manual_seed(0)
    qkv = torch.randn(2, 5, 24)
    rotary = Rotary(8, 5)
    query, key, value = qkv.split(8, dim=-1)
    scores = rotary(query) @ rotary(key).transpose(1, 2) / math.sqrt(8)
    hidden = torch.ones(5, 5, dtype=torch.bool).triu(1)
    expected = scores.masked_fill(hidden, -torch.inf).softmax(-1) @ value
    found = Attention(8, 1, causal=True, rotary=rotary)(qkv)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_attention_dropout_acts_in_training_only() -> None:
    torch.manual_seed(0)
    qkv = torch.randn(2, 5, 24)
    plain, dropping = Attention(8, 2, causal=True), Attention(8, 2, causal=True, dropout=0.5)
    assert not torch.allclose(dropping(qkv), plain(qkv))
    torch.testing.assert_close(dropping.eval()(qkv), plain(qkv), rtol=1e-5, atol=1e-6)


def test_swiglu_gates_with_silu() -> None:
    torch.manual_seed(0)
    part = SwiGLU(4, 6, dropout=0.0)
    hidden = torch.randn(3, 4)
    first, second = part.into.weight.split(6)
    gate = hidden @ first.T
    expected = (gate * torch.sigmoid(gate) * (hidden @ second.T)) @ part.out.weight.T
    torch.testing.assert_close(part(hidden), expected)
    assert part.into.bias is None
    assert part.out.bias is None


def test_rms_norm_divides_by_the_root_mean_square() -> None:
    torch.manual_seed(0)
    hidden = torch.randn(3, 8) + 5
    expected = hidden / (hidden.square().mean(-1, keepdim=True) + 1e-5).sqrt()
    torch.testing.assert_close(make_norm("rms", 8)(hidden), expected)
    assert make_norm("layer", 8)(hidden).mean().abs() < 1e-5


@given(st.lists(st.integers(-(2**40), 2**40), min_size=1, max_size=20))
@settings(max_examples=50, deadline=None)
def test_buckets_grow_with_the_logarithm(seconds: list[int]) -> None:
    found = log_buckets(torch.tensor(seconds))
    assert ((found >= 0) & (found < BUCKETS)).all()
    for second, bucket in zip(seconds, found.tolist(), strict=True):
        exact = math.log(max(abs(second), 1)) / 0.301
        assert abs(min(exact, BUCKETS - 1) - bucket) < 1 + 1e-4
    order = torch.tensor(seconds).abs().argsort()
    assert (found[order].diff() >= 0).all()


def test_time_gaps_look_back_one_click() -> None:
    torch.manual_seed(0)
    gaps = TimeGaps(4)
    day = 86_400
    found = gaps(torch.tensor([[0, 1, 1 + day, 2 + day], [9, 9 + day, 10 + day, 10 + 2 * day]]))
    first, short, long = gaps.weight[[BUCKETS, 0, int(math.log(day) / 0.301)]].unbind()
    torch.testing.assert_close(found[0], torch.stack([first, short, long, short]))
    torch.testing.assert_close(found[1], torch.stack([first, long, short, long]))
    assert gaps(torch.tensor([[5]])).shape == (1, 1, 4)


@pytest.mark.parametrize("rate", [0.0, 0.3])
def test_click_dropout_hides_whole_clicks_and_rescales_nothing(rate: float) -> None:
    torch.manual_seed(0)
    vectors = torch.randn(50, 40, 6)
    part = ClickDropout(rate)
    found = part(vectors)
    hidden = (found == 0).all(-1)
    assert torch.equal(found[~hidden], vectors[~hidden])
    assert abs(hidden.float().mean().item() - rate) < 0.05  # five standard errors
    assert part.eval()(vectors) is vectors

"""Negatives and clicks that are balanced over categories."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from crossrec.objectives.balance_config import CategoryBalancedConfig
from crossrec.objectives.categories import category_weights
from crossrec.objectives.config import SampledSoftmaxConfig
from crossrec.types import InputError

MEMBER = csr_matrix(np.array([[1, 0], [1, 0], [1, 0], [0, 1], [0, 0], [0, 0]], dtype=np.float32))
COUNTS = np.array([6, 3, 0, 1, 2, 0])


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
    sampler = SampledSoftmaxConfig(negatives=60_000, distribution="category").build_sampler(COUNTS, MEMBER)
    np.testing.assert_allclose(sampler.draws.q_N, [1 / 9, 1 / 9, 1 / 9, 1 / 3, 1 / 6, 1 / 6])
    drawn = sampler.sample(torch.Generator().manual_seed(0), torch.zeros(1, dtype=torch.int64))
    np.testing.assert_allclose(
        np.bincount(drawn.numpy(), minlength=6) / len(drawn), sampler.draws.q_N, atol=0.01
    )


def test_an_item_of_several_categories_comes_up_in_each() -> None:
    member = csr_matrix(np.array([[1, 1], [1, 0], [1, 0], [0, 1]]))
    found = SampledSoftmaxConfig(distribution="category").build_sampler(np.ones(4), member).draws.q_N
    np.testing.assert_allclose(found, [1 / 6 + 1 / 4, 1 / 6, 1 / 6, 1 / 4])
    # A click is one click, whatever its item's categories: there the mean over them counts.
    weights = CategoryBalancedConfig(power=1.0).build(np.ones(4), member)(torch.ones(4), torch.arange(4))
    np.testing.assert_allclose(weights / weights[1], [(1 / 3 + 1 / 2) / 2 * 3, 1, 1, 1.5], rtol=1e-6)


def test_every_category_weighs_the_same_and_a_click_one_on_average() -> None:
    balance = CategoryBalancedConfig(power=1.0).build(COUNTS, MEMBER)
    weight_N = balance(torch.ones(6), torch.arange(6)).double().numpy()
    in_first, in_second, without = (
        weight_N[:3] @ COUNTS[:3],
        weight_N[3] * COUNTS[3],
        weight_N[4:] @ COUNTS[4:],
    )
    assert in_first == pytest.approx(in_second) == pytest.approx(without)
    assert weight_N @ COUNTS == pytest.approx(COUNTS.sum())
    even = CategoryBalancedConfig(power=0.0).build(COUNTS, MEMBER)
    torch.testing.assert_close(even(torch.ones(6), torch.arange(6)), torch.ones(6))


def test_what_goes_by_category_needs_categories() -> None:
    nothing = csr_matrix((6, 2))
    for categories, told in ((None, "needs the catalogue's categories"), (nothing, "no item has a category")):
        with pytest.raises(InputError, match=told):
            SampledSoftmaxConfig(distribution="category").build(COUNTS, categories)
        with pytest.raises(InputError, match=told):
            CategoryBalancedConfig().build(COUNTS, categories)
    mixed = SampledSoftmaxConfig(distribution="mixed", mix_with="category").build_sampler(COUNTS, MEMBER)
    assert mixed.draws.q_N[3] == pytest.approx((1 / 6 + 1 / 3) / 2)

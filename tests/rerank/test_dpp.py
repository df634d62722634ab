"""Greedy DPP against explicit determinants."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from crossrec.data.item_table import ItemTable
from crossrec.rerank.base import Pool
from crossrec.rerank.dpp import GreedyDPP
from crossrec.rerank.residual import FLOOR
from crossrec.types import Sequences


def log_ratio(similarity_NN: np.ndarray, chosen: list[int], item: int) -> float:
    """log(det S_{chosen + item} / det S_chosen), a chosen item without a part of its own left out of S."""
    basis: list[int] = []
    for j in [*chosen, item]:
        ratio = np.linalg.det(similarity_NN[np.ix_([*basis, j], [*basis, j])])
        ratio /= np.linalg.det(similarity_NN[np.ix_(basis, basis)])
        if ratio > FLOOR:
            basis.append(j)
    return math.log(max(ratio, FLOOR))


@settings(max_examples=80, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    k=st.integers(1, 14),
    diversity=st.sampled_from([0.05, 0.3, 0.7, 1.0]),
    space=st.sampled_from(["category", "text"]),
    window=st.sampled_from([None, 1, 2, 3, 5]),
)
def test_every_choice_maximises_the_determinant(
    make_world: Callable[[int], Any],
    assert_greedy: Callable[..., None],
    seed: int,
    k: int,
    diversity: float,
    space: str,
    window: int | None,
) -> None:
    config = GreedyDPP.Options(diversity=diversity, space=space, window=window)

    def gain(similarity_NN: np.ndarray, chosen: list[int], item: int) -> float:
        return log_ratio(similarity_NN, chosen[-window:] if window else chosen, item)

    # Worst seen: a ratio of 1e-4, of which single precision keeps three digits.
    assert_greedy(make_world(seed), config, k, gain, tolerance=5e-3)


def pool_of(scores: list[float]) -> Pool:
    return Pool(torch.arange(len(scores))[None], torch.tensor([scores]), Sequences.from_lists([[]]))


def test_what_no_longer_adds_anything_follows_by_relevance() -> None:
    """Twelve items in a plane: two of them span it."""
    angle_N = torch.linspace(0, 1.5, 12)
    traits = ItemTable(
        np.ones(12), torch.zeros(12, 0), {"text": torch.stack([angle_N.cos(), angle_N.sin()], 1)}
    )
    result = (
        GreedyDPP.Options(diversity=0.9, space="text")
        .build(traits)
        .rerank(pool_of(list(range(12, 0, -1))), 12)
    )
    assert result.ids_BC.tolist() == [[0, 11, *range(1, 11)]]


def test_copies_come_last_and_in_order() -> None:
    traits = ItemTable(np.ones(6), torch.zeros(6, 0), {"text": torch.eye(3)[[0, 0, 0, 1, 2, 2]].contiguous()})
    result = (
        GreedyDPP.Options(diversity=0.5, space="text").build(traits).rerank(pool_of([6.0, 5, 4, 3, 2, 1]), 6)
    )
    assert result.ids_BC.tolist() == [[0, 3, 4, 1, 2, 5]]


def test_same_lists_as_the_kernel_weighted_by_quality() -> None:
    """diag(q) S diag(q), q = exp(alpha * relevance), alpha = (1 - diversity) / (2 * diversity)."""
    rng = np.random.default_rng(3)
    diversity = 0.3
    vectors_ND = torch.nn.functional.normalize(torch.from_numpy(rng.normal(size=(15, 20))), dim=1).float()
    pool = pool_of(np.sort(rng.random(15))[::-1].tolist())
    traits = ItemTable(np.ones(15), torch.zeros(15, 0), {"text": vectors_ND})
    found = (
        GreedyDPP.Options(diversity=diversity, space="text").build(traits).rerank(pool, 8).ids_BC[0].tolist()
    )
    quality_N = np.exp((1 - diversity) / (2 * diversity) * pool.relevance("minmax")[0].double().numpy())
    kernel_NN = quality_N[:, None] * (vectors_ND.double() @ vectors_ND.double().T).numpy() * quality_N
    chosen: list[int] = []
    for _ in range(8):
        rest = [i for i in range(15) if i not in chosen]
        chosen.append(max(rest, key=lambda i: np.linalg.det(kernel_NN[np.ix_([*chosen, i], [*chosen, i])])))
    assert found == chosen


@pytest.mark.parametrize("window", [1, 3])
def test_a_window_forgets(window: int) -> None:
    """Items 0 to 3 are unrelated, 4 to 7 their copies: item 0 is as good as new after the window."""
    traits = ItemTable(np.ones(8), torch.zeros(8, 0), {"text": torch.eye(4).repeat(2, 1)})
    config = GreedyDPP.Options(diversity=0.9, space="text", window=window)
    result = config.build(traits).rerank(pool_of([8.0, 7, 6, 5, 4, 3, 2, 1]), 8)
    # With a window of 1 the copy of item 0 waits for the better ranked others only.
    assert result.ids_BC.tolist() == [[0, 1, 2, 3, 4, 5, 6, 7]]
    copies_first = config.build(traits).rerank(pool_of([8.0, 3, 2, 1, 7.9, 0.3, 0.2, 0.1]), 8)
    assert copies_first.ids_BC[0].tolist().index(4) == window + 1

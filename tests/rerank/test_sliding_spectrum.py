"""Sliding spectrum decomposition against modified Gram-Schmidt on vectors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from crossrec.data.item_table import ItemTable
from crossrec.rerank.base import Pool
from crossrec.rerank.residual import FLOOR
from crossrec.rerank.sliding_spectrum import SlidingSpectrum
from crossrec.types import Sequences


def residual_lengths(similarity_NN: np.ndarray, chosen: list[int], window: int) -> np.ndarray:
    """(N,) lengths left of vectors with these dot products, taken away and given back one by one."""
    values, axes = np.linalg.eigh(similarity_NN)
    residual_ND = axes * np.sqrt(values.clip(min=0))
    taken: list[tuple[np.ndarray, np.ndarray]] = []
    for item in chosen:
        length = np.linalg.norm(residual_ND[item])
        direction_D = residual_ND[item] / length if length**2 > FLOOR else np.zeros(len(residual_ND))
        if len(taken) == window:  # the others regain their components, the item keeps its residual
            share_N, oldest_D = taken.pop(0)
            residual_ND = residual_ND + np.outer(share_N, oldest_D)
        share_N = residual_ND @ direction_D
        residual_ND = residual_ND - np.outer(share_N, direction_D)
        taken.append((share_N, direction_D))
    return np.linalg.norm(residual_ND, axis=1)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    k=st.integers(1, 14),
    diversity=st.sampled_from([0.1, 0.3, 0.7, 1.0]),
    space=st.sampled_from(["category", "text"]),
    window=st.integers(1, 6),
    gamma=st.sampled_from([0.5, 1.0, 3.0]),
)
def test_every_choice_maximises_the_formula(
    make_world: Callable[[int], Any],
    assert_greedy: Callable[..., None],
    seed: int,
    k: int,
    diversity: float,
    space: str,
    window: int,
    gamma: float,
) -> None:
    config = SlidingSpectrum.Options(diversity=diversity, space=space, window=window, gamma=gamma)

    def gain(similarity_NN: np.ndarray, chosen: list[int], item: int) -> float:
        return gamma * float(residual_lengths(similarity_NN, chosen, window)[item])

    # The root of a residual that is 0 but for rounding.
    assert_greedy(make_world(seed), config, k, gain, tolerance=gamma * 3e-3)


def test_what_left_the_window_may_come_again() -> None:
    """Item 3 is a copy of the first: it waits until the first has left the window of two."""
    vectors_ND = torch.eye(5)[[0, 1, 2, 0, 3, 4]].contiguous()
    traits = ItemTable(np.ones(6), torch.zeros(6, 0), {"text": vectors_ND})
    scores_BC = torch.tensor([[6.0, 3.0, 2.9, 5.0, 2.8, 2.7]])
    pool = Pool(torch.arange(6)[None], scores_BC, Sequences.from_lists([[]]))
    for window, place in [(1, 2), (2, 3), (4, 5)]:
        config = SlidingSpectrum.Options(diversity=0.8, space="text", window=window)
        assert config.build(traits).rerank(pool, 6).ids_BC[0].tolist().index(3) == place


def test_the_item_just_chosen_keeps_its_residual() -> None:
    """Window of one; items at angles of 0, 45 and 90 degrees, and a copy of the second.

    The residual of the second points to 90 degrees, since the first is in the window when it is chosen, so
    that nothing is left of the third. Had it regained the first's component, it would point to 45 degrees,
    and nothing would be left of its copy.
    """
    vectors_ND = torch.tensor([[1.0, 0.0], [0.5**0.5, 0.5**0.5], [0.0, 1.0], [0.5**0.5, 0.5**0.5]])
    traits = ItemTable(np.ones(4), torch.zeros(4, 0), {"text": vectors_ND})
    pool = Pool(torch.arange(4)[None], torch.tensor([[9.0, 8.0, 1.0, 1.0]]), Sequences.from_lists([[]]))
    config = SlidingSpectrum.Options(diversity=0.7, space="text", window=1)
    assert config.build(traits).rerank(pool, 3).ids_BC[0].tolist() == [0, 1, 3]

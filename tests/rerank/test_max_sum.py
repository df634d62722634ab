"""Max-sum dispersion against its formula, and the list's value that its greedy choice climbs."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossrec.rerank.max_sum import MaxSumDispersion


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    k=st.integers(1, 14),
    diversity=st.sampled_from([0.1, 0.3, 0.7, 1.0]),
    space=st.sampled_from(["category", "text"]),
)
def test_every_choice_maximises_the_formula(
    make_world: Callable[[int], Any],
    assert_greedy: Callable[..., None],
    seed: int,
    k: int,
    diversity: float,
    space: str,
) -> None:
    world = make_world(seed)
    places = min(k, world.pool.ids_BC.shape[1])

    def gain(similarity_NN: np.ndarray, chosen: list[int], item: int) -> float:
        return 2 / max(places - 1, 1) * sum(1 - similarity_NN[item, j] for j in chosen)

    assert_greedy(world, MaxSumDispersion.Options(diversity=diversity, space=space), k, gain)


@pytest.mark.parametrize("seed", range(5))
def test_reaches_half_of_the_best_list_by_categories(make_world: Callable[[int], Any], seed: int) -> None:
    """Theorem of Borodin, Lee and Ye, against all lists of four."""
    world, k, diversity = make_world(seed), 4, 0.5
    similarity_NN = world.similarities("category")
    found = (
        MaxSumDispersion.Options(diversity=diversity)
        .build(world.traits)
        .rerank(world.pool, k)
        .ids_BC[0]
        .tolist()
    )
    ids = world.pool.ids_BC[0].tolist()
    relevance = dict(zip(ids, world.pool.relevance("minmax")[0].tolist(), strict=True))

    def value(items: tuple[int, ...]) -> float:
        pairs = sum(1 - similarity_NN[i, j] for i, j in combinations(items, 2))
        return sum(relevance[i] for i in items) + diversity / ((1 - diversity) * (k - 1)) * pairs

    assert value(tuple(found)) >= 0.5 * max(value(items) for items in combinations(ids, k))

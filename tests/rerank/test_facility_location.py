"""Facility location against its formula, and the bound of its greedy choice."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import combinations
from typing import Any

import numpy as np
import pytest

from crossrec.rerank.facility_location import FacilityLocation
from crossrec.types import ABSENT


def coverage(similarity_NN: np.ndarray, chosen: list[int], candidates: list[int]) -> float:
    covered = [max([0.0, *(similarity_NN[c, i] for i in chosen)]) for c in candidates]
    return sum(covered) / len(candidates)


@pytest.mark.parametrize("space", ["category", "text"])
@pytest.mark.parametrize("diversity", [0.2, 0.6, 1.0])
def test_every_choice_maximises_the_formula(
    make_world: Callable[[int], Any], diversity: float, space: str
) -> None:
    for seed in range(4):
        world, k = make_world(seed), 6
        similarity_NN = world.similarities(space)
        stage = FacilityLocation.Options(diversity=diversity, space=space).build(world.traits)
        relevances = world.pool.relevance("minmax").double().tolist()
        lists = stage.rerank(world.pool, k).ids_BC.tolist()
        for ids, relevance, found in zip(world.pool.ids_BC.tolist(), relevances, lists, strict=True):
            candidates = [item for item in ids if item != ABSENT]
            worth = dict(zip(ids, relevance, strict=True))
            chosen: list[int] = []
            for item in (item for item in found if item != ABSENT):
                open_items = [i for i in candidates if i not in chosen]
                values = {i: (1 - diversity) * worth[i] for i in open_items}
                if chosen:
                    before = coverage(similarity_NN, chosen, candidates)
                    for i in open_items:
                        more = coverage(similarity_NN, [*chosen, i], candidates) - before
                        values[i] += diversity * k * more
                assert values[item] >= max(values.values()) - 1e-5
                chosen = [*chosen, item]


def test_more_diversity_covers_more(make_world: Callable[[int], Any]) -> None:
    found = np.zeros(3)
    for world in map(make_world, range(6)):
        similarity_NN, candidates = world.similarities("text"), world.pool.ids_BC[0].tolist()
        for number, diversity in enumerate((0.0, 0.3, 0.9)):
            stage = FacilityLocation.Options(diversity=diversity, space="text").build(world.traits)
            chosen = stage.rerank(world.pool, 4).ids_BC[0].tolist()
            found[number] += coverage(similarity_NN, chosen, candidates)
    assert found[0] < found[1] <= found[2]


@pytest.mark.parametrize("seed", range(3))
def test_reaches_the_bound_of_the_best_list(make_world: Callable[[int], Any], seed: int) -> None:
    world, k = make_world(seed), 4
    similarity_NN = world.similarities("text")
    stage = FacilityLocation.Options(diversity=1, space="text").build(world.traits)
    first, *rest = stage.rerank(world.pool, k).ids_BC[0].tolist()
    candidates = world.pool.ids_BC[0].tolist()
    alone = coverage(similarity_NN, [first], candidates)
    others = [item for item in candidates if item != first]
    best = max(coverage(similarity_NN, [first, *items], candidates) for items in combinations(others, k - 1))
    assert coverage(similarity_NN, [first, *rest], candidates) - alone >= (1 - 1 / math.e) * (best - alone)

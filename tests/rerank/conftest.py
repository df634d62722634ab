"""Small worlds for rerankers that go by similarity, and a check of a greedy choice step by step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from crossrec.data.item_table import ItemTable
from crossrec.rerank.base import Pool
from crossrec.rerank.dpp import GreedyDPP
from crossrec.rerank.max_sum import MaxSumDispersion
from crossrec.rerank.mmr import MMR
from crossrec.rerank.sliding_spectrum import SlidingSpectrum
from crossrec.types import ABSENT, Sequences

N, G, D, B, C = 24, 5, 7, 6, 12
SimilarityConfig = MMR.Options | GreedyDPP.Options | MaxSumDispersion.Options | SlidingSpectrum.Options
GainOf = Callable[[np.ndarray, list[int], int], float]
"""Similarities (N, N), the chosen items, another item -> what it adds."""


@dataclass(frozen=True)
class World:
    """Items, some copies of others and some unknown; pools with ties, short ones and an empty one."""

    traits: ItemTable
    pool: Pool

    def similarities(self, space: str) -> np.ndarray:
        """(N, N) float64, pair by pair; 1 on the diagonal."""
        table = np.eye(N)
        rows = (self.traits.categories_NG if space == "category" else self.traits.unit(space)).double()
        for i, a in enumerate(rows.numpy()):
            for j, b in enumerate(rows.numpy()):
                if i != j and space == "category":
                    union = sum(1 for x, y in zip(a, b, strict=True) if x or y)
                    table[i, j] = sum(1 for x, y in zip(a, b, strict=True) if x and y) / union if union else 0
                elif i != j:
                    table[i, j] = sum(x * y for x, y in zip(a, b, strict=True))
        return table


def build_world(seed: int) -> World:
    rng = np.random.default_rng(seed)
    member_NG = (rng.random((N, G)) < 0.35).astype(np.float32)
    vectors = rng.normal(size=(N, D)).astype(np.float32)
    vectors[rng.integers(0, N, 5)] = vectors[rng.integers(0, N, 5)]
    vectors[rng.integers(0, N, 2)] = 0
    unit_ND = torch.nn.functional.normalize(torch.from_numpy(vectors), dim=1)
    ids = np.full((B, C), ABSENT)
    scores = np.full((B, C), -np.inf, np.float32)
    for row, length in enumerate([C, 0, 3, 1, *rng.integers(1, C + 1, B - 4)]):
        ids[row, :length] = rng.permutation(N)[:length]
        scores[row, :length] = np.sort(rng.integers(0, 8, length))[::-1]
    histories = Sequences.from_lists([[]] * B)
    pool = Pool(torch.from_numpy(ids), torch.from_numpy(scores), histories)
    return World(ItemTable(np.ones(N), torch.from_numpy(member_NG), {"text": unit_ND}), pool)


def check_greedy(
    world: World, config: SimilarityConfig, k: int, gain: GainOf, tolerance: float = 1e-5
) -> None:
    """Every choice is the best, given those before it; among equals, the one that ranked best."""
    similarity_NN = world.similarities(config.space)
    pool = world.pool
    chosen_BK = config.build(world.traits).rerank(pool, k).ids_BC.tolist()
    relevance_BC = pool.relevance(config.relevance).double().tolist()
    for ids, relevances, found in zip(pool.ids_BC.tolist(), relevance_BC, chosen_BK, strict=True):
        relevance = {i: r for i, r in zip(ids, relevances, strict=True) if i != ABSENT}
        chosen: list[int] = []
        for item in found:
            values = {
                i: (1 - config.diversity) * relevance[i] + config.diversity * gain(similarity_NN, chosen, i)
                for i in relevance
                if i not in chosen
            }
            if not values:
                assert item == ABSENT
                continue
            assert values[item] >= max(values.values()) - tolerance, (chosen, item, values)
            before = list(values)[: list(values).index(item)]
            assert not [i for i in before if values[i] > values[item] - 1e-12], (chosen, item, values)
            chosen.append(item)


@pytest.fixture(scope="session")
def make_world() -> Callable[[int], World]:
    return build_world


@pytest.fixture(scope="session")
def assert_greedy() -> Callable[..., None]:
    return check_greedy

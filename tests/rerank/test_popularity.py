"""Popularity-debiased lists against their formula, and the tail against the metric's."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from crossrec.data.item_table import ItemTable, tail_items
from crossrec.rerank.base import Pool
from crossrec.rerank.popularity import PopularityDebias
from crossrec.types import ABSENT, Sequences


def pool_of(ids: list[list[int]], scores: list[list[float]]) -> Pool:
    return Pool(torch.tensor(ids), torch.tensor(scores), Sequences.from_lists([[]] * len(ids)))


def traits_of(counts: list[int]) -> ItemTable:
    return ItemTable(np.array(counts), torch.zeros(len(counts), 0))


@settings(max_examples=25, deadline=None)
@given(
    counts=st.lists(st.integers(0, 9), min_size=6, max_size=6),
    scores=st.lists(st.integers(0, 4), min_size=6, max_size=6),
    present=st.integers(1, 6),
    diversity=st.sampled_from([0.25, 0.5, 1.0]),
)
def test_equals_the_formula(counts: list[int], scores: list[int], present: int, diversity: float) -> None:
    scores = sorted(scores[:present], reverse=True)
    pad = 6 - present
    pool = pool_of(
        [[*range(5, 5 - present, -1), *[ABSENT] * pad]], [[*map(float, scores), *[-math.inf] * pad]]
    )
    span = scores[0] - scores[-1]
    values = {}
    for item, score in zip(range(5, 5 - present, -1), scores, strict=True):
        relevance = (score - scores[-1]) / span if span else 1.0
        novelty = 1 - math.log(1 + counts[item]) / math.log(1 + max(counts)) if max(counts) else 1.0
        values[item] = (1 - diversity) * relevance + diversity * novelty
    config = PopularityDebias.Options(diversity=diversity)
    result = config.build(traits_of(counts)).rerank(pool, 4)
    got = [item for item in result.ids_BC[0].tolist() if item != ABSENT]
    np.testing.assert_allclose([values[i] for i in got], sorted(values.values(), reverse=True)[:4], atol=1e-6)
    np.testing.assert_allclose(result.scores_BC[0, : len(got)], [values[i] for i in got], atol=1e-6)
    assert len(set(got)) == min(4, present)
    # Items alike in all that counts stay in the pool's order.
    alike = [(counts[i], scores[5 - i]) for i in got]
    assert all(a != b or i > j for a, i, b, j in zip(alike, got, alike[1:], got[1:], strict=False))


def test_full_strength_ranks_the_least_clicked_first_and_none_changes_nothing() -> None:
    pool = pool_of([[0, 1, 2, ABSENT]], [[3.0, 2.0, 1.0, -math.inf]])
    strong = PopularityDebias.Options(diversity=1).build(traits_of([9, 0, 4])).rerank(pool, 4)
    assert strong.ids_BC.tolist() == [[1, 2, 0, ABSENT]]
    none = PopularityDebias.Options(diversity=0).build(traits_of([9, 0, 4])).rerank(pool, 3)
    assert none.ids_BC.tolist() == [[0, 1, 2]]
    assert none.scores_BC.tolist() == [[3.0, 2.0, 1.0]]


def test_each_row_stands_alone() -> None:
    pool = pool_of([[0, 1, 2], [2, 1, ABSENT]], [[3.0, 2.9, 0.0], [1e6, 0.0, -math.inf]])
    reranker = PopularityDebias.Options(diversity=0.4).build(traits_of([50, 3, 0]))
    together = reranker.rerank(pool, 3)
    for row in range(2):
        alone = Pool(pool.ids_BC[[row]], pool.scores_BC[[row]], pool.histories.take(np.array([row])))
        assert torch.equal(reranker.rerank(alone, 3).ids_BC[0], together.ids_BC[row])


def test_without_a_click_all_are_equally_new() -> None:
    pool = pool_of([[1, 0]], [[2.0, 1.0]])
    reranked = PopularityDebias.Options(diversity=1).build(traits_of([0, 0])).rerank(pool, 2)
    assert reranked.ids_BC.tolist() == [[1, 0]]
    assert reranked.scores_BC.tolist() == [[1.0, 1.0]]


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 1.0])
@pytest.mark.parametrize("counts", [[5, 3, 1, 1, 0], [0, 0, 0], [1, 1, 1, 1, 1], [2, 8]])
def test_the_tail_is_that_of_the_metrics(counts: list[int], share: float) -> None:
    facts = ItemTable(np.array(counts), csr_matrix((len(counts), 0)), {}, {})
    np.testing.assert_array_equal(tail_items(np.array(counts), share), facts.tail(share))

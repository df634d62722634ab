"""A reranked recommender is a recommender: same lists at the neutral end, exclusion kept, any batch size."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from crossrec.baselines.item_knn import ItemKNN
from crossrec.data.item_table import ItemTable
from crossrec.rerank import base
from crossrec.rerank.base import Reranker, rerank_lists
from crossrec.rerank.calibrated import Calibrated
from crossrec.rerank.context import Constraints
from crossrec.rerank.popularity import PopularityDebias
from crossrec.rerank.recommender import RerankedRecommender
from crossrec.rerank.xquad import XQuAD
from crossrec.types import ABSENT, Recommender, Sequences, TopK

N = 25


@pytest.fixture(scope="module")
def train() -> Sequences:
    rng = np.random.default_rng(0)
    return Sequences.from_lists([rng.permutation(N)[: rng.integers(4, 12)] for _ in range(40)])


@pytest.fixture(scope="module")
def traits(train: Sequences) -> ItemTable:
    rng = np.random.default_rng(1)
    member_NG = torch.from_numpy((rng.random((N, 4)) < 0.4).astype(np.float32))
    brands = rng.choice(np.array(["x", "y", None], dtype=object), N)
    return ItemTable(np.bincount(train.items, minlength=N), member_NG, columns={"brand": brands})


def reranked(train: Sequences, stages: list[Reranker], candidates: int = 12) -> RerankedRecommender:
    inner = ItemKNN.Options().build(ItemTable.of_size(N))
    return RerankedRecommender(inner, stages, candidates=candidates, name="reranked").fit(train)


def histories_with_an_empty_one(train: Sequences) -> Sequences:
    return Sequences.from_lists([train.row(0), [], train.row(5), train.row(9)[:1]])


def test_it_is_a_recommender_that_fits_and_scores_like_its_inner_one(
    train: Sequences, traits: ItemTable
) -> None:
    both = reranked(train, [XQuAD.Options().build(traits)])
    assert isinstance(both, Recommender)
    assert both.n_items == N
    histories = histories_with_an_empty_one(train)
    assert torch.equal(both.score(histories), both.inner.score(histories))
    some = np.array([[0, 3]] * 4)
    assert torch.equal(both.score(histories, some), both.inner.score(histories, some))


def test_neutral_stages_give_the_inner_lists(train: Sequences, traits: ItemTable) -> None:
    histories = histories_with_an_empty_one(train)
    stages = [
        config(diversity=0).build(traits)
        for config in (XQuAD.Options, Calibrated.Options, PopularityDebias.Options)
    ]
    both = reranked(train, stages)
    lists, expected = both.recommend(histories, 5, histories), both.inner.recommend(histories, 5, histories)
    np.testing.assert_array_equal(lists.ids, expected.ids)
    np.testing.assert_array_equal(lists.scores, expected.scores)


def test_lists_hold_candidates_only_and_nothing_excluded(train: Sequences, traits: ItemTable) -> None:
    histories = histories_with_an_empty_one(train)
    both = reranked(train, [Calibrated.Options(diversity=0.9).build(traits)], candidates=8)
    lists = both.recommend(histories, 5, exclude=histories)
    candidates = both.inner.recommend(histories, 8, histories)
    assert (lists.ids != both.inner.recommend(histories, 5, histories).ids).any()
    for row in range(len(histories)):
        got = lists.ids[row][lists.ids[row] != ABSENT]
        assert set(got) <= set(candidates.ids[row]) - set(histories.row(row))
        assert len(set(got)) == min(5, (candidates.ids[row] != ABSENT).sum())


def test_longer_lists_than_candidates_ask_for_more_of_them(train: Sequences, traits: ItemTable) -> None:
    both = reranked(train, [PopularityDebias.Options().build(traits)], candidates=3)
    histories = histories_with_an_empty_one(train)
    lists, everything = both.recommend(histories, N + 5), both.inner.recommend(histories, N + 5)
    assert lists.ids.shape == lists.scores.shape == (4, N + 5)
    assert lists.ids.dtype == np.int64
    assert lists.scores.dtype == np.float32
    np.testing.assert_array_equal(np.sort(lists.ids), np.sort(everything.ids))
    assert np.isneginf(lists.scores[lists.ids == ABSENT]).all()


def test_stages_follow_each_other_and_only_the_last_cuts(train: Sequences, traits: ItemTable) -> None:
    filtered = Constraints.Options(column="brand", deny=("x",)).build(traits)
    spread = XQuAD.Options(diversity=0.8, relevance="rank").build(traits)
    histories = train.take(np.array([0, 5, 9]))
    lists = reranked(train, [filtered, spread]).recommend(histories, 4)
    assert (traits.columns["brand"][lists.ids[lists.ids != ABSENT]] != "x").all()
    # The filter leaves gaps that candidates beyond the fourth fill.
    assert ((lists.ids != ABSENT).sum(1) == 4).all()


def test_rows_are_reranked_in_batches_with_their_own_histories(
    train: Sequences, traits: ItemTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = reranked(train, [Calibrated.Options(diversity=0.9).build(traits)])
    at_once = both.recommend(train, 6)
    monkeypatch.setattr(base, "BATCH", 7)
    in_parts = both.recommend(train, 6)
    np.testing.assert_array_equal(at_once.ids, in_parts.ids)
    np.testing.assert_array_equal(at_once.scores, in_parts.scores)


def test_fewer_candidates_than_places_and_no_users(traits: ItemTable) -> None:
    stages = [
        config().build(traits) for config in (XQuAD.Options, Calibrated.Options, PopularityDebias.Options)
    ]
    two = TopK(np.array([[4, 2]]), np.array([[2.0, 1.0]], dtype=np.float32))
    lists = rerank_lists(two, Sequences.from_lists([[1]]), stages, 5)
    assert sorted(lists.ids[0, :2]) == [2, 4]
    assert lists.ids[0, 2:].tolist() == [ABSENT] * 3
    none = rerank_lists(TopK(np.zeros((0, 2), np.int64), np.zeros((0, 2), np.float32)), two_none(), stages, 5)
    assert none.ids.shape == (0, 5)


def two_none() -> Sequences:
    return Sequences.from_lists([])

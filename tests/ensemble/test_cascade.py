"""Cascades: the full model's lists where everything is retrieved, only candidates asked, stages timed."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch

from crossrec.baselines.als import ALS
from crossrec.baselines.item_knn import ItemKNN
from crossrec.baselines.popularity import Popularity
from crossrec.data.item_table import ItemTable
from crossrec.ensemble import cascade as module
from crossrec.ensemble.cascade import RANK, RERANK, RETRIEVE, Cascade
from crossrec.rerank.base import rerank_lists
from crossrec.rerank.popularity import PopularityDebias
from crossrec.rerank.recommender import RerankedRecommender
from crossrec.types import ABSENT, InputError, Recommender, Sequences, TopK

N = 30


@pytest.fixture(scope="module")
def train() -> Sequences:
    rng = np.random.default_rng(0)
    return Sequences.from_lists([rng.permutation(N)[: rng.integers(4, 12)] for _ in range(50)])


def asked(train: Sequences) -> Sequences:
    return Sequences.from_lists([train.row(0), [], train.row(5), train.row(9)[:1]])


def cascade(train: Sequences, candidates: int) -> Cascade:
    full = ALS.Options(factors=4, iterations=4).build(ItemTable.of_size(N))
    return Cascade(Popularity.Options().build(ItemTable.of_size(N)), full, candidates=candidates).fit(train)


class Coarse:
    """A recommender of three different scores, so that most items tie; it remembers what it was asked."""

    n_items = N

    def __init__(self) -> None:
        self.widths: list[int] = []

    def fit(self, train: Sequences) -> Coarse:
        return self

    def score(self, histories: Sequences, candidates: np.ndarray | None = None) -> torch.Tensor:
        assert candidates is not None, "the whole catalogue was scored"
        assert (candidates >= 0).all()
        self.widths.append(candidates.shape[1])
        return torch.from_numpy(candidates % 3).float()

    def recommend(self, histories: Sequences, k: int, exclude: Sequences | None = None) -> TopK:
        raise AssertionError("a ranker is asked for scores of candidates only")


def test_it_is_a_recommender_and_its_scores_agree(train: Sequences) -> None:
    both, histories = cascade(train, 8), asked(train)
    assert isinstance(both, Recommender)
    scores_BN = both.score(histories)
    assert scores_BN.shape == (4, N)
    assert scores_BN.dtype == torch.float32
    assert (scores_BN.isfinite().sum(1) == 8).all()
    candidates = np.array([[3, 0], [1, 1], [29, ABSENT], [ABSENT, 9]])
    expected = scores_BN.gather(1, torch.from_numpy(candidates.clip(0)))
    expected[torch.from_numpy(candidates == ABSENT)] = -torch.inf
    assert torch.equal(both.score(histories, candidates), expected)
    lists = both.recommend(histories, 8)
    for row in range(4):
        np.testing.assert_array_equal(scores_BN[row].numpy()[lists.ids[row]], lists.scores[row])


@pytest.mark.parametrize("excluding", [False, True])
def test_as_many_candidates_as_items_give_the_full_models_lists(train: Sequences, excluding: bool) -> None:
    both, histories = cascade(train, N), asked(train)
    exclude = histories if excluding else None
    lists, expected = both.recommend(histories, 9, exclude), both.ranker.recommend(histories, 9, exclude)
    np.testing.assert_array_equal(lists.ids, expected.ids)
    np.testing.assert_array_equal(lists.scores, expected.scores)


def test_only_candidates_are_scored_seen_ones_left_out_and_ties_go_to_the_lower_item(
    train: Sequences,
) -> None:
    ranker, retriever = Coarse(), Popularity.Options().build(ItemTable.of_size(N)).fit(train)
    both, histories = Cascade(retriever, ranker, candidates=10), asked(train)
    lists = both.recommend(histories, 10, histories)
    assert set(ranker.widths) == {10}
    for row in range(4):
        found = retriever.recommend(histories, 10, histories).ids[row]
        assert lists.ids[row].tolist() == sorted(found, key=lambda i: (-(i % 3), i))
        assert not set(lists.ids[row]) & set(histories.row(row))


def test_a_retriever_that_runs_out_leaves_absent_places(train: Sequences) -> None:
    knn = ItemKNN.Options(neighbours=3).build(ItemTable.of_size(N))
    both = Cascade(knn, ALS.Options(factors=4).build(ItemTable.of_size(N)), candidates=20).fit(train)
    histories = asked(train)
    lists, retrieved = both.recommend(histories, 15, histories), knn.recommend(histories, 20, histories)
    assert (lists.ids[1] == ABSENT).all()
    for row in range(4):
        there = retrieved.ids[row][retrieved.ids[row] != ABSENT]
        assert set(lists.ids[row][lists.ids[row] != ABSENT]) == set(there)
        assert np.isneginf(lists.scores[row][lists.ids[row] == ABSENT]).all()


def test_longer_lists_than_candidates_retrieve_more(train: Sequences) -> None:
    lists = cascade(train, 3).recommend(asked(train), N + 5)
    assert ((lists.ids != ABSENT).sum(1) == N).all()


def test_batches_make_no_difference(train: Sequences, monkeypatch: pytest.MonkeyPatch) -> None:
    both = cascade(train, 12)
    at_once = both.recommend(train, 6, train)
    monkeypatch.setattr(module, "BATCH", 7)
    in_parts = both.recommend(train, 6, train)
    np.testing.assert_array_equal(at_once.ids, in_parts.ids)


def test_a_chain_of_rerankers_orders_all_candidates(train: Sequences) -> None:
    both, histories = cascade(train, 12), asked(train)
    traits = ItemTable(np.bincount(train.items, minlength=N), torch.zeros(N, 0))
    stages = [PopularityDebias.Options(diversity=0.8).build(traits)]

    def rerank(candidates: TopK, histories: Sequences, k: int) -> TopK:
        return rerank_lists(candidates, histories, stages, k)

    chained = Cascade(both.retriever, both.ranker, candidates=12, rerank=rerank)
    wrapped = RerankedRecommender(both, stages, candidates=12, name="wrapped")
    lists, expected = chained.recommend(histories, 5, histories), wrapped.recommend(histories, 5, histories)
    np.testing.assert_array_equal(lists.ids, expected.ids)
    assert (lists.ids != both.recommend(histories, 5, histories).ids).any()


def test_every_stage_is_timed_for_every_user(train: Sequences) -> None:
    both = cascade(train, 12)
    assert both.times.per_user() == {}
    both.recommend(train, 5)
    both.recommend(train, 5)
    assert both.times.users == 2 * len(train)
    assert list(both.times.per_user()) == [RETRIEVE, RANK]
    assert all(spent > 0 for spent in both.times.per_user().values())
    both.times.clear()
    both.rerank = partial(_first, places=2)
    both.recommend(train, 5)
    assert list(both.times.per_user()) == [RETRIEVE, RANK, RERANK]


def _first(candidates: TopK, histories: Sequences, k: int, places: int) -> TopK:
    return TopK(candidates.ids[:, :k], candidates.scores[:, :k])


def test_stages_that_do_not_fit_are_refused() -> None:
    with pytest.raises(InputError, match="share one catalogue"):
        Cascade(
            Popularity.Options().build(ItemTable.of_size(N)),
            Popularity.Options().build(ItemTable.of_size(N + 1)),
            candidates=3,
        )
    with pytest.raises(InputError, match="needs at least one"):
        Cascade(
            Popularity.Options().build(ItemTable.of_size(N)),
            Popularity.Options().build(ItemTable.of_size(N)),
            candidates=0,
        )

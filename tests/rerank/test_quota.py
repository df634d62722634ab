"""Quotas of exposure: exact and greedy, one by one and together; no list depends on later requests."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from crossrec.baselines.item_knn import ItemKNN
from crossrec.config import validate
from crossrec.data.item_table import ItemTable
from crossrec.data.splits.leave_one_out import LeaveOneOutSplitter
from crossrec.evaluation.evaluate import rank_queries
from crossrec.exploration.epsilon_greedy import EpsilonGreedy
from crossrec.rerank.base import Pool, rerank_lists
from crossrec.rerank.exposure import PLENTY
from crossrec.rerank.max_sum import MaxSumDispersion
from crossrec.rerank.quota import Quota, windows
from crossrec.rerank.recommender import RerankConfig
from crossrec.studies.feedback_loop.config import PolicyConfig
from crossrec.types import ConfigError, InputError, Sequences, TopK

N, C, K = 30, 15, 5


def pool_of(seed: int, n_rows: int, histories: Sequences | None = None, n_items: int = N) -> Pool:
    """Pools in which few items are candidates of nearly all, and most of few."""
    rng = np.random.default_rng(seed)
    chances = 1 / (1 + np.arange(n_items))
    ids = np.stack([rng.choice(n_items, C, replace=False, p=chances / chances.sum()) for _ in range(n_rows)])
    scores = -np.sort(-rng.gamma(1, 1, (n_rows, C)), axis=1).astype(np.float32)
    given_histories = Sequences.from_lists([[]] * n_rows) if histories is None else histories
    return Pool(torch.from_numpy(ids), torch.from_numpy(scores), given_histories)


def quota(n_items: int = N, **options: Any) -> Quota:
    return Quota.Options(**options).build(ItemTable.of_size(n_items))


def relevance_of(pool: Pool, lists: Pool) -> float:
    there_BCK = pool.ids_BC[:, :, None] == lists.ids_BC[:, None]
    return float((pool.relevance("minmax")[:, :, None] * there_BCK).sum())


def filled(lists: Pool, floor: int, n_items: int = N) -> int:
    return int(np.minimum(np.bincount(lists.ids_BC.numpy().ravel(), minlength=n_items), floor).sum())


@pytest.mark.parametrize("diversity", [0.25, 0.5, 1.0])
@pytest.mark.parametrize(("places", "floor"), [(1, 1), (1, 2), (3, 1), (3, 3)])
def test_greedy_is_within_one_percent_of_the_exact_optimum(diversity: float, places: int, floor: int) -> None:
    missed, most, kept, possible = 0, 0, 0.0, 0.0
    for seed in range(8):
        pool = pool_of(seed, 6 + 2 * seed)
        common: dict[str, Any] = {
            "diversity": diversity,
            "places": places,
            "floor": floor,
            "batch": len(pool),
        }
        exact = quota(solver="exact", **common).rerank(pool, K)
        greedy = quota(solver="greedy", **common).rerank(pool, K)
        best, found = filled(exact, floor), filled(greedy, floor)
        assert filled(pool.head(K), floor) < best
        assert found <= best
        missed, most = missed + best - found, most + best
        of_greedy, of_exact = relevance_of(pool, greedy), relevance_of(pool, exact)
        if found == best:
            assert of_greedy <= of_exact + 1e-4
        assert of_greedy >= 0.98 * of_exact
        kept, possible = kept + of_greedy, possible + of_exact
        changed = (greedy.ids_BC[:, :, None] != pool.ids_BC[:, None, :K]).all(2).sum()
        assert changed <= diversity * places * len(pool)
    assert missed <= 0.01 * most
    assert kept >= 0.99 * possible


def test_exact_agrees_with_every_possible_choice() -> None:
    # Three lists of one place: a, b, c of which the last candidates are shared.
    ids = torch.tensor([[0, 1, 2], [0, 1, 2], [0, 2, 3]])
    scores = torch.tensor([[1.0, 0.9, 0.0], [1.0, 0.4, 0.0], [1.0, 0.8, 0.0]])
    pool = Pool(ids, scores, Sequences.from_lists([[], [], []]))
    expected = {
        # One swap: the first list loses least. Two: 1 from the first, 2 from the third. All: 0 must stay
        # somewhere, and only two swaps leave it.
        1 / 3: [[1], [0], [0]],
        2 / 3: [[1], [0], [2]],
        1.0: [[1], [0], [2]],
    }
    for diversity, lists in expected.items():
        for solver in ("exact", "greedy"):
            found = quota(4, diversity=diversity, batch=3, solver=solver).rerank(pool, 1)
            assert found.ids_BC.tolist() == lists, (diversity, solver)


def test_online_and_batch_agree_without_competition() -> None:
    # Every list has candidates of its own, and all places may be given.
    rows = [[100 + 10 * row + place for place in range(8)] for row in range(6)]
    pool = Pool(torch.tensor(rows), torch.arange(8.0).flip(0).expand(6, 8), Sequences.from_lists([[]] * 6))
    table = {"diversity": 1.0, "places": 2}
    seen = Pool(pool.ids_BC[:, :4], pool.scores_BC[:, :4], pool.histories)
    results = []
    for batch in (1, 2, 6):
        stage = quota(200, batch=batch, **table)
        stage.rerank(seen, 4)  # the first four of each have been shown
        results.append(stage.rerank(pool, 4).ids_BC.tolist())
    assert results[0] == results[1] == results[2]
    assert results[0] == [[row[0], row[1], row[4], row[5]] for row in rows]


@given(st.integers(0, 10_000), st.sampled_from([0.3, 1.0]), st.integers(1, 3))
@settings(max_examples=40, deadline=None)
def test_lists_never_depend_on_later_requests(seed: int, diversity: float, places: int) -> None:
    rng = np.random.default_rng(seed)
    n_rows = int(rng.integers(2, 12))
    times = rng.integers(0, 6, n_rows)
    histories = Sequences(np.arange(n_rows + 1), rng.integers(0, N, n_rows), times)
    pool = pool_of(seed, n_rows, histories)
    together = quota(diversity=diversity, places=places).rerank(pool, K)
    order = np.argsort(times, kind="stable")
    cut = int(rng.integers(1, n_rows))
    # Later requests of others with other candidates, or none at all.
    earlier, other = order[:cut], pool_of(seed + 1, n_rows, histories)
    ids, scores = other.ids_BC.clone(), other.scores_BC.clone()
    ids[earlier], scores[earlier] = pool.ids_BC[earlier], pool.scores_BC[earlier]
    changed = quota(diversity=diversity, places=places).rerank(Pool(ids, scores, histories), K)
    rows = np.sort(earlier)
    alone = Pool(pool.ids_BC[rows], pool.scores_BC[rows], histories.take(rows))
    cut_off = quota(diversity=diversity, places=places).rerank(alone, K)
    assert torch.equal(changed.ids_BC[earlier], together.ids_BC[earlier])
    assert torch.equal(cut_off.ids_BC, together.ids_BC[rows])


@given(st.integers(0, 10_000), st.booleans())
@settings(max_examples=40, deadline=None)
def test_no_batch_holds_a_history_and_its_continuation(seed: int, timed: bool) -> None:
    rng = np.random.default_rng(seed)
    whole = [rng.integers(0, 4, 6).tolist() for _ in range(3)]
    rows = [(user, end) for user in range(3) for end in range(7) if rng.random() < 0.6]
    lists = [whole[user][:end] for user, end in rows]
    plain = Sequences.from_lists(lists)
    times = np.concatenate([[0], *(np.arange(end) + user for user, end in rows)])[1:].astype(np.int64)
    histories = Sequences(plain.offsets, plain.items, times if timed else None)
    found = list(windows(histories, 4))
    assert sorted(np.concatenate([[], *found])) == list(range(len(rows)))
    for window in found:
        assert len(window) <= 4
        for one in window:
            for other in window:
                assert len(lists[one]) >= len(lists[other]) or lists[other][: len(lists[one])] != lists[one]


def test_evaluation_goes_in_order_of_time_and_starts_anew() -> None:
    rng = np.random.default_rng(0)
    rows = [rng.permutation(40)[:12] for _ in range(30)]
    plain = Sequences.from_lists(rows)
    # Each user's clicks are later ones, but all users' clicks are mixed.
    clicks = Sequences(plain.offsets, plain.items, np.sort(rng.integers(0, 500, (30, 12)), axis=1).ravel())
    split = LeaveOneOutSplitter.Options(n_last=3).build().split(clicks, 40)
    items = ItemTable(split.train_counts)
    knn = ItemKNN.Options().build(items).fit(split.train)
    wrapped = RerankConfig(stages=(Quota.Options(diversity=0.5),), candidates=20).wrap(knn, items, "q")
    lists = rank_queries(wrapped, split, split.test, 5)
    assert np.array_equal(rank_queries(wrapped, split, split.test, 5, batch=7).ids, lists.ids)
    assert not np.array_equal(lists.ids, rank_queries(knn, split, split.test, 5).ids)
    # Without the later half of the queries, the earlier half has the same lists.
    times = split.request_times(split.test)
    early = np.flatnonzero(times <= np.median(times))
    assert np.array_equal(rank_queries(wrapped, split, split.test.take(early), 5).ids, lists.ids[early])


def test_the_share_is_kept_one_by_one_and_cheap_places_go_first() -> None:
    pool = pool_of(0, 600, n_items=4000)
    pool = Pool(torch.arange(600 * C).view(600, C), pool.scores_BC, pool.histories)
    seen = Pool(pool.ids_BC[:, :K], pool.scores_BC[:, :K], pool.histories)
    stage = quota(600 * C, diversity=0.25)
    stage.rerank(seen, K)
    lists = stage.rerank(pool, K)
    given_B = (lists.ids_BC != pool.ids_BC[:, :K]).any(1)
    assert abs(float(given_B.float().mean()) - 0.25) < 0.03
    relevance_BC = pool.relevance("minmax")
    cost_B = relevance_BC[:, K - 1] - relevance_BC[:, K]
    assert float(cost_B[given_B].mean()) < 0.5 * float(cost_B[~given_B].mean())


def test_groups_may_be_categories_or_a_column() -> None:
    ids = torch.arange(6)[None].expand(2, 6)
    pool = Pool(ids, torch.arange(6.0).flip(0).expand(2, 6), Sequences.from_lists([[], []]))
    brands = np.array(["a", "a", "a", None, "b", "c"], dtype=object)
    member = np.array([[1, 0], [1, 0], [1, 0], [0, 0], [1, 1], [0, 1]])
    items = ItemTable(np.ones(6), member, columns={"brand": brands})
    for of, expected in (("brand", [[0, 1, 4], [0, 1, 5]]), ("category", [[0, 1, 4], [0, 1, 2]])):
        stage = Quota.Options(diversity=1, of=of).build(items)
        assert stage.rerank(pool, 3).ids_BC.tolist() == expected
        together = Quota.Options(diversity=1, of=of, batch=2).build(items).rerank(pool, 3).ids_BC.tolist()
        assert sorted(together) == sorted(expected)
    assert stage.account.shown_G.tolist() == [6, 1, PLENTY]
    with pytest.raises(InputError, match=r"quota of 'brnd'.*\['brand'\]"):
        Quota.Options(of="brnd").build(items)
    with pytest.raises(InputError, match="categories"):
        Quota.Options(of="category").build(ItemTable.of_size(3))


def test_a_floor_for_every_so_many_lists_rises() -> None:
    ids = torch.arange(4)[None]
    pool = Pool(ids, torch.arange(4.0).flip(0)[None], Sequences.from_lists([[]]))
    stage = quota(4, diversity=1, every=4, floor=1)
    shown = [stage.rerank(pool, 2).ids_BC[0].tolist() for _ in range(12)]
    # The second place goes to 2, then 3, and then to 1 as before; again after every four lists.
    assert [row[1] for row in shown] == [1, 2, 3, 1, 2, 3, 1, 1, 2, 3, 1, 1]
    once = quota(4, diversity=1)
    assert [once.rerank(pool, 2).ids_BC[0, 1].item() for _ in range(6)] == [1, 2, 3, 1, 1, 1]


def test_it_stacks_behind_a_set_and_must_be_last() -> None:
    rng = np.random.default_rng(3)
    member = (rng.random((N, 4)) < 0.4).astype(np.float32)
    items = ItemTable(np.ones(N), member)
    pool = pool_of(3, 20)
    candidates = TopK(pool.ids_BC.numpy(), pool.scores_BC.numpy())
    max_sum = MaxSumDispersion.Options(diversity=0.6).build(items)
    first = rerank_lists(candidates, pool.histories, [max_sum], K).ids
    stage = Quota.Options(diversity=1).build(items)
    both = rerank_lists(candidates, pool.histories, [max_sum, stage], K).ids
    # Only the last place of the set changes.
    assert np.array_equal(both[:, : K - 1], first[:, : K - 1])
    assert (both[:, -1] != first[:, -1]).any()
    with pytest.raises(ConfigError, match=r"stages.0: 'quota' counts what is shown, so it must be the last"):
        validate(RerankConfig, {"stages": [{"type": "quota"}, {"type": "mmr"}]}, "f")
    chain = validate(RerankConfig, {"stages": [{"type": "mmr"}, {"type": "quota"}]}, "f")
    assert chain.keeps_account


def test_explorers_are_refused_behind_it() -> None:
    explorer = EpsilonGreedy.Options().build(ItemTable.of_size(N))
    pool = pool_of(0, 3)
    lists = TopK(pool.ids_BC.numpy(), pool.scores_BC.numpy())
    with pytest.raises(InputError, match="leave out one of them"):
        explorer.explore_lists(lists, pool.histories, np.arange(3), K, stages=[quota()])
    policy = {
        "learner": {"type": "baseline", "baseline": {"type": "popularity"}},
        "rerank": [{"type": "quota"}],
        "explore": {"type": "epsilon_greedy"},
    }
    with pytest.raises(ConfigError, match="leave out one of them"):
        validate(PolicyConfig, policy, "f")

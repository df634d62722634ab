"""The loop around simulated users: what is shown, learned and measured."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from crossrec.baselines.item_knn import ItemKNN
from crossrec.baselines.popularity import Popularity
from crossrec.data.item_table import ItemTable
from crossrec.exploration.epsilon_greedy import EpsilonGreedy
from crossrec.exploration.off_policy import LoggedLists, inverse_propensity, self_normalised
from crossrec.rerank.base import Pool
from crossrec.simulation.environment import Environment
from crossrec.simulation.loop import Policy, Round, extended, joined, run_loop
from crossrec.simulation.metrics import RoundMetrics, entropies, overlap
from crossrec.types import ABSENT, Recommender, Sequences

MakeWorld = Callable[..., Environment]
N, K = 60, 5
LIVELY = {"satiation": {"strength": 0.5}, "visit": {"rate": 0.8, "leave": 0.02}, "drift": {"share": 0.1}}


def start(n_users: int) -> Sequences:
    generator = np.random.default_rng(0)
    return Sequences.from_lists(generator.choice(N, 4, replace=False).tolist() for _ in range(n_users))


def item_knn(log: Sequences) -> Recommender:
    return ItemKNN.Options(similarity="cosine").build(ItemTable.of_size(N)).fit(log)


def popular(log: Sequences) -> Recommender:
    return Popularity.Options().build(ItemTable.of_size(N)).fit(log)


def played(world: Environment, policy: Policy, log: Sequences, rounds: int = 4) -> list[Round]:
    return list(run_loop(world, policy, log, rounds, K))


@pytest.mark.parametrize("refit", [item_knn, popular])
def test_lists_are_full_new_and_learned_from(
    make_world: MakeWorld, refit: Callable[[Sequences], Recommender]
) -> None:
    log, seen = start(80), []

    def spied(clicks: Sequences) -> Recommender:
        seen.append(clicks)
        return refit(clicks)

    rounds = played(make_world(80, **LIVELY), Policy(spied), log)
    known = log
    for number, happened in enumerate(rounds):
        np.testing.assert_array_equal(seen[number].items, known.items)
        assert (happened.ids_BK != ABSENT).all()
        assert not known.take(happened.users_B).contains(happened.ids_BK).any()
        assert len(happened.log.items) == len(known.items) + happened.feedback.clicked_BK.sum()
        known = happened.log
    assert len(seen) == 4


def test_cadence_of_retraining(make_world: MakeWorld) -> None:
    calls = []

    def counted(log: Sequences) -> Recommender:
        calls.append(len(log.items))
        return popular(log)

    played(make_world(50, **LIVELY), Policy(counted, every=3), start(50), rounds=7)
    assert len(calls) == 3


def test_a_seed_reproduces_and_policies_share_visits(make_world: MakeWorld) -> None:
    visit = {"visit": {"rate": 0.6}}
    runs = [
        played(make_world(60, 1, **visit), Policy(refit), start(60))
        for refit in (item_knn, item_knn, popular)
    ]
    for one, two, other in zip(*runs, strict=True):
        np.testing.assert_array_equal(one.ids_BK, two.ids_BK)
        np.testing.assert_array_equal(one.feedback.clicked_BK, two.feedback.clicked_BK)
        np.testing.assert_array_equal(one.users_B, other.users_B)


def test_extending_a_log() -> None:
    log = Sequences(np.asarray([0, 2, 2, 3]), np.asarray([5, 6, 7]), np.asarray([1, 2, 3]))
    found = extended(log, np.asarray([2, 0, 2, 1]), np.asarray([10, 11, 12, 13]), 99)
    assert [found.row(row).tolist() for row in range(3)] == [[5, 6, 11], [13], [7, 10, 12]]
    assert found.times is not None
    assert found.times.tolist() == [1, 2, 99, 99, 3, 99, 99]


def test_joining_logs() -> None:
    first = Sequences(np.asarray([0, 2, 2]), np.asarray([5, 6]), np.asarray([1, 2]))
    second = Sequences(np.asarray([0, 1, 3]), np.asarray([7, 8, 9]), np.asarray([3, 4, 5]))
    found = joined(first, second)
    assert [found.row(row).tolist() for row in range(4)] == [[5, 6], [], [7], [8, 9]]
    assert found.times is not None
    assert found.times.tolist() == [1, 2, 3, 4, 5]
    timeless = Sequences.from_lists([[1]])
    assert joined(timeless, second).times is None
    assert joined(first, first.take(np.zeros(0, np.int64))).items.tolist() == [5, 6]


def test_off_policy_estimates_from_the_loop_hold_the_true_value(make_world: MakeWorld) -> None:
    """Epsilon-greedy lists are logged; the greedy one's value is estimated, then played."""
    n_users, epsilon = 6000, 0.4
    click = {"click": {"position_bias": 0.5, "appealing": 0.3}}
    log = start(n_users)
    explorer = EpsilonGreedy.Options(epsilon=epsilon).build(ItemTable(np.ones(N), torch.zeros(N, 0)))
    policy = Policy(popular, explorer=explorer, candidates=20)
    logged_round = played(make_world(n_users, 5, **click), policy, log, rounds=1)[0]
    greedy_round = played(make_world(n_users, 5, **click), Policy(popular), log, rounds=1)[0]
    curve = np.arange(1, K + 1) ** -0.5
    truth = (greedy_round.feedback.attraction_BK * curve).sum(1).mean()
    placement = logged_round.shown.placement_BK
    assert placement is not None
    target = (logged_round.ids_BK == greedy_round.ids_BK).astype(float)
    np.testing.assert_allclose(placement[target > 0], 1 - epsilon)
    log_of_clicks = LoggedLists(logged_round.feedback.clicked_BK.astype(float), placement)
    for estimator in (inverse_propensity, self_normalised):
        found = estimator(log_of_clicks, target)
        assert found.ci95[0] <= truth <= found.ci95[1]
        assert found.ci95[1] - found.ci95[0] < 0.2 * truth
        assert not found.warnings


class TestMeasures:
    """Figures of rounds against plain Python."""

    def test_of_a_round(self, make_world: MakeWorld) -> None:
        world = make_world(40, **LIVELY)
        # The first 20 items hold all training clicks, so the others are the tail.
        view = ItemTable((np.arange(N) < 20).astype(int), world.tastes.categories_NG)
        measures = RoundMetrics(view, 40, K, seed=0, tail_share=0)
        shown: dict[int, list[int]] = {}
        liked: dict[int, list[int]] = {}
        for happened in run_loop(world, Policy(item_knn), start(40), 3, K):
            figures = measures.of(happened)
            ids, clicked = happened.ids_BK, happened.feedback.clicked_BK
            assert figures["click_rate"] == clicked.sum() / ids.size
            assert figures["conversion"] == happened.feedback.bought_BK.any(1).mean()
            assert figures["tail_share"] == pytest.approx((ids >= 20).mean())
            assert figures["coverage"] == pytest.approx(len(np.unique(ids)) / N)
            assert figures["clicks_per_user"] == clicked.sum() / 40
            for user, row, hit in zip(happened.users_B, ids, clicked, strict=True):
                shown.setdefault(int(user), []).extend((row % 4).tolist())
                if hit.any():
                    liked.setdefault(int(user), []).extend((row[hit] % 4).tolist())
            # Over all who were ever shown or clicked something, not over this round's visitors.
            assert len(shown) >= len(happened.users_B)
            for name, of_user in (("entropy_shown", shown), ("entropy_clicked", liked)):
                plain = [_entropy(kinds) for kinds in of_user.values()]
                assert figures[name] == pytest.approx(np.mean(plain))
            assert figures["entropy_list"] == pytest.approx(
                np.mean([_entropy((r % 4).tolist()) for r in ids])
            )
        assert len(shown) > len(happened.users_B)
        assert np.isnan(figures["ild"])
        assert np.isnan(figures["ild_behaviour"])
        space = np.eye(4)[np.arange(N) % 4]
        known = RoundMetrics(view.with_space("behaviour", torch.from_numpy(space)), 40, K, 0, 0.2)
        assert known.of(happened)["ild_behaviour"] == pytest.approx(figures["ild_category"])

    def test_overlap_and_entropy_at_their_ends(self) -> None:
        one, two = np.asarray([[0, 1, 2], [3, 4, ABSENT]]), np.asarray([[2, 1, 0], [5, 6, ABSENT]])
        np.testing.assert_array_equal(overlap(one, two), [1, 0])
        np.testing.assert_allclose(overlap(one[:1], np.asarray([[0, 7, ABSENT]])), 1 / 4)
        np.testing.assert_allclose(entropies(np.asarray([[1, 1.0], [2, 0]])), [np.log(2), 0])
        assert np.isnan(entropies(np.zeros((1, 3)))).all()

    def test_a_round_without_visitors(self, make_world: MakeWorld) -> None:
        world = make_world(5, visit={"rate": 1, "leave": 1.0})
        measures = RoundMetrics(ItemTable(np.ones(N), world.tastes.categories_NG), 5, K, 0, 0)
        found = [measures.of(happened) for happened in run_loop(world, Policy(popular), start(5), 2, K)]
        assert found[0]["retention"] == 0
        assert found[1]["visits"] == 0
        assert np.isnan(found[1]["click_rate"])
        assert np.isnan(found[1]["homogeneity"])
        # What users were shown before they left still counts.
        assert found[1]["entropy_shown"] == found[0]["entropy_shown"] > 0


def test_explored_lists_are_reranked_first(make_world: MakeWorld) -> None:
    def backwards(pool: Pool, k: int) -> Pool:
        return pool.reordered(-pool.scores_BC, k)

    explorer = EpsilonGreedy.Options(epsilon=0.0).build(ItemTable(np.ones(N), torch.zeros(N, 0)))
    log = start(30)
    plain = played(make_world(30), Policy(popular, finish=backwards, candidates=12), log, 1)[0]
    explored = played(
        make_world(30), Policy(popular, finish=backwards, explorer=explorer, candidates=12), log, 1
    )[0]
    np.testing.assert_array_equal(plain.ids_BK, explored.ids_BK)
    straight = played(make_world(30), Policy(popular, candidates=12), log, 1)[0]
    assert (plain.ids_BK != straight.ids_BK).any()


def _entropy(kinds: list[int]) -> float:
    shares = np.bincount(kinds) / len(kinds)
    return float(-sum(p * np.log(p) for p in shares if p > 0))

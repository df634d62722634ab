"""Every explorer: chances against frequencies, no dependence on the batch, lists without repeats."""

from __future__ import annotations

from functools import cache
from itertools import permutations
from typing import Any, Self

import numpy as np
import pytest
import torch

from crossrec.config import validate
from crossrec.data.item_table import ItemTable
from crossrec.exploration import EXPLORERS
from crossrec.exploration.base import Explorer, LearningExplorer, PolicyLists
from crossrec.exploration.counter_rng import CounterRng
from crossrec.exploration.dpp_sampling import DPPSampling
from crossrec.exploration.epsilon_greedy import EpsilonGreedy
from crossrec.exploration.linear_bandit import UCB, USERS_AT_ONCE, ThompsonSampling
from crossrec.exploration.plackett_luce import PlackettLuce
from crossrec.rerank.base import Pool
from crossrec.types import ABSENT, ConfigError, InputError, Sequences, TopK, VectorRecommender

N, D, K, USERS = 8, 3, 3, 6_000
SCORES = [2.0, 1.6, 1.1, 0.9, 0.5, 0.2, 0.0, -1.0]
SAMPLERS: list[Any] = [
    EpsilonGreedy.Options(epsilon=0.3),
    PlackettLuce.Options(temperature=0.7),
    PlackettLuce.Options(temperature=0.5, by_rank=True),
    DPPSampling.Options(quality=2.0),
]
EVERYONE: list[Any] = [*SAMPLERS, UCB.Options(width=0.3), ThompsonSampling.Options(noise=1.0)]


class Vectors:
    """A recommender of random vectors whose query depends on the last click."""

    n_items = N

    def item_vectors(self) -> torch.Tensor:
        return torch.randn(N, D, generator=torch.Generator().manual_seed(1))

    def queries(self, histories: Sequences) -> torch.Tensor:
        last = np.asarray([histories.row(row)[-1] for row in range(len(histories))])
        return self.item_vectors()[torch.from_numpy(last)]

    def fit(self, train: Sequences) -> Self:
        return self

    def score(self, histories: Sequences, candidates: np.ndarray | None = None) -> torch.Tensor:
        return self.queries(histories) @ self.item_vectors().T

    def recommend(self, histories: Sequences, k: int, exclude: Sequences | None = None) -> TopK:
        best = self.score(histories).topk(k)
        return TopK(best.indices.numpy(), best.values.numpy())


def same_pool(n_users: int, scores: list[float] = SCORES) -> Pool:
    """The same candidates for each user, so that frequencies over users are chances."""
    ids = torch.arange(len(scores)).expand(n_users, -1).clone()
    values = torch.tensor(scores).expand(n_users, -1).clone()
    return Pool(ids, values, Sequences(np.arange(n_users + 1), np.zeros(n_users, np.int64)))


def built(config: Any) -> Explorer:
    explorer: Explorer = config.build(ItemTable(np.ones(N), torch.eye(3)[torch.arange(N) % 3]))
    if isinstance(explorer, LearningExplorer):
        explorer.attach(Vectors())
    return explorer


@cache
def drawn(config: Any) -> PolicyLists:
    """Lists of many users with one pool."""
    return shown(config)


def shown(config: Any, n_users: int = USERS, k: int = K, pool: Pool | None = None) -> PolicyLists:
    pool = same_pool(n_users) if pool is None else pool
    return built(config).choose(pool, np.arange(len(pool)), k, CounterRng(0, 0))


def frequencies(ids_BK: np.ndarray) -> np.ndarray:
    """(K, N) share of the lists that have each item at each place."""
    return np.stack([np.bincount(column, minlength=N) / len(ids_BK) for column in ids_BK.T])


def five_errors(chance: np.ndarray, n: int = USERS) -> np.ndarray:
    return 5 * np.sqrt(np.maximum(chance * (1 - chance), 1 / n) / n)


def name_of(config: Any) -> str:
    return f"{EXPLORERS.name_of(config)}-{getattr(config, 'by_rank', '')}"


def test_every_explorer_is_here() -> None:
    missing = {*EXPLORERS} - {EXPLORERS.name_of(config) for config in EVERYONE}
    assert not missing, f"add options to SAMPLERS or EVERYONE for {missing}"


@pytest.mark.parametrize("config", EVERYONE, ids=name_of)
def test_lists_hold_no_item_twice_and_only_candidates(config: Any) -> None:
    ids = shown(config, 300).pool.ids_BC.numpy()
    assert ids.shape == (300, K)
    assert all(len(set(row)) == K for row in ids)
    assert ((ids >= 0) & (ids < N)).all()


@pytest.mark.parametrize("config", EVERYONE, ids=name_of)
def test_lists_depend_on_the_user_alone(config: Any) -> None:
    explorer, draws = built(config), CounterRng(4, 1)
    whole = explorer.choose(same_pool(60), np.arange(60), K, draws)
    part = explorer.choose(same_pool(7), np.arange(30, 37), K, draws)
    np.testing.assert_array_equal(part.pool.ids_BC, whole.pool.ids_BC[30:37])
    again = explorer.choose(same_pool(60), np.arange(60), K, CounterRng(4, 2))
    assert EXPLORERS.name_of(config) == "ucb" or (again.pool.ids_BC != whole.pool.ids_BC).any()


@pytest.mark.parametrize("config", SAMPLERS, ids=name_of)
def test_chances_are_frequencies(config: Any) -> None:
    found = drawn(config)
    ids = found.pool.ids_BC.numpy()
    observed_KN = frequencies(ids)
    assert found.inclusion_BK is not None
    for item in range(N):
        rows, places = np.nonzero(ids == item)
        chances = found.inclusion_BK[rows, places]
        expected = float(chances.mean()) if len(chances) else 0.0
        np.testing.assert_allclose(chances, expected, atol=1e-9)
        assert abs(observed_KN[:, item].sum() - expected) < five_errors(np.asarray(expected))
        if found.placement_BK is not None:
            for place in range(K):
                here = found.placement_BK[rows[places == place], place]
                at_place = float(here[0]) if len(here) else 0.0
                assert abs(observed_KN[place, item] - at_place) < five_errors(np.asarray(at_place))


@pytest.mark.parametrize("config", SAMPLERS, ids=name_of)
def test_the_chance_of_a_list_is_its_frequency(config: Any) -> None:
    found = drawn(config)
    assert found.log_list_B is not None
    lists, first, counts = np.unique(found.pool.ids_BC.numpy(), axis=0, return_index=True, return_counts=True)
    chances = np.exp(found.log_list_B[first])
    assert len(lists) > 10
    assert (np.abs(counts / USERS - chances) < five_errors(chances)).all()
    assert chances.sum() <= 1 + 1e-9


def test_places_of_plackett_luce_against_all_orders() -> None:
    found = shown(PlackettLuce.Options(temperature=0.6), 300)
    weights = np.exp(np.asarray(SCORES) / 0.6)
    exact_KN = np.zeros((K, N))
    for order in permutations(range(N), K):
        left, chance = weights.sum(), 1.0
        for item in order:
            chance *= weights[item] / left
            left -= weights[item]
        exact_KN[np.arange(K), order] += chance
    ids = found.pool.ids_BC.numpy()
    assert found.placement_BK is not None
    assert found.inclusion_BK is not None
    # Measured: 1e-7, from the part of the integral that is cut off.
    np.testing.assert_allclose(found.placement_BK, exact_KN[np.arange(K), ids], atol=1e-6)
    np.testing.assert_allclose(found.inclusion_BK, exact_KN.sum(0)[ids], atol=1e-6)


def test_thompson_estimates_its_chances() -> None:
    found = shown(ThompsonSampling.Options(noise=1.0, samples=200), 1500)
    observed_KN = frequencies(found.pool.ids_BC.numpy())
    assert found.placement_BK is not None
    for place in range(K):
        for item in np.flatnonzero(observed_KN[place] > 0.02):
            rows = (found.pool.ids_BC[:, place] == int(item)).numpy()
            estimated = found.placement_BK[rows, place].mean()
            assert abs(estimated - observed_KN[place, item]) < 5 * np.sqrt(0.25 / 1500) + 1 / 200


def test_without_exploration_the_best_are_shown() -> None:
    still = [EpsilonGreedy.Options(epsilon=0), UCB.Options(width=0), ThompsonSampling.Options(noise=0)]
    scores = Vectors().score(Sequences(np.asarray([0, 1]), np.asarray([0])))[0]
    order = scores.argsort(descending=True)
    pool = same_pool(5)
    pool = Pool(order.expand(5, -1).clone(), scores[order].expand(5, -1).clone(), pool.histories)
    for config in still:
        found = shown(config, pool=pool)
        np.testing.assert_array_equal(found.pool.ids_BC, order[:K].expand(5, -1))


@pytest.mark.parametrize("config", EVERYONE, ids=name_of)
def test_short_pools_are_shown_as_far_as_they_go(config: Any) -> None:
    pool = same_pool(4)
    pool.ids_BC[1:, 2:], pool.scores_BC[1:, 2:] = ABSENT, -torch.inf
    found = shown(config, pool=pool)
    ids = found.pool.ids_BC.numpy()
    assert set(ids[1, :2]) == {0, 1}
    assert (ids[1:, 2] == ABSENT).all()
    for chances in (found.inclusion_BK, found.placement_BK):
        assert chances is None or np.isfinite(chances).all()


def test_a_dpp_with_too_few_items_worth_anything_is_refused() -> None:
    pool = same_pool(4, [1.0] + [0.0] * (N - 1))
    steep = DPPSampling.Options(quality=12, spread=0.001)
    with pytest.raises(InputError, match="quality 12 leaves 3 items to draw a list of 6"):
        shown(steep, k=6, pool=pool)
    ids = shown(steep, k=3, pool=pool).pool.ids_BC.numpy()
    assert all(len(set(row)) == 3 for row in ids)
    with pytest.raises(ConfigError, match="less than or equal to 12"):
        validate(DPPSampling.Options, {"quality": 13}, "test")


def test_epsilon_greedy_asks_the_rerankers_for_the_greedy_list() -> None:
    def backwards(pool: Pool, k: int) -> Pool:
        return pool.reordered(-pool.scores_BC, k)

    explorer = built(EpsilonGreedy.Options(epsilon=0.5))
    found = explorer.choose(same_pool(2000), np.arange(2000), K, CounterRng(0, 0), backwards)
    kept = (found.pool.ids_BC == torch.tensor([7, 6, 5])).float().mean(0)
    assert ((kept - 0.5).abs() < 0.06).all()


class TestBandit:
    """The posterior of bandits on the last layer."""

    def test_it_finds_the_dimension_that_clicks_go_by(self) -> None:
        bandit: Any = built(UCB.Options(width=0.0, position_bias=0.0, slope=0.01))
        recommender, generator = Vectors(), np.random.default_rng(0)
        for _ in range(40):
            histories = Sequences(np.arange(101), generator.integers(N, size=100))
            ids = torch.from_numpy(np.argsort(generator.random((100, N)), 1)[:, :K])
            pool = Pool(ids, torch.zeros(100, K), histories)
            first = recommender.queries(histories)[:, :1] * recommender.item_vectors()[ids][:, :, 0]
            chance = 0.3 + 0.1 * first.clamp(-2, 4).numpy()
            bandit.learn(pool, generator.random((100, K)) < chance)
        mean = bandit.posterior.mean
        assert mean[1] > 0.05
        assert np.abs(mean[2:]).max() < 0.03
        assert abs(mean[0] - 0.3) < 0.05

    def test_the_posterior_is_that_of_weighted_least_squares(self) -> None:
        bandit: Any = built(UCB.Options(position_bias=1.0, precision=3.0, slope=0.1, base_rate=0.2))
        pool = same_pool(20).head(K)
        clicked = np.random.default_rng(1).random((20, K)) < 0.4
        bandit.learn(pool, clicked)
        x = bandit.features(pool.ids_BC, pool.histories).reshape(-1, 1 + D)
        seen = np.tile(1 / np.arange(1, K + 1), 20)
        prior = np.asarray([0.2, 0.1, 0.1, 0.1])
        left = 3.0 * np.eye(1 + D) + (x * seen[:, None]).T @ x
        right = 3.0 * prior + x.T @ clicked.ravel()
        np.testing.assert_allclose(bandit.posterior.mean, np.linalg.solve(left, right), rtol=1e-9)
        expected = np.sqrt(np.einsum("td,de,te->t", x, np.linalg.inv(left), x))
        np.testing.assert_allclose(bandit.posterior.deviation(x), expected, rtol=1e-8)
        many = bandit.posterior.sample(np.random.default_rng(2).standard_normal((200_000, 1 + D)), 1.0)
        np.testing.assert_allclose(np.cov(many.T), np.linalg.inv(left), atol=0.01)

    def test_features_are_products_for_any_number_of_users(self) -> None:
        bandit: Any = built(UCB.Options())
        generator, n_users = np.random.default_rng(0), 2 * USERS_AT_ONCE + 5
        histories = Sequences(np.arange(n_users + 1), generator.integers(N, size=n_users))
        ids = torch.from_numpy(generator.integers(N, size=(n_users, K)))
        features, vectors = bandit.features(ids, histories), Vectors().item_vectors()
        assert (features[:, :, 0] == 1).all()
        expected = vectors[torch.from_numpy(histories.items)][:, None] * vectors[ids]
        np.testing.assert_allclose(features[:, :, 1:], expected, rtol=1e-6)

    def test_retraining_forgets(self) -> None:
        bandit: Any = built(UCB.Options(kept=0.0))
        before = bandit.posterior.mean
        bandit.learn(same_pool(20).head(K), np.ones((20, K), bool))
        assert np.abs(bandit.posterior.mean - before).max() > 0.01
        bandit.attach(Vectors())
        np.testing.assert_allclose(bandit.posterior.mean, before)

    def test_a_recommender_without_vectors_is_refused(self) -> None:
        class Scores:
            n_items = N

        explorer: Any = UCB.Options().build(ItemTable(np.ones(N), torch.zeros(N, 0)))
        with pytest.raises(InputError, match="Scores"):
            explorer.attach(Scores())
        assert isinstance(Vectors(), VectorRecommender)

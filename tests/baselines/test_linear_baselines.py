"""EASE, BPR-MF, regression on features and recent popularity against their formulas."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from crossrec.baselines.base import history_matrix
from crossrec.baselines.bpr import BPRMF
from crossrec.baselines.ease import EASE
from crossrec.baselines.feature_model import FeatureModel, fit_least_squares, fit_logistic
from crossrec.baselines.fold_in import UserRegression, summed_items
from crossrec.baselines.popularity import RecentPopularity
from crossrec.data.item_table import ItemTable
from crossrec.types import InputError, Sequences

N = 10


def random_clicks(seed: int, users: int = 50) -> Sequences:
    rng = np.random.default_rng(seed)
    return Sequences.from_lists(rng.integers(0, N, size=rng.integers(2, 7)) for _ in range(users))


def test_ease_solves_its_constrained_least_squares() -> None:
    """Steck 2019, equation 8; the Lagrangian's gradient vanishes off the diagonal."""
    train, histories, strength = random_clicks(0), random_clicks(1, 4), 3.0
    scores = (
        EASE.Options(regularization=strength).build(ItemTable.of_size(N)).fit(train).score(histories).numpy()
    )
    clicks = (history_matrix(train, N).toarray() > 0).astype(float)
    inverse = np.linalg.inv(clicks.T @ clicks + strength * np.eye(N))
    weights = np.eye(N) - inverse / np.diag(inverse)
    gradient = clicks.T @ clicks @ (weights - np.eye(N)) + strength * weights
    assert np.abs(gradient - np.diag(np.diag(gradient))).max() < 1e-9
    expected = (history_matrix(histories, N).toarray() > 0) @ weights
    np.testing.assert_allclose(scores, expected, atol=1e-5)


def test_ease_refuses_a_catalogue_beyond_its_memory() -> None:
    with pytest.raises(InputError, match=r"EASE on 40000 items needs 12\.8 GB .* memory_gb = 6"):
        EASE.Options().build(ItemTable.of_size(40_000))


@pytest.mark.parametrize("seed", [0, 1])
def test_logistic_regression_stands_where_its_gradient_vanishes(seed: int) -> None:
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(300, 3)) * [1, 10, 0.1] + [0, 5, -2]
    clicked = (rng.random(300) < 1 / (1 + np.exp(-features[:, 0] - 5 * features[:, 2] - 10))).astype(float)
    model = fit_logistic(features, clicked, 0.01)
    spread = features.std(0)
    chance = 1 / (1 + np.exp(-(features @ model.weights_F + model.constant)))
    slope = (chance - clicked) @ ((features - features.mean(0)) / spread) / 300
    np.testing.assert_allclose(slope + 0.01 * model.weights_F * spread, 0, atol=1e-5)
    assert abs((chance - clicked).mean()) < 1e-5


def test_least_squares_equals_the_normal_equations_and_ignores_a_constant_feature() -> None:
    rng = np.random.default_rng(3)
    features = np.concatenate([rng.normal(size=(80, 2)), np.ones((80, 1))], axis=1)
    target = (rng.random(80) < 0.3).astype(float)
    model = fit_least_squares(features, target, 1e-12)
    expected = np.linalg.lstsq(features, target, rcond=None)[0]
    np.testing.assert_allclose(model.weights_F, [expected[0], expected[1], 0], atol=1e-6)
    assert model.constant == pytest.approx(expected[2], abs=1e-6)


def test_features_get_weight_where_they_tell_the_next_click() -> None:
    """Each user's clicks stay within one category; clicks are otherwise random."""
    rng = np.random.default_rng(0)
    kinds = csr_matrix((np.ones(40, np.float32), (np.arange(40), np.arange(40) % 4)), shape=(40, 4))
    rows = [4 * rng.permutation(10)[:6] + user % 4 for user in range(80)]
    model = FeatureModel(FeatureModel.Options(negatives=5), ItemTable.of_size(40, categories=kinds))
    model.fit(Sequences.from_lists(rows))
    assert model.weights["categories"] > 1
    assert "recent popularity" not in model.weights
    found = model.recommend(Sequences.from_lists([[1]]), 5, Sequences.from_lists([[1]]))
    assert (found.ids % 4 == 1).all()


def test_features_need_two_different_clicks_of_a_user() -> None:
    with pytest.raises(InputError, match="learns from users with two different training clicks"):
        FeatureModel.Options().build(ItemTable.of_size(N)).fit(Sequences.from_lists([[1], [2, 2]]))


def test_user_regression_recovers_a_linear_map_and_its_constant() -> None:
    rng = np.random.default_rng(0)
    sums, weights = rng.normal(size=(200, 3)), rng.normal(size=(3, 2))
    found = UserRegression.fit(sums, sums @ weights + [1, -1], 1e-9)
    new = rng.normal(size=(4, 3))
    np.testing.assert_allclose(found(new), new @ weights + [1, -1], atol=1e-4)
    np.testing.assert_allclose(found(np.zeros((1, 3))), (sums @ weights + [1, -1]).mean(0)[None], atol=1e-5)


def test_summed_items_divide_by_the_root_of_the_clicks() -> None:
    items = np.arange(2 * N, dtype=np.float32).reshape(N, 2)
    rows = history_matrix(Sequences.from_lists([[1, 2, 2, 3], []]), N)
    np.testing.assert_allclose(
        summed_items(rows, items), [[(2 + 4 + 4 + 6) / 2, (3 + 5 + 5 + 7) / 2], [0.0, 0.0]]
    )


def test_bpr_folds_in_close_to_what_training_learned() -> None:
    rng = np.random.default_rng(0)
    rows = [2 * rng.permutation(15)[:8] + user % 2 for user in range(100)]
    train = Sequences.from_lists(rows)
    model = BPRMF(BPRMF.Options(factors=4, iterations=100), ItemTable.of_size(30)).fit(train)
    learned = model._users_UD @ model._items_ND.T
    folded = (model.score(train) - model._bias_N).numpy()
    assert np.corrcoef(learned.ravel(), folded.ravel())[0, 1] > 0.9


def test_recent_popularity_halves_with_the_half_life() -> None:
    day = 86_400
    items, days = np.array([0, 0, 1, 2, 1]), np.array([0, 0, 20, 10, 20])
    train = Sequences(np.array([0, 3, 5]), items, 10**9 + day * days)
    scores = (
        RecentPopularity.Options(half_life_days=10)
        .build(ItemTable.of_size(4))
        .fit(train)
        .score(Sequences.from_lists([[]]))
    )
    np.testing.assert_allclose(scores.numpy(), [[0.5, 2.0, 0.5, 0.0]])


@pytest.mark.parametrize("times", [None, np.array([0, 1, 2])])
def test_recent_popularity_needs_times_not_an_order(times: np.ndarray | None) -> None:
    train = Sequences(np.array([0, 3]), np.array([0, 1, 2]), times)
    with pytest.raises(InputError, match="needs the times of the clicks in seconds"):
        RecentPopularity.Options().build(ItemTable.of_size(3)).fit(train)

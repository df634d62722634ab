"""The choice model of a real log: coefficients are found again, and chances are checked on unseen clicks."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax

from crossrec.simulation.calibration import calibration, wilson
from crossrec.simulation.choice_model import ChoiceModelConfig, _sets, fit_choice_model
from crossrec.simulation.config import EnvironmentConfig
from crossrec.simulation.environment import Environment
from crossrec.types import InputError, Sequences

USERS, ITEMS, KINDS = 400, 80, 5


@pytest.fixture(scope="module")
def categories() -> np.ndarray:
    return np.eye(KINDS, dtype=np.float32)[np.arange(ITEMS) % KINDS]


@pytest.fixture(scope="module")
def clicks(categories: np.ndarray) -> Sequences:
    """Users who like some categories, and items of unlike popularity; nobody clicks an item twice."""
    generator = np.random.default_rng(0)
    interest = 1.5 * generator.normal(size=(USERS, KINDS))
    chance = softmax(interest @ categories.T + generator.normal(size=ITEMS), axis=1)
    return Sequences.from_lists(generator.choice(ITEMS, 20, replace=False, p=row).tolist() for row in chance)


CONFIG = ChoiceModelConfig(factors=8, alternatives=40)


def test_it_predicts_unseen_clicks_and_is_calibrated(clicks: Sequences, categories: np.ndarray) -> None:
    found = fit_choice_model(clicks, categories, CONFIG)
    assert found.likelihood > found.uniform + 0.3
    assert found.coefficients[0] > 0
    assert found.coefficients[1] > 0
    assert len(found.check.bins) >= 5
    assert found.check.error < 0.03
    assert all(bin_.ci95[0] - 0.02 <= bin_.predicted <= bin_.ci95[1] + 0.02 for bin_ in found.check.bins)
    assert "calibration error" in found.summary()


def test_the_log_at_the_start_ends_before_what_was_held_back(
    clicks: Sequences, categories: np.ndarray
) -> None:
    found = fit_choice_model(clicks, categories, CONFIG)
    np.testing.assert_array_equal(found.start.lengths, 12)
    np.testing.assert_array_equal(found.start.row(5), clicks.row(5)[:12])
    changed = Sequences(clicks.offsets, clicks.items.copy())
    changed.items[np.arange(USERS) * 20 + 19] = clicks.items[np.arange(USERS) * 20 + 18]
    other = fit_choice_model(changed, categories, CONFIG)
    np.testing.assert_array_equal(other.coefficients, found.coefficients)
    np.testing.assert_array_equal(other.tastes.tastes_UD, found.tastes.tastes_UD)
    assert other.likelihood != found.likelihood


def test_simulated_users_click_more_of_what_the_model_likes(
    clicks: Sequences, categories: np.ndarray
) -> None:
    tastes = fit_choice_model(clicks, categories, CONFIG).tastes
    config = EnvironmentConfig.model_validate({"visit": {"rate": 1}, "click": {"appealing": 0.1}})
    order = np.argsort(-(tastes.tastes_UD @ tastes.features_ND.T + tastes.offset_N), axis=1)
    best = Environment(tastes, config, 0).answer(np.arange(USERS), order[:, :5])
    worst = Environment(tastes, config, 0).answer(np.arange(USERS), order[:, -5:])
    assert best.clicked_BK.mean() > 1.5 * worst.clicked_BK.mean()
    assert "simulated" in tastes.note


def test_a_log_too_short_for_three_parts_is_refused(categories: np.ndarray) -> None:
    with pytest.raises(InputError, match="three parts"):
        fit_choice_model(Sequences.from_lists([[0], [1]]), categories, CONFIG)


def test_alternatives_are_never_what_the_user_had() -> None:
    generator = np.random.default_rng(3)
    rows = [generator.permutation(30)[:n].tolist() for n in (3, 20, 8)]
    rows[2][6] = rows[2][0]  # had before, so no choice
    clicks = Sequences.from_lists(rows)
    begin = np.asarray([1, 18, 5])
    users, items = _sets(clicks, begin, clicks.lengths, ChoiceModelConfig(alternatives=10), 30, 0)
    assert users.tolist() == [0, 0, 1, 1, 2, 2]
    assert items[4:, 0].tolist() == [rows[2][5], rows[2][7]]
    assert items.shape == (6, 11)
    for user, (own, *others) in zip(users, items.tolist(), strict=True):
        assert own in rows[user][begin[user] :]
        assert not {own, *rows[user][: begin[user]]} & set(others)


def test_a_user_with_too_few_items_left_is_refused() -> None:
    clicks = Sequences.from_lists([list(range(25)), [0, 1, 2]])
    with pytest.raises(InputError, match="set at most 9"):
        _sets(clicks, np.asarray([20, 2]), clicks.lengths, ChoiceModelConfig(alternatives=10), 30, 0)
    with pytest.raises(InputError, match="new to their user"):
        _sets(Sequences.from_lists([[4, 4]]), np.ones(1, int), np.full(1, 2), ChoiceModelConfig(), 300, 0)


def test_true_chances_have_no_error_and_sharpened_ones_do() -> None:
    generator = np.random.default_rng(1)
    logits = 1.5 * generator.normal(size=(8000, 12))
    chosen = (softmax(logits, axis=1).cumsum(1) < generator.random((8000, 1))).sum(1)
    columns = np.argsort(np.arange(12)[None] != chosen[:, None], axis=1, kind="stable")
    arranged = np.take_along_axis(logits, columns, 1)
    true = calibration(softmax(arranged, axis=1), 10)
    assert true.error < 0.02
    assert sum(b.n for b in true.bins) == 8000 * 12
    assert calibration(softmax(3 * arranged, axis=1), 10).error > 5 * true.error


def test_wilson_against_a_table() -> None:
    np.testing.assert_allclose(wilson(8, 10), (0.490, 0.943), atol=1e-3)
    assert wilson(0, 10)[0] == 0

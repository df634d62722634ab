"""Synthesis put to use: only tail categories and few-click users grow, by the stated ratio."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from crossrec.augment.generators import application
from crossrec.augment.generators.application import (
    SynthesisUseConfig,
    SyntheticItemsConfig,
    SyntheticUsersConfig,
    few_click_users,
    oversampled_items,
    synthesise_items,
    synthesise_users,
    tail_categories,
    user_profiles,
)
from crossrec.config import validate
from crossrec.types import ConfigError, InputError, Sequences

# Items 0 to 3 are of the head category, 4 to 7 of the tail; 7 has no training click, 6 no features.
CATEGORIES = csr_matrix(np.repeat(np.eye(2, dtype=np.float32), 4, axis=0))
TRAIN = Sequences.from_lists([[0, 1, 2, 3, 0, 1, 2, 3], [0, 4], [5], [], [1, 2, 6], [3, 0, 1, 2]])
COUNTS = np.bincount(TRAIN.items, minlength=8)
FEATURES = np.concatenate([np.repeat(np.eye(2), 4, axis=0), np.eye(8)], axis=1).astype(np.float32)
FEATURES[6] = 0
PRESENT = np.asarray(FEATURES.any(1))


def near_class(classes: np.ndarray, seed: int) -> np.ndarray:
    """A generator's stand-in: the class in the first two columns, noise in the others."""
    noise = np.random.default_rng(seed).normal(size=(len(classes), 8)) * 0.1
    return np.concatenate([classes[:, :2], noise], axis=1).astype(np.float32)


def test_tail_categories_hold_their_share_of_clicks_at_most() -> None:
    assert COUNTS[4:].sum() / COUNTS.sum() < 0.2
    assert tail_categories(CATEGORIES, COUNTS, 0.2).tolist() == [False, True]


def test_only_training_items_with_features_of_tail_categories_are_enlarged() -> None:
    assert oversampled_items(CATEGORIES, COUNTS, PRESENT, 0.2).tolist() == [4, 5]


def test_nothing_to_enlarge_says_what_to_change() -> None:
    with pytest.raises(InputError, match="raise tail_share"):
        oversampled_items(CATEGORIES, COUNTS, np.arange(8) < 4, 0.2)
    with pytest.raises(InputError, match="no item of the catalogue has one; give the catalogue categories"):
        oversampled_items(CATEGORIES[:, :0], COUNTS, PRESENT, 0.2)
    with pytest.raises(InputError, match="no user has 2 to 2 training clicks; raise max_clicks"):
        few_click_users(Sequences.from_lists([[0], [], [1, 2, 3]]), 2)


def test_synthetic_items_are_the_nearest_of_the_pool_and_as_many_as_stated() -> None:
    config = SyntheticItemsConfig(ratio=3, pool=5)
    items = np.array([4, 5])
    found = synthesise_items(FEATURES, items, CATEGORIES.toarray(), near_class, config, 7, seed=1)
    assert found.vectors.shape == (2, 3, 10)
    assert found.count == 3 * len(items)
    pool = near_class(np.repeat(CATEGORIES.toarray()[items], 15, axis=0), 1).reshape(2, 15, 10)
    for row, item in enumerate(items):
        far = np.sort(np.linalg.norm(pool[row] - FEATURES[item], axis=1))
        got = np.linalg.norm(found.vectors[row] - FEATURES[item], axis=1)
        assert got == pytest.approx(far[:3], rel=1e-5)
    again = synthesise_items(FEATURES, items, CATEGORIES.toarray(), near_class, config, 7, seed=1)
    assert np.array_equal(found.vectors, again.vectors)


def test_items_are_worked_on_in_parts_each_with_its_own_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(application, "ITEMS_AT_ONCE", 1)
    asked: list[tuple[int, int]] = []

    def noted(classes: np.ndarray, seed: int) -> np.ndarray:
        asked.append((len(classes), seed))
        return near_class(classes, seed)

    config, classes = SyntheticItemsConfig(ratio=3, pool=5), CATEGORIES.toarray()
    found = synthesise_items(FEATURES, np.array([4, 5]), classes, noted, config, 7, seed=1)
    assert asked == [(15, 1), (15, 2)]
    second = synthesise_items(FEATURES, np.array([5]), classes, near_class, config, 7, seed=2)
    assert np.array_equal(found.vectors[1:], second.vectors)


def test_best_are_the_largest_in_their_order() -> None:
    scores = np.random.default_rng(0).normal(size=(20, 50)).astype(np.float32)
    for k in (0, 1, 7, 50):
        assert np.array_equal(application._best(scores, k), np.argsort(-scores, axis=1)[:, :k])


def test_users_are_drawn_from_a_softmax_in_parts_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(application, "SCORES_AT_ONCE", 6 * 700)
    train = Sequences.from_lists([[0, 1], [2, 3], [4, 5]] + [[0, 4]] * 2000)
    vectors = np.random.default_rng(1).normal(size=(8, 4)).astype(np.float32)
    config = SyntheticUsersConfig(max_clicks=2, temperature=0.5)
    wanted = np.array([1, 0, 0, 0], np.float32)
    found = synthesise_users(
        train,
        vectors,
        np.zeros((len(train), 2)),
        lambda classes, seed: np.tile(wanted, (len(classes), 1)),
        config,
        seed=3,
    )
    chance = np.exp(vectors[:6, 0] / np.linalg.norm(vectors[:6], axis=1) / 0.5)
    first = np.bincount(found.rows.items[::2], minlength=6) / len(found.rows)
    assert first == pytest.approx(chance / chance.sum(), abs=0.04)


def test_profiles_are_means_of_clicked_vectors() -> None:
    found = user_profiles(TRAIN, FEATURES)
    assert found[1] == pytest.approx((FEATURES[0] + FEATURES[4]) / 2)
    assert not found[3].any()


def test_synthetic_users_click_real_items_like_their_profile() -> None:
    config = SyntheticUsersConfig(max_clicks=3, ratio=20, temperature=0.1)
    classes = user_profiles(TRAIN, CATEGORIES.toarray())
    tail_only = np.zeros_like(classes)
    tail_only[:, 1] = 1
    found = synthesise_users(TRAIN, FEATURES, tail_only, near_class, config, seed=2)
    assert len(found.rows) == 40
    assert sorted(set(found.like.tolist())) == [1, 4]
    assert np.array_equal(found.rows.lengths, TRAIN.lengths[found.like])
    # Item 6 has no vector and item 7 no training click.
    assert set(found.rows.items.tolist()) <= {0, 1, 2, 3, 4, 5}
    assert (COUNTS[found.rows.items] > 0).all()
    for row in range(40):
        assert len(set(found.rows.row(row).tolist())) == found.rows.lengths[row]
    first_clicks = found.rows.items[found.rows.offsets[:-1]]
    assert np.isin(first_clicks, [4, 5]).mean() > 0.9
    assert len(found.first(0.5)) == 20
    assert len(found.first(0.0)) == 0


def test_a_ratio_below_one_enlarges_some_and_times_come_along() -> None:
    timed = Sequences(TRAIN.offsets, TRAIN.items, np.arange(len(TRAIN.items)))
    config = SyntheticUsersConfig(max_clicks=4, ratio=0.34)
    classes = user_profiles(TRAIN, CATEGORIES.toarray())
    found = synthesise_users(timed, FEATURES, classes, near_class, config, seed=0)
    assert len(found.rows) == 1
    assert found.rows.times is not None
    copied = timed.take(found.like).times
    assert copied is not None
    assert np.array_equal(found.rows.times, copied)


def test_synthesis_of_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match="needs items or users"):
        validate(SynthesisUseConfig, {}, "test")

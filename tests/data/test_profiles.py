"""User profiles: TF-IDF of what was clicked, and counts of clicks, against plain loops."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from crossrec.data.profiles import behaviour, item_words, user_words
from crossrec.types import Sequences

TEXTS = ["red wool scarf", "blue wool hat", "red cotton shirt", "", "green silk secret", "blue silk tie"]
COUNTS = np.array([3, 2, 1, 1, 0, 2])


def test_rows_have_unit_length_and_empty_texts_none() -> None:
    words = item_words(TEXTS, COUNTS, 100)
    length = np.asarray(words.weights_NV.multiply(words.weights_NV).sum(1)).ravel()
    assert length[[0, 1, 2, 5]] == pytest.approx(1)
    assert length[3] == 0


def test_words_of_items_without_a_training_click_are_not_learned() -> None:
    words = item_words([*TEXTS, "secret"], np.append(COUNTS, 0), 100)
    assert "secret" not in words.words
    assert "green" not in words.words
    assert {"red", "wool", "blue"} <= set(words.words)


def test_chinese_texts_have_words() -> None:
    words = item_words(["红色羊毛围巾", "蓝色羊毛帽", "红色棉衬衫", "绿茶", "蓝茶"], np.ones(5), 100)
    assert "红" in words.words
    assert words.weights_NV.shape == (5, len(words.words))


@pytest.mark.parametrize("texts", [["", " "], ["1 2", "3"]])
def test_a_catalogue_without_words_has_an_empty_vocabulary(texts: list[str]) -> None:
    words = item_words(texts, np.ones(2), 10)
    assert words.weights_NV.shape == (2, 0)
    assert user_words(Sequences.from_lists([[0, 1]]), words).shape == (1, 0)


def test_a_user_is_the_mean_of_the_clicked_texts() -> None:
    words = item_words(TEXTS, COUNTS, 100)
    train = Sequences.from_lists([[0, 1, 0], [], [3], [5]])
    dense, found = words.weights_NV.toarray(), user_words(train, words).toarray()
    assert found[0] == pytest.approx((2 * dense[0] + dense[1]) / 3, abs=1e-6)
    assert not found[1].any()
    assert not found[2].any()
    assert found[3] == pytest.approx(dense[5], abs=1e-6)


@given(
    rows=st.lists(st.lists(st.integers(0, 7), max_size=9), min_size=1, max_size=6),
    seed=st.integers(0, 5),
)
def test_behaviour_matches_a_plain_loop(rows: list[list[int]], seed: int) -> None:
    generator = np.random.default_rng(seed)
    member = generator.random((8, 3)) < 0.5
    train = Sequences.from_lists(rows)
    train = Sequences(train.offsets, train.items, np.arange(len(train.items)) * 86_400)
    found = behaviour(train, csr_matrix(member.astype(np.float32)), 0.3)
    values = dict(zip(found.names, found.values_UF.T, strict=True))
    for user, row in enumerate(rows):
        assert values["clicks"][user] == len(row)
        assert values["distinct_items"][user] == len(set(row))
        assert values["distinct_categories"][user] == member[row].any(0).sum() if row else True
        assert values["repeats"][user] == pytest.approx((len(row) - len(set(row))) / max(len(row), 1))
        assert 0 <= values["share_of_tail"][user] <= 1
        if "days_active" in values:
            assert values["days_active"][user] == max(len(row) - 1, 0)
            last = len(train.items) - int(train.offsets[user + 1])
            assert values["days_since_last"][user] == (last if row else 0)


def test_no_times_no_ages() -> None:
    found = behaviour(Sequences.from_lists([[0, 1]]), csr_matrix(np.ones((2, 1), np.float32)), 0.2)
    assert "days_active" not in found.names


def test_the_log_stays_as_it_is() -> None:
    train = Sequences.from_lists([[3, 1, 3, 0], [2, 2, 1]])
    behaviour(train, csr_matrix(np.ones((4, 1), np.float32)), 0.2)
    user_words(train, item_words(TEXTS[:4], COUNTS[:4], 10))
    assert train.items.tolist() == [3, 1, 3, 0, 2, 2, 1]
    assert train.offsets.tolist() == [0, 4, 7]

"""Resampling: weights do what they say, rows come as often as expected, epochs differ, seeds repeat."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from crossrec.augment.resample import ResampleConfig, Resampler, build_resampler
from crossrec.types import ABSENT, InputError, Sequences

TRAIN = Sequences.from_lists([[0, 1, 0, 1, 0, 1, 0, 1], [0, 1], [2, 3], [4], [], [0, 2]])
CATEGORIES = csr_matrix(np.array([[1, 0], [1, 0], [0, 1], [0, 1], [0, 0]], np.float32))


def expected(**powers: float) -> np.ndarray:
    return build_resampler(ResampleConfig(**powers), TRAIN, CATEGORIES, seed=0).expected_U


def test_without_weights_every_usable_row_comes_once() -> None:
    assert expected() == pytest.approx([1, 1, 1, 0, 0, 1])


@pytest.mark.parametrize("switch", ["category", "popularity", "activity"])
def test_an_epoch_holds_as_many_clicks_as_the_log(switch: str) -> None:
    assert (expected(**{switch: 1.0}) * TRAIN.lengths).sum() == pytest.approx(14)


def test_activity_1_gives_users_the_same_share_of_clicks() -> None:
    clicks = expected(activity=1.0) * TRAIN.lengths
    assert clicks[[0, 1, 2, 5]] == pytest.approx(3.5)


def test_popularity_1_weights_rows_by_the_mean_inverse_count() -> None:
    # Training clicks: 6, 5, 2, 1 and 1; row 2 holds items 2 and 3, row 1 items 0 and 1.
    found = expected(popularity=1.0)
    assert found[2] / found[1] == pytest.approx((1 / 2 + 1 / 1) / (1 / 6 + 1 / 5))


def test_category_1_weights_rows_by_the_mean_inverse_clicks_of_the_category() -> None:
    found = expected(category=1.0)  # 11 clicks on the first category, 3 on the second, 1 on none
    assert found[2] / found[1] == pytest.approx((1 / 3) / (1 / 11))
    assert found[5] / found[1] == pytest.approx((1 / 11 + 1 / 3) / 2 / (1 / 11))


def test_segments_even_out() -> None:
    segments = np.array([0, 0, 1, 1, ABSENT, 0])
    resampler = build_resampler(ResampleConfig(segment=1.0), TRAIN, CATEGORIES, 0, segments)
    assert resampler.weights_U == pytest.approx([1 / 3, 1 / 3, 1 / 2, 0, 0, 1 / 3])


@given(
    weights=st.lists(st.floats(0.01, 100), min_size=1, max_size=20),
    cap=st.floats(1, 5),
    epoch=st.integers(0, 50),
)
def test_rows_come_as_often_as_expected_up_to_rounding(weights: list[float], cap: float, epoch: int) -> None:
    lengths = np.arange(2, 2 + len(weights))
    resampler = Resampler(np.array(weights), lengths, 3, cap)
    wanted = resampler.expected_U
    times = np.bincount(resampler.rows(epoch), minlength=len(weights))
    assert wanted.max() <= cap * (1 + 1e-9)
    assert (wanted * lengths).sum() == pytest.approx(lengths.sum())
    assert (np.abs(times - wanted) < 1 + 1e-9).all()


def test_draws_hang_on_seed_and_epoch_alone() -> None:
    def rows(seed: int, epoch: int) -> list[int]:
        config = ResampleConfig(activity=0.7, popularity=0.5)
        return build_resampler(config, TRAIN, CATEGORIES, seed).rows(epoch).tolist()

    assert rows(1, 4) == rows(1, 4)
    assert len({tuple(rows(1, epoch)) for epoch in range(20)}) > 1
    mean = np.mean([np.bincount(rows(1, e), minlength=6) for e in range(2000)], axis=0)
    assert mean == pytest.approx(expected(activity=0.7, popularity=0.5), abs=0.05)


def test_what_is_missing_is_named() -> None:
    with pytest.raises(InputError, match="no item of the catalogue has a category"):
        build_resampler(ResampleConfig(category=1), TRAIN, csr_matrix((5, 2), dtype=np.float32), 0)
    with pytest.raises(InputError, match="give the section 'segments'"):
        build_resampler(ResampleConfig(segment=1), TRAIN, CATEGORIES, 0)
    with pytest.raises(InputError, match="no user has two training clicks"):
        build_resampler(ResampleConfig(activity=1), Sequences.from_lists([[0], []]), CATEGORIES, 0)


def test_switches_that_are_on_are_named() -> None:
    assert ResampleConfig(category=0.5, activity=1).active == ("category 0.5", "activity 1")

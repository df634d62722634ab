"""Intervals: do they hold the truth as often as they say, and are they reproducible."""

import numpy as np
import pytest

from crossrec.evaluation import bootstrap
from crossrec.evaluation.bootstrap import estimate_difference, estimate_means, resample_weights


def test_intervals_hold_the_true_mean_about_95_times_in_100() -> None:
    rng = np.random.default_rng(0)
    held = 0
    for seed in range(200):
        sample = rng.exponential(2.0, size=80)
        low, high = estimate_means({"x": sample}, 400, seed)["x"]["ci95"]
        held += low <= 2.0 <= high
    assert 0.91 <= held / 200 <= 0.99


def test_intervals_hold_rare_hits_and_sparse_differences() -> None:
    rng = np.random.default_rng(2)
    rare, sparse, n_samples = 0, 0, 300
    for seed in range(n_samples):
        # A reciprocal rank that is 0 for 75 % of 60 users.
        hit, rank = rng.random((2, 60)) < 0.25, 1 / rng.integers(1, 11, (2, 60))
        values = hit * rank
        low, high = estimate_means({"mrr": values[0]}, 400, seed)["mrr"]["ci95"]
        rare += bool(np.isnan(low)) or bool(low <= 0.25 * np.mean(1 / np.arange(1, 11)) <= high)
        low, high = estimate_difference(values[0] - values[1])["ci95"]
        sparse += low <= 0 <= high
    # 300 samples of an interval of 95 % have a standard deviation of .013.
    assert rare / n_samples >= 0.915
    assert sparse / n_samples >= 0.915


def test_the_interval_of_a_difference_is_student_s() -> None:
    found = estimate_difference(np.array([1.0, 2.0, 4.0, np.nan]))
    reach = 4.302653 * np.std([1, 2, 4], ddof=1) / 3**0.5
    assert found["ci95"] == pytest.approx([7 / 3 - reach, 7 / 3 + reach])
    assert (found["value"], found["n_users"]) == (pytest.approx(7 / 3), 3)


def test_no_interval_where_users_do_not_differ() -> None:
    for n_hits, there in ((0, False), (14, False), (15, True), (60, False)):
        found = estimate_means({"hit": np.repeat([1.0, 0.0], [n_hits, 60 - n_hits])}, 100, 0)["hit"]
        assert np.isnan(found["ci95"]).any() != there, n_hits
    assert np.isnan(estimate_difference(np.zeros(60))["ci95"]).all()
    assert np.isnan(estimate_difference(np.zeros(0))["ci95"]).all()


def test_interval_of_a_mean_has_the_normal_width() -> None:
    sample = np.random.default_rng(1).normal(size=2000)
    low, high = estimate_means({"x": sample}, 2000, 0)["x"]["ci95"]
    assert (high - low) == pytest.approx(2 * 1.96 * sample.std() / np.sqrt(len(sample)), rel=0.06)


def test_users_without_a_value_are_left_out_and_counted() -> None:
    found = estimate_means({"x": np.array([1.0, np.nan, 3.0]), "none": np.full(3, np.nan)}, 50, 0)
    assert found["x"]["value"] == 2.0
    assert found["x"]["n_users"] == 2
    assert found["none"]["n_users"] == 0
    assert np.isnan([found["none"]["value"], *found["none"]["ci95"]]).all()


def test_no_resamples_no_interval() -> None:
    found = estimate_means({"x": np.arange(5.0)}, 0, 0)["x"]
    assert found["value"] == 2.0
    assert np.isnan(found["ci95"]).all()


def test_the_same_seed_gives_the_same_resamples_however_chunked(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = np.concatenate(list(resample_weights(7, 20, 3, seed=5)))
    monkeypatch.setattr(bootstrap, "CHUNK_CELLS", 30)
    chunks = list(resample_weights(7, 20, 3, seed=5))
    assert len(chunks) > 1
    np.testing.assert_array_equal(whole, np.concatenate(chunks))
    assert (whole.sum(1) == 7).all()
    assert not np.array_equal(whole, np.concatenate(list(resample_weights(7, 20, 3, seed=6))))

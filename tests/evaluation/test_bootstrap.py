"""Intervals: do they hold the truth as often as they say, and are they reproducible."""

import numpy as np
import pytest

from crossrec.evaluation import bootstrap
from crossrec.evaluation.bootstrap import estimate_means, resample_weights


def test_intervals_hold_the_true_mean_about_95_times_in_100() -> None:
    rng = np.random.default_rng(0)
    held = 0
    for seed in range(200):
        sample = rng.exponential(2.0, size=80)
        low, high = estimate_means({"x": sample}, 400, seed)["x"]["ci95"]
        held += low <= 2.0 <= high
    # Skewed and small: the percentile bootstrap holds it a little less often than it says.
    assert 0.88 <= held / 200 <= 0.99


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

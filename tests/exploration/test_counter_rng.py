"""Counter-based random numbers: the same whatever the batch, even, and independent of each other."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from crossrec.exploration.counter_rng import CounterRng, Stream


def test_numbers_do_not_depend_on_the_batch() -> None:
    draws = CounterRng(3, 2)
    users = np.arange(50)
    whole = draws.uniform(Stream.CLICK, users, np.arange(7))
    order = np.random.default_rng(0).permutation(50)
    parts = [draws.uniform(Stream.CLICK, order[i : i + 9], np.arange(7)) for i in range(0, 50, 9)]
    np.testing.assert_array_equal(np.concatenate(parts), whole[order])
    per_user = draws.uniform(Stream.CLICK, users, np.tile(np.arange(7), (50, 1)))
    np.testing.assert_array_equal(per_user, whole)


def test_other_seeds_rounds_and_streams_give_other_numbers() -> None:
    users, index = np.arange(200), np.arange(5)
    base = CounterRng(0, 0).uniform(Stream.CLICK, users, index).ravel()
    others = [
        CounterRng(1, 0).uniform(Stream.CLICK, users, index),
        CounterRng(0, 1).uniform(Stream.CLICK, users, index),
        CounterRng(0, 0).uniform(Stream.BUY, users, index),
    ]
    for other in others:
        assert abs(np.corrcoef(base, other.ravel())[0, 1]) < 0.12


@pytest.mark.parametrize("axis", ["users", "index", "seeds"])
def test_numbers_are_even(axis: str) -> None:
    zero, many = np.zeros(1, int), np.arange(20_000)
    if axis == "users":
        values = CounterRng(5, 0).uniform(Stream.VISIT, many, zero).ravel()
    elif axis == "index":
        values = CounterRng(5, 0).uniform(Stream.VISIT, zero, many).ravel()
    else:
        values = np.asarray([CounterRng(s, 0).uniform(Stream.VISIT, zero, zero)[0, 0] for s in range(2000)])
    assert stats.kstest(values, "uniform").pvalue > 1e-3
    assert abs(np.corrcoef(values[1:], values[:-1])[0, 1]) < 5 / np.sqrt(len(values))


def test_normal_and_gumbel_numbers_have_their_distributions() -> None:
    draws, users, index = CounterRng(1, 1), np.arange(5000), np.arange(2)
    assert stats.kstest(draws.normal(Stream.DRIFT, users, index).ravel(), "norm").pvalue > 1e-3
    assert stats.kstest(draws.gumbel(Stream.DRIFT, users, index).ravel(), "gumbel_r").pvalue > 1e-3

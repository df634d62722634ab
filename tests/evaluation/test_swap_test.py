"""The swap test of exposure metrics: its level, its power, and what it does not depend on."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from crossrec.evaluation.comparison.exposure import needed_resamples, swap_test
from crossrec.evaluation.metrics import AGGREGATE
from crossrec.evaluation.metrics.exposure import UserLists

N_ITEMS, N_USERS, K = 60, 30, 4
METRICS = list(AGGREGATE)
POPULAR = 1.5 * -np.log(np.arange(1, N_ITEMS + 1))


def draw(rng: np.random.Generator, noise: float = 1.0, n_users: int = N_USERS) -> np.ndarray:
    """(U, K) lists by popularity and noise."""
    score = POPULAR + noise * rng.gumbel(size=(n_users, N_ITEMS))
    return np.argsort(-score, axis=1)[:, :K]


def lists_of(ids_UK: np.ndarray) -> UserLists:
    items, column = np.unique(ids_UK, return_inverse=True)
    n_users = len(ids_UK)
    rows = np.repeat(np.arange(n_users), K)
    shown = csr_matrix((np.ones(len(rows)), (rows, column.ravel())), shape=(n_users, len(items)))
    return UserLists(shown, np.ones(n_users), items)


def p_of(first: np.ndarray, second: np.ndarray, n_swaps: int = 19, seed: int = 0) -> dict[str, float]:
    found = swap_test([lists_of(first)], [lists_of(second)], METRICS, N_ITEMS, K, n_swaps, seed)
    return {str(name): p for name, p in found.items()}


@pytest.mark.parametrize("renamed", [False, True])
def test_equal_systems_are_told_apart_in_one_of_twenty_samples(renamed: bool) -> None:
    # Renamed: the second system shows other items in the same way, so the two are not exchangeable.
    rng = np.random.default_rng(4)
    names = rng.permutation(N_ITEMS) if renamed else np.arange(N_ITEMS)
    found = [p_of(draw(rng), names[draw(rng)], seed=seed) for seed in range(300)]
    for name in METRICS:
        size = np.mean([p[name] <= 0.05 + 1e-9 for p in found])
        # 300 samples of a test at .05 have a standard deviation of .013.
        assert size <= 0.09, (name, size)
        assert size >= 0.01, (name, size)


def test_a_noisier_system_is_told_apart() -> None:
    rng = np.random.default_rng(5)
    found = p_of(draw(rng, 0.5, 200), draw(rng, 1.5, 200), n_swaps=199)
    assert all(p == pytest.approx(1 / 200) for p in found.values()), found


def test_equal_lists_have_p_one_and_one_user_has_none() -> None:
    ids = draw(np.random.default_rng(6))
    assert set(p_of(ids, ids).values()) == {1.0}
    assert np.isnan(list(p_of(ids[:1], ids[:1]).values())).all()


def test_neither_the_order_of_systems_nor_of_seeds_of_one_list_matters() -> None:
    rng = np.random.default_rng(7)
    first, second = draw(rng), draw(rng, 1.2)
    assert p_of(first, second, 99) == p_of(second, first, 99)
    one, many = [lists_of(second)], [lists_of(first), lists_of(first), lists_of(first)]
    several = swap_test(many, one, METRICS, N_ITEMS, K, 99, 0)
    assert {str(name): p for name, p in several.items()} == p_of(first, second, 99)


def test_the_fewest_swaps_leave_the_corrected_p_below_the_level() -> None:
    for comparisons in (1, 2, 6, 7):
        fewest = needed_resamples(comparisons)
        assert comparisons / (1 + fewest) < 0.05 <= comparisons / fewest

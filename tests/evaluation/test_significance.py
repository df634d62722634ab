"""Paired tests against all sign flips; corrections and effect sizes against their definitions."""

import math
from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import t as student

from crossrec.evaluation import significance
from crossrec.evaluation.significance import effect_size, holm, p_values, randomisation

SEED = 0
differences = st.lists(st.integers(-4, 4).map(lambda x: x / 4), min_size=2, max_size=8)
several = st.lists(st.floats(0, 1), min_size=1, max_size=7)


def column(values: list[float]) -> np.ndarray:
    return np.array(values, dtype=float)[:, None]


def exact_randomisation(values: list[float]) -> float:
    sums = [
        abs(sum(s * v for s, v in zip(signs, values, strict=True)))
        for signs in product((1, -1), repeat=len(values))
    ]
    return sum(total >= abs(sum(values)) - 1e-9 for total in sums) / len(sums)


@settings(deadline=None, max_examples=25)
@given(differences)
def test_randomisation_agrees_with_all_sign_flips(values: list[float]) -> None:
    found = randomisation(column(values), 4000, SEED)[0]
    exact = exact_randomisation(values)
    assert found == pytest.approx(exact, abs=5 * math.sqrt(exact * (1 - exact) / 4000) + 1e-3)


def test_paired_t_follows_its_formula() -> None:
    values = np.array([0.3, -0.1, 0.7, 0.45, -0.2, 0.9])
    t = values.mean() / (values.std(ddof=1) / math.sqrt(6))
    assert p_values("t", values[:, None], 1, SEED)[0] == pytest.approx(2 * student.sf(abs(t), 5))


@pytest.mark.parametrize("test", ["t", "randomisation"])
def test_users_without_a_value_are_left_out(test: significance.TestName) -> None:
    values = np.random.default_rng(1).normal(0.3, 1, size=(40, 1))
    gaps = np.insert(values, [5, 20], np.nan, axis=0)
    np.testing.assert_allclose(
        p_values(test, gaps, 3000, SEED), p_values(test, values, 3000, SEED), atol=0.03
    )
    assert p_values(test, np.zeros((9, 1)), 50, SEED)[0] == 1
    assert np.isnan(p_values(test, np.full((9, 1), np.nan), 50, SEED)[0])


@pytest.mark.parametrize("test", ["t", "randomisation"])
def test_no_difference_is_found_as_seldom_as_promised_and_a_real_one_nearly_always(
    test: significance.TestName,
) -> None:
    noise = np.random.default_rng(2).laplace(size=(60, 400))
    false = (p_values(test, noise, 400, SEED) < 0.05).mean()
    assert 0.02 <= false <= 0.085  # 0.05 with a standard error of 0.011
    assert (p_values(test, noise + 1.2, 400, SEED) < 0.05).mean() > 0.95


def test_permutations_do_not_hang_on_chunks_or_neighbours(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(3).normal(0.2, 1, size=(30, 3))
    whole = randomisation(values, 500, SEED)
    monkeypatch.setattr(significance, "CHUNK_CELLS", 2000)
    np.testing.assert_allclose(randomisation(values, 500, SEED), whole, atol=0.06)
    np.testing.assert_array_equal(randomisation(values, 500, SEED), randomisation(values, 500, SEED))


def holm_oracle(ps: list[float]) -> list[float]:
    order = sorted(range(len(ps)), key=lambda i: ps[i])
    result, running = [0.0] * len(ps), 0.0
    for place, i in enumerate(order):
        running = max(running, min(1.0, (len(ps) - place) * ps[i]))
        result[i] = running
    return result


@given(several)
def test_holm_matches_the_oracle(ps: list[float]) -> None:
    found = holm(np.array(ps))
    np.testing.assert_allclose(found, holm_oracle(ps))
    padded = holm(np.array([math.nan, *ps, math.nan]))
    np.testing.assert_allclose(padded[1:-1], found)
    assert np.isnan(padded[[0, -1]]).all()


@settings(deadline=None)
@given(differences)
def test_effect_sizes_match_their_definitions(values: list[float]) -> None:
    found = effect_size(np.array([*values, math.nan]))
    mean = sum(values) / len(values)
    deviation = math.sqrt(sum((v - mean) ** 2 for v in values) / (len(values) - 1))
    if len(set(values)) > 1:
        assert found.cohen_dz == pytest.approx(mean / deviation)
    else:
        assert math.isnan(found.cohen_dz)
    assert found.share_higher == pytest.approx(sum(v > 0 for v in values) / len(values))
    assert found.share_lower == pytest.approx(sum(v < 0 for v in values) / len(values))
    changed = [v for v in values if v]
    rank = [
        sum(abs(w) < abs(v) for w in changed) + (1 + sum(abs(w) == abs(v) for w in changed)) / 2
        for v in changed
    ]
    signed = sum(r * math.copysign(1, v) for r, v in zip(rank, changed, strict=True))
    assert found.rank_biserial == pytest.approx(signed / sum(rank) if changed else 0)


def test_all_alike_moves_are_the_largest_effect() -> None:
    for a, b in combinations((0.1, 0.2, 0.4), 2):
        assert effect_size(np.array([a, b])).rank_biserial == 1
        assert effect_size(np.array([-a, -b])).rank_biserial == -1

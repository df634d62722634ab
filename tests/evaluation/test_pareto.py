"""The front, the hypervolume and the choice against slow definitions."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossrec.evaluation.pareto import hypervolume, pareto_front, pick

# Few values, so that ties and duplicates are common.
points = st.lists(st.tuples(st.integers(-3, 6), st.integers(-3, 6)), max_size=9).map(
    lambda rows: np.asarray(rows, dtype=float).reshape(-1, 2)
)


def beats(a: np.ndarray, b: np.ndarray) -> bool:
    return bool((a >= b).all() and (a > b).any())


@settings(deadline=None, max_examples=60)
@given(points)
def test_front_is_what_no_point_beats_with_the_first_of_equals(points_P2: np.ndarray) -> None:
    expected = [
        i
        for i, point in enumerate(points_P2)
        if not any(beats(other, point) for other in points_P2)
        and not any((other == point).all() for other in points_P2[:i])
    ]
    front = pareto_front(points_P2)
    assert sorted(front.tolist()) == expected
    assert (np.diff(points_P2[front, 0]) < 0).all()
    assert (np.diff(points_P2[front, 1]) > 0).all()


@settings(deadline=None, max_examples=60)
@given(points)
def test_front_leaves_out_what_is_not_known(points_P2: np.ndarray) -> None:
    with_nan = np.concatenate([[[np.nan, 99.0]], points_P2, [[99.0, np.nan]]])
    assert (pareto_front(with_nan) - 1).tolist() == pareto_front(points_P2).tolist()


def union_of_rectangles(points_P2: np.ndarray, reference: tuple[float, float]) -> float:
    """Inclusion and exclusion over all subsets."""
    sides = np.clip(points_P2 - np.asarray(reference), 0, None)
    total = 0.0
    for size in range(1, len(sides) + 1):
        for chosen in itertools.combinations(sides, size):
            total += (-1) ** (size + 1) * float(np.min(chosen, axis=0).prod())
    return total


@settings(deadline=None, max_examples=60)
@given(points, st.integers(-4, 3), st.integers(-4, 3))
def test_hypervolume_is_the_area_of_the_union(points_P2: np.ndarray, x: int, y: int) -> None:
    assert hypervolume(points_P2, (x, y)) == pytest.approx([union_of_rectangles(points_P2, (x, y))])


@settings(deadline=None, max_examples=60)
@given(points)
def test_hypervolume_needs_the_front_alone_and_no_order(points_P2: np.ndarray) -> None:
    whole = hypervolume(points_P2, (-4, -4))
    assert hypervolume(points_P2[pareto_front(points_P2)], (-4, -4)) == pytest.approx(whole)
    assert hypervolume(points_P2[::-1], (-4, -4)) == pytest.approx(whole)


def test_many_sets_at_once_are_each_set_alone() -> None:
    rng = np.random.default_rng(0)
    sets_RP2 = rng.normal(size=(20, 7, 2))
    sets_RP2[3, 2, 0] = np.nan
    alone = [hypervolume(set_P2, (-0.5, 0.1))[0] for set_P2 in sets_RP2]
    np.testing.assert_allclose(hypervolume(sets_RP2, (-0.5, 0.1)), alone)


def test_hypervolume_against_random_darts() -> None:
    rng = np.random.default_rng(1)
    points_P2 = rng.uniform(size=(6, 2))
    darts_T2 = rng.uniform(size=(200_000, 2))
    below_TP = np.all(darts_T2[:, None] <= points_P2[None], axis=2)
    share = np.any(below_TP, axis=1).mean()
    # Standard error of the share is at most 0.0011.
    assert hypervolume(points_P2, (0, 0))[0] == pytest.approx(share, abs=0.005)


@settings(deadline=None, max_examples=60)
@given(points, st.integers(0, 3))
def test_pick_keeps_the_budget_and_nothing_within_it_scores_more(points_P2: np.ndarray, budget: int) -> None:
    chosen = pick(points_P2[:, 0], points_P2[:, 1], budget)
    within = [tuple(p) for p in points_P2 if p[0] >= -budget]
    if not within:
        assert chosen is None
        return
    assert chosen is not None
    assert tuple(points_P2[chosen]) == max(within, key=lambda p: (p[1], p[0]))


def test_pick_prefers_the_more_accurate_then_the_first_of_equals() -> None:
    assert pick(np.array([-0.01, 0.0, 0.0]), np.array([1.0, 1.0, 1.0]), 0.01) == 1
    assert pick(np.array([0.0, 0.0]), np.array([np.nan, np.nan]), 0.01) is None


def test_a_loss_of_exactly_the_budget_is_within_it() -> None:
    assert pick(np.array([0.99 * 0.3 / 0.3 - 1]), np.array([1.0]), 0.01) == 0

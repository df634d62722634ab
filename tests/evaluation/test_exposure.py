"""Exposure metrics against plain-Python oracles, without and with several lists a user."""

import math
from collections import Counter
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossrec.evaluation import jackknife
from crossrec.evaluation.bootstrap import estimate_exposure
from crossrec.evaluation.jackknife import leave_one_out
from crossrec.evaluation.metrics import AGGREGATE
from crossrec.evaluation.metrics.exposure import UserLists
from crossrec.evaluation.slices import UserGroups
from crossrec.types import ABSENT

N_ITEMS = 8
PLACES = 4

ranked_lists = st.lists(st.integers(0, N_ITEMS - 1), max_size=PLACES, unique=True).map(
    lambda items: items + [ABSENT] * (PLACES - len(items))
)
lists_of_users = st.lists(st.tuples(ranked_lists, st.integers(0, 4)), min_size=1, max_size=9)


def oracle(rows: list[tuple[list[int], int]], k: int) -> dict[str, float]:
    counts = Counter(i for ranked, _ in rows for i in ranked[:k] if i != ABSENT)
    exposure = sorted(counts[i] for i in range(N_ITEMS))
    total = sum(exposure)
    spread = sum(abs(a - b) for a in exposure for b in exposure)
    pairs = [
        len(set(a[:k]) & set(b[:k]) - {ABSENT}) / k for (a, u), (b, v) in combinations(rows, 2) if u != v
    ]
    entropy = -sum(x / total * math.log(x / total) for x in exposure if x) if total else math.nan
    return {
        "coverage": len(counts) / N_ITEMS,
        "gini": spread / (2 * N_ITEMS * total) if total else math.nan,
        "entropy": entropy,
        "entropy_norm": entropy / math.log(N_ITEMS),
        "personalization": 1 - sum(pairs) / len(pairs) if pairs else math.nan,
    }


def estimate(rows: list[tuple[list[int], int]], k: int, *, intervals: bool = False) -> dict[str, dict]:
    groups = UserGroups.of(np.array([user for _, user in rows]))
    shown = groups.shown(np.array([ranked[:k] for ranked, _ in rows]))
    lists = UserLists(shown, groups.counts)
    found = estimate_exposure(lists, list(AGGREGATE), N_ITEMS, k, intervals=intervals)
    return {name.removesuffix(f"@{k}"): dict(value) for name, value in found.items()}


@given(lists_of_users, st.integers(1, PLACES))
def test_matches_the_oracle(rows: list[tuple[list[int], int]], k: int) -> None:
    found, expected = estimate(rows, k), oracle(rows, k)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(found[name]["value"], value, atol=1e-12, err_msg=name)


def test_everybody_gets_the_same() -> None:
    found = estimate([([0, 1], user) for user in range(5)], 2)
    assert found["personalization"]["value"] == 0
    assert found["coverage"]["value"] == 2 / N_ITEMS
    assert found["entropy"]["value"] == pytest.approx(math.log(2))


def test_one_item_gets_all_and_all_get_the_same() -> None:
    one = estimate([([3], user) for user in range(5)], 1)
    assert one["gini"]["value"] == pytest.approx(1 - 1 / N_ITEMS)
    assert one["entropy"]["value"] == pytest.approx(0, abs=1e-12)
    even = estimate([([user], user) for user in range(N_ITEMS)], 1)
    assert even["gini"]["value"] == pytest.approx(0, abs=1e-12)
    assert even["entropy_norm"]["value"] == pytest.approx(1)
    assert even["coverage"]["value"] == even["personalization"]["value"] == 1


@given(lists_of_users, st.integers(1, PLACES))
def test_intervals_lie_around_the_value_and_in_range(rows: list[tuple[list[int], int]], k: int) -> None:
    for name, entry in estimate(rows, k, intervals=True).items():
        value, (low, high) = entry["value"], entry["ci95"]
        upper = AGGREGATE[name].upper(N_ITEMS)
        if not math.isnan(value) and not math.isnan(low):
            assert 0 <= low <= high <= upper + 1e-12, name


@settings(deadline=None)
@given(lists_of_users, st.integers(1, PLACES))
def test_leaving_out_one_user_is_measuring_the_others(rows: list[tuple[list[int], int]], k: int) -> None:
    groups = UserGroups.of(np.array([user for _, user in rows]))
    shown = groups.shown(np.array([ranked[:k] for ranked, _ in rows]))
    found = leave_one_out(UserLists(shown, groups.counts), list(AGGREGATE), N_ITEMS, k)
    for place, left_out in enumerate(groups.users):
        others = [(ranked, user) for ranked, user in rows if user != left_out]
        expected = oracle(others, k) if others else {"coverage": 0.0}
        for name, value in expected.items():
            np.testing.assert_allclose(found[name][place], value, atol=1e-12, err_msg=name)


def test_the_standard_error_is_the_jackknife_s_by_hand() -> None:
    rows = [([0, 1], 0), ([0, 2], 1), ([3, 4], 2)]
    # Without each user in turn, 4, 4 and 3 of 8 items are shown: mean 11/3, squares 1/9, 1/9, 4/9.
    groups = UserGroups.of(np.arange(3))
    lists = UserLists(groups.shown(np.array([ranked for ranked, _ in rows])), groups.counts)
    found = jackknife.influences(lists, ["coverage"], N_ITEMS, 2)["coverage"]
    assert jackknife.standard_error(found) == pytest.approx(np.sqrt(2 / 3 * (6 / 9) / N_ITEMS**2))
    low, high = estimate(rows, 2, intervals=True)["coverage"]["ci95"]
    assert (low, high) == pytest.approx(
        (5 / 8 - 4.302653 * 2 / 3 / 8, 5 / 8 + 4.302653 * 2 / 3 / 8), abs=1e-6
    )


CONTRACT = ("coverage", "gini", "entropy", "entropy_norm", "personalization")
"""Every exposure metric has a line here."""


def test_every_exposure_metric_keeps_the_contract() -> None:
    assert set(CONTRACT) == {*AGGREGATE}


@pytest.mark.parametrize("name", CONTRACT)
def test_values_without_each_user_are_exact_and_slopes_their_first_order(name: str) -> None:
    generator = np.random.default_rng(0)
    n_users, n_items = 300, 60
    popular_N = 1 / np.arange(1, n_items + 1)
    rows = [generator.choice(n_items, PLACES, False, popular_N / popular_N.sum()) for _ in range(n_users)]
    groups = UserGroups.of(np.arange(n_users))
    lists, metric = UserLists(groups.shown(np.array(rows)), groups.counts), AGGREGATE[name]
    exact_U = leave_one_out(lists, [name], n_items, PLACES)[name]
    for user in (0, 7, 299):
        weights_1U = np.ones((1, n_users))
        weights_1U[0, user] = 0
        assert metric.compute(lists.exposure(weights_1U, n_items, PLACES))[0] == pytest.approx(exact_U[user])
    whole = lists.exposure(np.ones((1, n_users)), n_items, PLACES)
    per_place_RI, per_list_R = metric.slope(whole, n_users)
    moved_U = lists.shown_UI @ per_place_RI[0] + per_list_R[0]
    change_U = metric.compute(whole)[0] - exact_U
    np.testing.assert_allclose(moved_U, change_U, atol=0.05 * np.abs(change_U).max())
    assert metric.compute(whole)[0] <= metric.upper(n_items)

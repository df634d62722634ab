"""alpha-nDCG against a plain-Python oracle that follows the paper's definition item by item."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from crossrec.evaluation.matching import distinct, match_targets
from crossrec.evaluation.metrics import accuracy, rank_aware
from crossrec.types import ABSENT, Sequences

N_ITEMS, N_CATEGORIES, PLACES = 9, 4, 5

ranked_lists = st.lists(st.integers(0, N_ITEMS - 1), max_size=PLACES, unique=True).map(
    lambda items: items + [ABSENT] * (PLACES - len(items))
)
queries = st.lists(
    st.tuples(ranked_lists, st.lists(st.integers(0, N_ITEMS - 1), max_size=6)), min_size=1, max_size=6
)
memberships = st.lists(
    st.lists(st.booleans(), min_size=N_CATEGORIES, max_size=N_CATEGORIES), min_size=N_ITEMS, max_size=N_ITEMS
).map(np.array)


def gain(item: int, above: list[int], categories: list[set[int]]) -> float:
    return sum(0.5 ** sum(c in categories[other] for other in above) for c in categories[item])


def discounted(order: list[int], relevant: set[int], categories: list[set[int]]) -> float:
    total = 0.0
    for rank, item in enumerate(order, start=1):
        if item in relevant:
            above = [other for other in order[: rank - 1] if other in relevant]
            total += gain(item, above, categories) / math.log2(rank + 1)
    return total


def oracle(ranked: list[int], targets: list[int], categories: list[set[int]], k: int) -> float:
    left = sorted(set(targets))
    ideal: list[int] = []
    while left and len(ideal) < k:
        best = max(left, key=lambda item: (gain(item, ideal, categories), -item))
        ideal.append(best)
        left.remove(best)
    best_gain = discounted(ideal, set(targets), categories)
    return discounted(ranked[:k], set(targets), categories) / best_gain if best_gain else math.nan


def measure(rows: list[tuple[list[int], list[int]]], member: np.ndarray, k: int) -> np.ndarray:
    ids = np.array([ranked for ranked, _ in rows])
    targets = distinct(Sequences.from_lists([wanted for _, wanted in rows]), N_ITEMS)
    ranked = match_targets(ids, targets, targets, N_ITEMS)
    return rank_aware.alpha_ndcg(ids, ranked.hits_QK, targets, csr_matrix(member.astype(np.float32)), k)


@settings(deadline=None, max_examples=60)
@given(queries, memberships, st.integers(1, PLACES))
def test_matches_the_oracle(rows: list[tuple[list[int], list[int]]], member: np.ndarray, k: int) -> None:
    categories = [set(np.flatnonzero(row).tolist()) for row in member]
    expected = [oracle(ranked, wanted, categories, k) for ranked, wanted in rows]
    np.testing.assert_allclose(measure(rows, member, k), expected, atol=1e-12)


@settings(deadline=None, max_examples=60)
@given(queries, st.integers(1, PLACES))
def test_equals_ndcg_where_every_item_has_a_category_of_its_own(
    rows: list[tuple[list[int], list[int]]], k: int
) -> None:
    ids = np.array([ranked for ranked, _ in rows])
    targets = Sequences.from_lists([wanted for _, wanted in rows])
    ranked = match_targets(ids, targets, targets, N_ITEMS)
    expected = accuracy.ndcg(ranked.hits_QK, ranked.n_targets_Q, k)
    np.testing.assert_allclose(measure(rows, np.eye(N_ITEMS, dtype=bool), k), expected, atol=1e-12)


def test_a_second_hit_of_the_same_category_is_worth_half() -> None:
    member = np.zeros((N_ITEMS, 2), dtype=bool)
    member[[0, 1], 0], member[2, 1] = True, True
    alike, apart = measure([([0, 1], [0, 1, 2]), ([0, 2], [0, 1, 2])], member, 2)
    assert apart == pytest.approx(1)
    assert alike == pytest.approx((1 + 0.5 / math.log2(3)) / (1 + 1 / math.log2(3)))


def test_chunks_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    rows = [
        (rng.permutation(N_ITEMS)[:PLACES].tolist(), rng.permutation(N_ITEMS)[:4].tolist()) for _ in range(9)
    ]
    member = rng.random((N_ITEMS, N_CATEGORIES)) < 0.4
    whole = measure(rows, member, PLACES)
    monkeypatch.setattr(rank_aware, "CHUNK_CELLS", 2 * N_CATEGORIES)
    np.testing.assert_array_equal(whole, measure(rows, member, PLACES))

"""Expected intra-list distance against a plain-Python oracle."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossrec.evaluation.metrics import rank_aware
from crossrec.evaluation.metrics.diversity import intra_list_distance
from crossrec.types import ABSENT

N_ITEMS, PLACES = 9, 5

ranked_lists = st.lists(st.integers(0, N_ITEMS - 1), max_size=PLACES, unique=True).map(
    lambda items: items + [ABSENT] * (PLACES - len(items))
)
many_lists = st.lists(ranked_lists, min_size=1, max_size=6).map(np.array)
vectors = st.lists(
    st.lists(st.integers(-3, 3), min_size=3, max_size=3), min_size=N_ITEMS, max_size=N_ITEMS
).map(np.array)
masks = st.lists(st.booleans(), min_size=N_ITEMS, max_size=N_ITEMS).map(np.array)


def discount(rank: int) -> float:
    return 1 / math.log2(rank + 1)


def cosine_distance(a: list[float], b: list[float]) -> float:
    dot = sum(x * y for x, y in zip(a, b, strict=True))
    return 1 - dot / math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))


def oracle(row: list[int], points: np.ndarray, present: np.ndarray) -> float:
    usable = [
        (rank, points[item].tolist())
        for rank, item in enumerate(row, start=1)
        if item != ABSENT and present[item] and points[item].any()
    ]
    if len(usable) < 2:
        return math.nan
    total = 0.0
    for rank, here in usable:
        others = [(discount(max(1, other - rank)), there) for other, there in usable if other != rank]
        mean = sum(w * cosine_distance(here, there) for w, there in others) / sum(w for w, _ in others)
        total += discount(rank) * mean
    return total / sum(discount(rank) for rank, _ in usable)


@settings(deadline=None, max_examples=60)
@given(many_lists, vectors, masks, st.integers(1, PLACES))
def test_matches_the_oracle(ids: np.ndarray, points: np.ndarray, present: np.ndarray, k: int) -> None:
    expected = [oracle(row[:k], points, present) for row in ids.tolist()]
    np.testing.assert_allclose(rank_aware.expected_distance(ids, points, present, k), expected, atol=2e-6)


@settings(deadline=None, max_examples=60)
@given(many_lists, masks, st.integers(2, PLACES))
def test_equals_intra_list_distance_where_all_pairs_are_equally_far(
    ids: np.ndarray, present: np.ndarray, k: int
) -> None:
    apart = np.eye(N_ITEMS)
    np.testing.assert_allclose(
        rank_aware.expected_distance(ids, apart, present, k),
        intra_list_distance(ids, apart, present, k),
        atol=1e-6,
    )


def test_a_stranger_counts_more_on_top_than_at_the_end() -> None:
    points = np.array([[1.0, 0.0]] * 4 + [[0.0, 1.0]])
    everything = np.ones(5, dtype=bool)
    top, end = rank_aware.expected_distance(np.array([[4, 0, 1, 2], [0, 1, 2, 4]]), points, everything, 4)
    level = intra_list_distance(np.array([[4, 0, 1, 2]]), points, everything, 4)[0]
    assert top > level > end


def test_chunks_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    ids = np.stack([rng.permutation(N_ITEMS)[:PLACES] for _ in range(20)])
    points, present = rng.normal(size=(N_ITEMS, 3)), rng.random(N_ITEMS) < 0.8
    whole = rank_aware.expected_distance(ids, points, present, PLACES)
    monkeypatch.setattr(rank_aware, "CHUNK_CELLS", 90)
    np.testing.assert_allclose(whole, rank_aware.expected_distance(ids, points, present, PLACES), rtol=1e-12)


def test_a_vector_that_is_not_finite_is_named() -> None:
    points = np.ones((3, 2))
    points[1, 0] = np.nan
    with pytest.raises(ValueError, match="item 1 is not finite"):
        rank_aware.expected_distance(np.array([[0, 1]]), points, np.ones(3, dtype=bool), 2)

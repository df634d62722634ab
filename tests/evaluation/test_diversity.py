"""Diversity inside a list and calibration against plain-Python oracles."""

import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from crossrec.evaluation.metrics import diversity
from crossrec.evaluation.metrics.calibration import SMOOTHING, calibration
from crossrec.types import ABSENT, Sequences

N_ITEMS = 9
N_CATEGORIES = 4
PLACES = 5

ranked_lists = st.lists(st.integers(0, N_ITEMS - 1), max_size=PLACES, unique=True).map(
    lambda items: items + [ABSENT] * (PLACES - len(items))
)
many_lists = st.lists(ranked_lists, min_size=1, max_size=6).map(np.array)
vectors = st.lists(
    st.lists(st.integers(-3, 3), min_size=3, max_size=3), min_size=N_ITEMS, max_size=N_ITEMS
).map(np.array)
masks = st.lists(st.booleans(), min_size=N_ITEMS, max_size=N_ITEMS).map(np.array)
memberships = st.lists(
    st.lists(st.booleans(), min_size=N_CATEGORIES, max_size=N_CATEGORIES), min_size=N_ITEMS, max_size=N_ITEMS
).map(np.array)
lengths = st.integers(1, PLACES)


def mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else math.nan


def cosine_distance(a: list[float], b: list[float]) -> float:
    dot = sum(x * y for x, y in zip(a, b, strict=True))
    return 1 - dot / math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))


@given(many_lists, vectors, masks, lengths)
def test_distance_matches_the_oracle(
    ids: np.ndarray, points: np.ndarray, present: np.ndarray, k: int
) -> None:
    expected = []
    for row in ids.tolist():
        usable = [points[i].tolist() for i in row[:k] if i != ABSENT and present[i] and points[i].any()]
        expected.append(mean([cosine_distance(a, b) for a, b in combinations(usable, 2)]))
    found = diversity.intra_list_distance(ids, points, present, k)
    np.testing.assert_allclose(found, expected, atol=2e-6)


@given(many_lists, memberships, lengths)
def test_category_overlap_matches_the_oracle(ids: np.ndarray, member: np.ndarray, k: int) -> None:
    categories = [set(np.flatnonzero(row).tolist()) for row in member]
    expected = []
    for row in ids.tolist():
        usable = [categories[i] for i in row[:k] if i != ABSENT and categories[i]]
        expected.append(mean([len(a & b) / len(a | b) for a, b in combinations(usable, 2)]))
    sparse = csr_matrix(member.astype(np.float32))
    np.testing.assert_allclose(diversity.category_overlap(ids, sparse, k), expected, atol=1e-6)
    np.testing.assert_allclose(diversity.category_distance(ids, sparse, k), 1 - np.array(expected), atol=1e-6)


def category_shares(items: list[int], categories: list[list[int]]) -> list[float]:
    shares = [0.0] * N_CATEGORIES
    known = [i for i in items if categories[i]]
    for item in known:
        for category in categories[item]:
            shares[category] += 1 / len(categories[item]) / len(known)
    return shares


@given(many_lists, memberships, lengths, st.data())
def test_calibration_matches_the_oracle(
    ids: np.ndarray, member: np.ndarray, k: int, data: st.DataObject
) -> None:
    history = st.lists(st.integers(0, N_ITEMS - 1), max_size=5)
    histories = data.draw(st.lists(history, min_size=len(ids), max_size=len(ids)))
    categories = [np.flatnonzero(row).tolist() for row in member]
    expected = []
    for row, past in zip(ids.tolist(), histories, strict=True):
        p = category_shares(past, categories)
        q = category_shares([i for i in row[:k] if i != ABSENT], categories)
        mixed = [(1 - SMOOTHING) * b + SMOOTHING * a for a, b in zip(p, q, strict=True)]
        kl = sum(a * math.log(a / m) for a, m in zip(p, mixed, strict=True) if a > 0)
        expected.append(kl if sum(p) and sum(q) else math.nan)
    found = calibration(ids, Sequences.from_lists(histories), csr_matrix(member.astype(np.float32)), k)
    np.testing.assert_allclose(found, expected, atol=1e-9)


def test_calibration_is_bounded_by_its_smoothing() -> None:
    categories = csr_matrix(np.eye(2))
    same, other = np.array([[0]]), np.array([[1]])
    history = Sequences.from_lists([[0, 0, 0]])
    assert calibration(same, history, categories, 1)[0] == pytest.approx(0, abs=1e-12)
    assert calibration(other, history, categories, 1)[0] == pytest.approx(-math.log(SMOOTHING))


def test_known_distances() -> None:
    points = np.array([[1.0, 0.0], [0.0, 5.0], [-2.0, 0.0], [3.0, 0.0]])
    everything = np.ones(4, dtype=bool)
    lists = np.array([[0, 3], [0, 1], [0, 2], [0, ABSENT]])
    found = diversity.intra_list_distance(lists, points, everything, 2)
    np.testing.assert_allclose(found, [0, 1, 2, np.nan], atol=1e-6)


def test_chunks_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    ids = np.stack([rng.permutation(N_ITEMS)[:PLACES] for _ in range(20)])
    points, present = rng.normal(size=(N_ITEMS, 3)), rng.random(N_ITEMS) < 0.8
    categories = csr_matrix((rng.random((N_ITEMS, N_CATEGORIES)) < 0.5).astype(np.float32))
    whole = (
        diversity.intra_list_distance(ids, points, present, 5),
        diversity.category_overlap(ids, categories, 5),
    )
    monkeypatch.setattr(diversity, "CHUNK_CELLS", 50)
    parts = (
        diversity.intra_list_distance(ids, points, present, 5),
        diversity.category_overlap(ids, categories, 5),
    )
    np.testing.assert_allclose(whole, parts, rtol=1e-12)


def test_a_vector_that_is_not_finite_is_named() -> None:
    points = np.ones((3, 2))
    points[1, 0] = np.nan
    with pytest.raises(ValueError, match="item 1 is not finite"):
        diversity.intra_list_distance(np.array([[0, 1]]), points, np.ones(3, dtype=bool), 2)
    masked = diversity.intra_list_distance(np.array([[0, 1, 2]]), points, np.array([True, False, True]), 3)
    assert masked[0] == pytest.approx(0, abs=1e-6)

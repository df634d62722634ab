"""Residual k-means and the codes of a catalogue."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from crossrec.model.semantic_ids.quantiser import (
    SemanticIds,
    co_click_map,
    nearest_centroids,
    number_collisions,
    quantised,
    residual_kmeans,
)
from crossrec.types import ABSENT, Sequences


def planted(per_cell: int = 5, noise: float = 0.01) -> tuple[np.ndarray, np.ndarray]:
    """Vectors in 4 x 3 cells, a coarse place plus a finer one, and the cell of each."""
    generator = np.random.default_rng(0)
    coarse, fine = 10 * np.eye(6)[:4], np.eye(6)[3:]
    cells = np.stack(np.unravel_index(np.repeat(np.arange(12), per_cell), (4, 3)), 1)
    vectors = coarse[cells[:, 0]] + fine[cells[:, 1]] + noise * generator.normal(size=(len(cells), 6))
    return vectors.astype(np.float32), cells


def test_planted_levels_are_found() -> None:
    vectors, cells = planted()
    codes = np.column_stack([quantised(vectors, residual_kmeans(vectors, 4, 1, seed)) for seed in range(3)])
    for column in codes.T:
        pairs = np.unique(np.column_stack([column, cells[:, 0]]), axis=0)
        assert len(pairs) == 4, "the first code is the coarse place"
    two = quantised(vectors, residual_kmeans(vectors, 4, 2, 0))
    both = np.unique(np.column_stack([two, cells]), axis=0)
    assert len(both) == len(np.unique(two, axis=0)), "both codes together tell the cell"


def test_further_levels_leave_less() -> None:
    vectors = np.random.default_rng(0).normal(size=(300, 8)).astype(np.float32)
    books = residual_kmeans(vectors, 16, 3, 0)
    codes = quantised(vectors, books)
    rest, errors = vectors.copy(), [float((vectors**2).sum())]
    for level in range(3):
        rest -= books[level][codes[:, level]]
        errors.append(float((rest**2).sum()))
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.2 * errors[0]


def test_no_code_is_unused_while_vectors_differ() -> None:
    # Nearly all vectors are equal: centroids drawn among them would leave codes unused.
    vectors = np.zeros((200, 4), np.float32)
    vectors[:12] = np.random.default_rng(1).normal(size=(12, 4))
    codes, _ = nearest_centroids(vectors, residual_kmeans(vectors, 8, 1, 0)[0])
    assert len(np.unique(codes)) == 8


def test_fewer_vectors_than_codes() -> None:
    vectors = np.eye(3, dtype=np.float32)
    codes = quantised(vectors, residual_kmeans(vectors, 8, 2, 0))
    assert len(np.unique(codes, axis=0)) == 3


def test_codebooks_are_a_function_of_vectors_and_seed() -> None:
    vectors = np.random.default_rng(0).normal(size=(100, 8)).astype(np.float32)
    first, again, other = (residual_kmeans(vectors, 8, 2, seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_collisions_are_numbered_by_clicks() -> None:
    codes = np.asarray([[1, 2], [0, 0], [1, 2], [1, 2], [0, 1]])
    assert number_collisions(codes, np.zeros((0, 3), int), np.asarray([5, 0, 9, 5, 1])).tolist() == [
        1,
        0,
        0,
        2,
        0,
    ]
    taken = np.asarray([[1, 2, 4], [3, 3, 0]])
    assert number_collisions(codes, taken, np.zeros(5)).tolist() == [5, 0, 6, 7, 0]


@pytest.fixture
def ids() -> SemanticIds:
    vectors, _ = planted(per_cell=3, noise=0.0)
    return SemanticIds.fitted(vectors, np.arange(len(vectors)) % 4, 4, 2, seed=0)


def test_every_item_has_its_own_codes(ids: SemanticIds) -> None:
    codes = ids.codes.numpy()
    assert len(np.unique(codes, axis=0)) == len(codes) == 36
    assert len(np.unique(codes[:, :2], axis=0)) == 12
    assert int(ids.trained.sum()) == 27


def test_added_items_get_codes_and_leave_the_others(ids: SemanticIds) -> None:
    vectors, _ = planted(per_cell=1, noise=0.0)
    before = ids.codes.clone()
    ids.append(vectors[:2])
    ids.append(vectors[:1])
    assert torch.equal(ids.codes[:36], before)
    added = ids.codes[36:].tolist()
    assert added[0][:2] == before[0, :2].tolist()
    assert [row[2] for row in added] == [3, 3, 4]
    assert added[2][:2] == added[0][:2]
    assert "added" not in ids.state_dict()


def test_more_collisions_than_numbers_share_the_last(ids: SemanticIds) -> None:
    vectors, _ = planted(per_cell=1, noise=0.0)
    ids.append(np.repeat(vectors[:1], 9, axis=0))
    assert int(ids.codes.max()) == ids.sizes[-1] - 1


def test_rows_without_codes_are_filled_as_if_appended(ids: SemanticIds) -> None:
    vectors, _ = planted(per_cell=3, noise=0.0)
    later = SemanticIds.saved(ids.state_dict(), ids.sizes[-1])
    later.table[5] = ABSENT
    assert later.unfilled.tolist() == [5]
    later.fill(later.unfilled, vectors[5:6])
    assert later.table[5, :2].tolist() == ids.table[5, :2].tolist()
    assert len(later.unfilled) == 0


def test_co_clicks_decide_what_is_alike() -> None:
    """Content has a loud direction that no click follows, and a faint one that all do."""
    generator = np.random.default_rng(0)
    kind, noise = np.arange(40) % 2, np.arange(40) // 20
    content = np.stack([6 * noise - 3, 4 * kind - 2, generator.normal(0, 0.1, 40)], 1)
    content = content.astype(np.float32)
    rows = [generator.choice(np.flatnonzero(kind == user % 2), 6, replace=False) for user in range(60)]
    train = Sequences.from_lists(rows)
    before = train.items.copy()
    by_clicks = co_click_map(content, train)
    assert (train.items == before).all()
    counts = np.bincount(train.items, minlength=40)
    loud = SemanticIds.fitted(content, counts, 2, 1, seed=0).codes[:, 0]
    faint = SemanticIds.fitted(content, counts, 2, 1, seed=0, map_WV=by_clicks)
    assert len(np.unique(loud[noise == 0])) == 1
    assert [len(np.unique(faint.codes[kind == k, 0])) for k in (0, 1)] == [1, 1]
    faint.append(content[:2])
    assert torch.equal(faint.codes[40:, 0], faint.codes[:2, 0])

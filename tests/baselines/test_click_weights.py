"""Weights of clicks: as many clicks to what counts clicks, the largest one where items are distinct."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from crossrec.baselines import BASELINES
from crossrec.baselines.base import distinct_matrix, history_matrix
from crossrec.data.item_table import ItemTable
from crossrec.types import Sequences

N = 8
DAY = 86_400


def log(seed: int = 0) -> Sequences:
    rng = np.random.default_rng(seed)
    rows = Sequences.from_lists(rng.integers(0, N, size=rng.integers(3, 7)) for _ in range(40))
    times = 1_600_000_000 + DAY * rng.integers(0, 100, len(rows.items))
    weights = rng.choice([1, 2, 5], len(rows.items)).astype(np.float32)
    return replace(rows, times=times, weights=weights)


def repeated(clicks: Sequences) -> Sequences:
    """Each click as often as its weight says."""
    assert clicks.weights is not None
    times = clicks.weights.astype(int)
    lengths = np.bincount(clicks.row_of_click, weights=times, minlength=len(clicks)).astype(int)
    at = np.repeat(np.arange(len(clicks.items)), times)
    return replace(clicks.at(at, np.concatenate([[0], np.cumsum(lengths)])), weights=None)


def differ(some: np.ndarray, others: np.ndarray) -> bool:
    both = np.isfinite(some) & np.isfinite(others)
    return bool(np.abs(some[both] - others[both]).max() > 1e-3)


def test_matrices_sum_weights_or_take_the_largest() -> None:
    clicks = replace(Sequences.from_lists([[3, 1, 3], [1]]), weights=np.array([5, 2, 1, 4], np.float32))
    assert history_matrix(clicks, 4).toarray().tolist() == [[0, 2, 0, 6], [0, 4, 0, 0]]
    assert distinct_matrix(clicks, 4).toarray().tolist() == [[0, 2, 0, 5], [0, 4, 0, 0]]
    assert distinct_matrix(replace(clicks, weights=None), 4).toarray().max() == 1


@pytest.mark.parametrize(
    "options",
    [
        {"type": "popularity"},
        {"type": "recent_popularity"},
        {"type": "item_knn", "similarity": "bm25"},
        {"type": "item_knn", "similarity": "pearson"},
        {"type": "als", "factors": 4, "iterations": 3},
    ],
    ids=lambda options: str(options["type"]),
)
def test_a_weight_counts_as_so_many_clicks(options: dict[str, Any]) -> None:
    items = ItemTable.of_size(N)
    train, histories = log(0), log(1)
    weighted, copied, plain = (
        BASELINES.parse(options).build(items).fit(clicks).score(asked).numpy()
        for clicks, asked in (
            (train, histories),
            (repeated(train), repeated(histories)),
            (replace(train, weights=None), replace(histories, weights=None)),
        )
    )
    np.testing.assert_allclose(weighted, copied, rtol=1e-4, atol=1e-5)
    assert differ(weighted, plain)


@pytest.mark.parametrize("name", ["ease", "user_knn"])
def test_distinct_items_have_their_largest_weight(name: str) -> None:
    items, train = ItemTable.of_size(N), log(0)
    found = {
        scale: BASELINES.parse({"type": name}).build(items).fit(clicks).score(train).numpy()
        for scale, clicks in {
            "weighted": train,
            "ones": replace(train, weights=np.ones_like(train.weights)),
            "none": replace(train, weights=None),
        }.items()
    }
    np.testing.assert_array_equal(found["ones"], found["none"])
    assert differ(found["weighted"], found["none"])

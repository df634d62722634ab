"""Neighbour methods against dense loops, and lists from sparse scores against lists from dense ones."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from crossrec.baselines.base import history_matrix
from crossrec.baselines.item_knn import ItemKNN
from crossrec.baselines.user_knn import UserKNN
from crossrec.data.item_table import ItemTable
from crossrec.runtime.ranking import mask_seen, top_k
from crossrec.runtime.ranking.sparse import best_positive, keep_largest
from crossrec.types import Sequences

N = 12


def random_clicks(seed: int, users: int) -> Sequences:
    rng = np.random.default_rng(seed)
    return Sequences.from_lists(rng.integers(0, N, size=rng.integers(1, 7)) for _ in range(users))


def similarity(kind: str, a: np.ndarray, b: np.ndarray) -> float:
    if kind == "cosine":
        return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))
    return float(np.corrcoef(a, b)[0, 1])


@pytest.mark.parametrize("kind", ["cosine", "pearson"])
def test_user_knn_equals_a_dense_loop(kind: str) -> None:
    train, histories = random_clicks(0, 40), random_clicks(1, 6)
    config = UserKNN.Options.model_validate({"similarity": kind, "neighbours": 5, "recency": 0.8, "power": 2})
    scores = config.build(ItemTable.of_size(N)).fit(train).score(histories).numpy()
    users = (history_matrix(train, N).toarray() > 0).astype(float)
    for row, history in enumerate(history_matrix(histories, N, recency=0.8).toarray()):
        found = np.array([similarity(kind, history, user) for user in users]).astype(np.float32)
        nearest = [u for u in np.lexsort((np.arange(40), -found))[:5] if found[u] > 0]
        expected = sum((found[u] ** 2 * users[u] for u in nearest), np.zeros(N))
        np.testing.assert_allclose(np.where(np.isneginf(scores[row]), 0, scores[row]), expected, rtol=1e-4)


def test_item_knn_pearson_equals_a_dense_loop() -> None:
    train, histories = random_clicks(2, 50), random_clicks(3, 5)
    config = ItemKNN.Options(similarity="pearson", neighbours=4)
    scores = config.build(ItemTable.of_size(N)).fit(train).score(histories).numpy()
    items = history_matrix(train, N).toarray().T
    kept = np.zeros((N, N))
    for item in range(N):
        found = np.array([similarity("pearson", items[item], other) for other in items]).astype(np.float32)
        for other in np.lexsort((np.arange(N), -found))[:4]:
            kept[item, other] = max(found[other], 0)
    expected = history_matrix(histories, N).toarray() @ kept
    np.testing.assert_allclose(np.where(np.isneginf(scores), 0, scores), expected, rtol=1e-4, atol=1e-6)


def test_pearson_of_an_item_that_everybody_clicked_is_no_nan() -> None:
    train = Sequences.from_lists([[0, 1], [0, 2], [0, 1, 2]])
    scores = (
        ItemKNN.Options(similarity="pearson")
        .build(ItemTable.of_size(3))
        .fit(train)
        .score(Sequences.from_lists([[0]]))
    )
    assert torch.isneginf(scores).all()


@given(st.integers(0, 10**6), st.integers(1, 6), st.booleans())
def test_lists_from_sparse_scores_equal_lists_from_dense_ones(seed: int, k: int, excluding: bool) -> None:
    rng = np.random.default_rng(seed)
    # Few distinct values, so that there are ties; some negative, some stored zeros.
    dense = rng.integers(-1, 4, size=(5, N)).astype(np.float32) * (rng.random((5, N)) < 0.6)
    exclude = random_clicks(seed + 1, 5) if excluding else None
    found = best_positive(csr_matrix(dense), k, exclude)
    scores = torch.from_numpy(np.where(dense > 0, dense, -np.inf).astype(np.float32))
    if exclude is not None:
        mask_seen(scores, exclude)
    expected = top_k(scores, k)
    np.testing.assert_array_equal(found.ids, expected.ids)
    np.testing.assert_array_equal(found.scores, expected.scores)


def test_sparse_lists_equal_those_of_the_scores() -> None:
    train, histories = random_clicks(4, 60), random_clicks(5, 20)
    fitted = ItemKNN.Options(similarity="cosine", neighbours=5).build(ItemTable.of_size(N)).fit(train)
    scores = fitted.score(histories)
    mask_seen(scores, histories)
    np.testing.assert_array_equal(fitted.recommend(histories, 4, histories).ids, top_k(scores, 4).ids)


def test_keep_largest_breaks_ties_by_the_lower_index_and_drops_what_is_not_positive() -> None:
    kept = keep_largest(csr_matrix(np.array([[1.0, 2.0, 2.0, 2.0], [-1.0, 0.0, 0.5, 0.0]])), 2)
    np.testing.assert_array_equal(kept.toarray(), [[0, 2, 2, 0], [0, 0, 0.5, 0]])


def test_items_to_leave_out_must_fit() -> None:
    fitted = ItemKNN.Options().build(ItemTable.of_size(N)).fit(random_clicks(0, 9))
    with pytest.raises(ValueError, match="2 rows of items to leave out, for 1 histories"):
        fitted.recommend(Sequences.from_lists([[0]]), 3, Sequences.from_lists([[0], [1]]))
    with pytest.raises(ValueError, match="item 99 is to be left out"):
        fitted.recommend(Sequences.from_lists([[0]]), 3, Sequences.from_lists([[99]]))

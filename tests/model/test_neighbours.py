"""Scores of item-kNN inside a network: the formula, cold items, other catalogues."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_matrix, identity, random_array

from crossrec.model import neighbours
from crossrec.model.neighbours import NeighbourScores, align_neighbours, mixing_columns
from crossrec.types import ABSENT, Sequences

N = 12
HISTORIES = Sequences.from_lists([[1, 4, 4], [], [7], [0, 2, 9, 11]])


@pytest.fixture(autouse=True, params=["dense", "sparse"])
def _form(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Small catalogues keep the product of similarities and mixing as a dense matrix, large ones don't."""
    if request.param == "sparse":
        monkeypatch.setattr(neighbours, "DENSE_CELLS", 0)


def similarities(seed: int = 0) -> csr_matrix:
    found = csr_matrix(random_array((N, N), density=0.4, rng=np.random.default_rng(seed)), dtype=np.float32)
    found.setdiag(1)
    return found


def scores(
    similarity: csr_matrix,
    share_N: np.ndarray | None = None,
    mixing: csr_matrix | None = None,
    **options: float,
) -> NeighbourScores:
    chosen = {"weight": 2.0, "recency": 0.5, "cold_bonus": 0.0, **options}
    share_N = np.zeros(similarity.shape[0], np.float32) if share_N is None else share_N
    mixing = identity(similarity.shape[0], format="csr") if mixing is None else mixing
    return NeighbourScores(similarity, mixing, share_N, alike=3, temperature=0.1, **chosen)


def test_scores_are_the_weighted_sum_of_similarities_relative_to_the_largest() -> None:
    columns = similarities()
    dense_NN = columns.toarray()
    found_BN = scores(columns).added(HISTORIES).toarray()
    first_N = 0.25 * dense_NN[1] + 0.5 * dense_NN[4] + dense_NN[4]
    np.testing.assert_allclose(found_BN[0], 2 * first_N / first_N.max(), rtol=1e-5)
    assert not found_BN[1].any()
    np.testing.assert_allclose(found_BN[2], 2 * dense_NN[7] / dense_NN[7].max(), rtol=1e-5)


def test_weights_of_clicks_count() -> None:
    columns = similarities()
    weighted = Sequences(np.asarray([0, 2]), np.asarray([1, 4]), weights=np.asarray([3.0, 1.0], np.float32))
    dense_NN = columns.toarray()
    wanted_N = 3 * dense_NN[1] + dense_NN[4]
    found_N = scores(columns, recency=1.0).added(weighted).toarray()[0]
    np.testing.assert_allclose(found_N, 2 * wanted_N / wanted_N.max(), rtol=1e-5)


def content(seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(N, 4)).astype(np.float32)


def test_a_cold_column_is_the_softmax_mean_of_those_alike() -> None:
    content_ND, warm_N, share_N = content(), np.arange(N) < 9, (np.arange(N) == 10).astype(np.float32)
    found_NN = mixing_columns(share_N, content_ND, warm_N, 3, 0.1).toarray()
    unit_ND = content_ND / np.linalg.norm(content_ND, axis=1, keepdims=True)
    cosines_N = np.where(warm_N, unit_ND @ unit_ND[10], -np.inf)
    best_A = np.argsort(-cosines_N)[:3]
    wanted_N = np.zeros(N)
    wanted_N[best_A] = np.exp(cosines_N[best_A] / 0.1) / np.exp(cosines_N[best_A] / 0.1).sum()
    np.testing.assert_allclose(found_NN[:, 10], wanted_N, rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(np.delete(found_NN, 10, axis=1), np.delete(np.eye(N), 10, axis=1))


def test_an_item_without_content_or_anything_alike_gets_no_column() -> None:
    content_ND, share_N = content(), (np.arange(N) == 10).astype(np.float32)
    content_ND[10] = 0
    assert mixing_columns(share_N, content_ND, np.arange(N) < 9, 3, 0.1)[:, [10]].nnz == 0
    assert mixing_columns(share_N, content(), np.zeros(N, bool), 3, 0.1)[:, [10]].nnz == 0
    only_itself = mixing_columns(share_N, content(), np.arange(N) == 10, 3, 0.1)
    assert only_itself[:, [10]].nnz == 0
    assert not np.isnan(only_itself.toarray()).any()


def test_a_column_is_mixed_by_its_share() -> None:
    content_ND, warm_N = content(), np.arange(N) < 9
    share_N = np.linspace(0, 1, N).astype(np.float32)
    found_NN = mixing_columns(share_N, content_ND, warm_N, 3, 0.1).toarray()
    means_NN = mixing_columns(np.ones(N, np.float32), content_ND, warm_N, 3, 0.1).toarray()
    np.testing.assert_allclose(found_NN, np.diag(1 - share_N) + means_NN * share_N, atol=1e-6)
    # Scores are those of similarities whose columns are mixed.
    similarity = similarities()
    mixed = csr_matrix(similarity @ csr_matrix(found_NN))
    found_BN = scores(similarity, share_N, csr_matrix(found_NN)).added(HISTORIES).toarray()
    np.testing.assert_allclose(found_BN, scores(mixed).added(HISTORIES).toarray(), rtol=1e-4, atol=1e-6)


def test_items_added_later_get_a_column_and_change_no_other_score() -> None:
    columns, content_ND = similarities(), content()
    found = scores(columns, cold_bonus=0.7)
    found.grow(content_ND)
    before_BN = found.added(HISTORIES).toarray()
    copy_of_4 = content_ND[4:5]
    found.grow(copy_of_4)
    found.grow(-copy_of_4)
    after_BN = found.added(HISTORIES).toarray()
    np.testing.assert_array_equal(after_BN[:, :N], before_BN)
    assert after_BN.shape == (4, N + 2)
    assert found.n_known == N + 2
    # Alike item 4, which the first history holds twice; the opposite is not.
    assert after_BN[0, N] > after_BN[0, N + 1]
    np.testing.assert_allclose(found.bonus(N + 2), [*[0] * N, 0.7, 0.7], rtol=1e-6)


def test_saved_scores_are_the_same() -> None:
    share_N = np.linspace(0, 1, N).astype(np.float32)
    mixing = mixing_columns(share_N, content(), np.arange(N) < 9, 3, 0.1)
    found = scores(similarities(), share_N, mixing, cold_bonus=0.3)
    saved = {f"neighbours.{name}": value for name, value in found.state_dict().items()}
    again = NeighbourScores.from_saved(saved)
    assert again is not None
    np.testing.assert_array_equal(again.added(HISTORIES).toarray(), found.added(HISTORIES).toarray())
    np.testing.assert_array_equal(again.bonus(N), found.bonus(N))
    assert (again.recency, again.alike, again.temperature) == (0.5, 3, pytest.approx(0.1))
    assert NeighbourScores.from_saved({}) is None


def test_another_order_and_other_items_follow_the_ids() -> None:
    share_N = np.linspace(0, 1, N).astype(np.float32)
    mixing = mixing_columns(share_N, content(), np.arange(N) < 9, 3, 0.1)
    found = scores(similarities(), share_N, mixing, cold_bonus=0.3)
    saved = {f"neighbours.{name}": value for name, value in found.state_dict().items()}
    rows_N = np.asarray([3, ABSENT, 1, 0, 11, 4, 7, 9, 2])
    again = NeighbourScores.from_saved(align_neighbours(saved, rows_N))
    assert again is not None
    pairs = [
        (getattr(scores, name).toarray() for scores in (found, again)) for name in ("similarity", "mixing")
    ]
    known = rows_N != ABSENT
    for dense_NN, moved_NN in pairs:
        for here, there in enumerate(rows_N):
            if there == ABSENT:
                assert not moved_NN[here].any()
                assert not moved_NN[:, here].any()
                continue
            np.testing.assert_array_equal(moved_NN[here, known], dense_NN[there, rows_N[known]])
    shares_N = again.cold_share(len(rows_N))
    np.testing.assert_array_equal(shares_N[known], found.cold_share(N)[rows_N[known]])
    assert (shares_N[~known] == 1).all()

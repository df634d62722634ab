"""Cheap retrievers: neighbours without a row of the catalogue, nearest vectors exactly or by a graph."""

from __future__ import annotations

import importlib.util
from typing import Self

import numpy as np
import pytest
import torch
from scipy.sparse import csr_matrix

from crossrec.baselines.item_knn import ItemKNN
from crossrec.data.item_table import ItemTable
from crossrec.ensemble.retrievers import NeighbourRetriever, VectorRetriever, nearest_items
from crossrec.runtime.ranking import recommend_by_score
from crossrec.types import ABSENT, InputError, Recommender, Sequences, TopK, VectorRecommender

N, D = 60, 8


def clicks(seed: int, users: int = 50) -> Sequences:
    rng = np.random.default_rng(seed)
    return Sequences.from_lists([rng.permutation(N)[: rng.integers(0, 9)] for _ in range(users)])


def overlaps(train: Sequences) -> csr_matrix:
    """Items by the users that they share: many ties."""
    ones = np.ones(len(train.items), np.float32)
    clicks_UN = csr_matrix((ones, train.items, train.offsets), shape=(len(train), N))
    return (clicks_UN.T @ clicks_UN).multiply(np.arange(N) % 7 > 0)


class Vectors:
    """A model of random vectors; a history asks for the mean of its items'."""

    name = "vectors"
    n_items = N

    def __init__(self) -> None:
        self.vectors_ND = torch.randn(N, D, generator=torch.Generator().manual_seed(0))

    def fit(self, train: Sequences) -> Self:
        return self

    def item_vectors(self) -> torch.Tensor:
        return self.vectors_ND

    def queries(self, histories: Sequences) -> torch.Tensor:
        rows = [self.vectors_ND[torch.from_numpy(histories.row(i))].sum(0) for i in range(len(histories))]
        return torch.stack(rows)

    def score(self, histories: Sequences, candidates: np.ndarray | None = None) -> torch.Tensor:
        scores_BN = self.queries(histories) @ self.vectors_ND.T
        return scores_BN if candidates is None else scores_BN.gather(1, torch.from_numpy(candidates))

    def recommend(self, histories: Sequences, k: int, exclude: Sequences | None = None) -> TopK:
        return recommend_by_score(self, histories, k, exclude)


@pytest.mark.parametrize("excluding", [False, True])
@pytest.mark.parametrize("k", [1, 7, N + 3])
def test_neighbours_are_found_as_if_the_catalogue_was_scored(k: int, excluding: bool) -> None:
    retriever, asked = NeighbourRetriever(N, overlaps).fit(clicks(0)), clicks(1)
    assert isinstance(retriever, Recommender)
    exclude = asked if excluding else None
    found, expected = retriever.recommend(asked, k, exclude), recommend_by_score(retriever, asked, k, exclude)
    np.testing.assert_array_equal(found.ids, expected.ids)
    np.testing.assert_array_equal(found.scores, expected.scores)
    assert found.ids.dtype == np.int64
    assert found.scores.dtype == np.float32


def test_with_item_knns_table_it_is_item_knn() -> None:
    knn = ItemKNN.Options(similarity="cosine", neighbours=10).build(ItemTable.of_size(N)).fit(clicks(0))
    table_NN = csr_matrix(
        torch.where(
            (s := knn.score(Sequences.from_lists([[i] for i in range(N)]))).isfinite(), s, 0.0
        ).numpy()
    )
    retriever, asked = NeighbourRetriever(N, lambda train: table_NN).fit(clicks(0)), clicks(2)
    found, expected = retriever.recommend(asked, 12, asked), knn.recommend(asked, 12, asked)
    np.testing.assert_allclose(found.scores, expected.scores, rtol=1e-6)
    same = (found.ids == expected.ids).mean()
    assert same > 0.98  # sums in another order may turn near ties round


def test_neighbour_scores_of_candidates_and_bad_input() -> None:
    retriever = NeighbourRetriever(N, overlaps)
    with pytest.raises(RuntimeError, match="has not been fitted"):
        retriever.score(clicks(1))
    retriever.fit(clicks(0))
    asked = Sequences.from_lists([[3], [], [5, 9]])
    candidates = np.array([[3, ABSENT], [0, 59], [9, 9]])
    expected = retriever.score(asked).gather(1, torch.from_numpy(candidates.clip(0)))
    expected[0, 1] = -torch.inf
    assert torch.equal(retriever.score(asked, candidates), expected)
    with pytest.raises(ValueError, match="outside the catalogue"):
        retriever.score(asked, candidates + 1)


@pytest.mark.parametrize(
    "index",
    [
        "exact",
        pytest.param(
            "faiss",
            marks=pytest.mark.skipif(importlib.util.find_spec("faiss") is None, reason="needs faiss-cpu"),
        ),
    ],
)
def test_nearest_items_are_the_models_own_lists(index: str) -> None:
    model, asked = Vectors(), clicks(3)
    retriever = VectorRetriever(model, index)  # type: ignore[arg-type]
    assert isinstance(retriever, Recommender)
    assert isinstance(model, VectorRecommender)
    assert index.lower() in retriever.name.lower()
    known = np.flatnonzero(asked.lengths)  # without history all items tie, and a graph finds any of them
    asked = asked.take(known)
    for exclude in (None, asked):
        found, expected = retriever.recommend(asked, 9, exclude), model.recommend(asked, 9, exclude)
        np.testing.assert_array_equal(found.ids, expected.ids)
        np.testing.assert_allclose(found.scores, expected.scores, rtol=1e-5)
    candidates = np.tile([4, ABSENT], (len(asked), 1))
    scores = retriever.score(asked, candidates)
    assert torch.isneginf(scores[:, 1]).all()
    np.testing.assert_allclose(scores[:, 0], retriever.score(asked)[:, 4], rtol=1e-6)


def test_nearest_items_sum_powers_of_cosines() -> None:
    model, asked = Vectors(), Sequences.from_lists([[3], [5, 9]])
    retriever = nearest_items(model, "nearest", neighbours=6)
    unit_ND = model.vectors_ND / model.vectors_ND.norm(dim=1, keepdim=True)
    cosine_NN = unit_ND @ unit_ND.T
    kept_NN = torch.zeros(N, N).scatter(1, cosine_NN.topk(6).indices, 1.0)
    expected_NN = kept_NN * cosine_NN.clamp(min=0) ** 4
    expected_BN = torch.stack([expected_NN[3], expected_NN[5] + expected_NN[9]])
    scores_BN = retriever.score(asked)
    torch.testing.assert_close(scores_BN.masked_fill(scores_BN.isneginf(), 0.0), expected_BN)
    assert retriever.recommend(asked, 1).ids[0, 0] == 3


def test_missing_faiss_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="faiss-cpu"):
        VectorRetriever(Vectors(), "faiss")
    assert VectorRetriever(Vectors(), "auto").name == "vectors (exact)"


class ManyVectors(Vectors):
    """The same model with more items, in clusters."""

    n_items = 600

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(0)
        centers = torch.randn(30, D, generator=generator).repeat_interleave(20, 0)
        self.vectors_ND = centers + 0.3 * torch.randn(600, D, generator=generator)


@pytest.mark.skipif(importlib.util.find_spec("faiss") is None, reason="needs faiss-cpu")
def test_compressed_vectors_lose_little_of_the_lists_and_much_of_the_memory() -> None:
    import faiss

    model, asked = ManyVectors(), clicks(3)
    asked = asked.take(np.flatnonzero(asked.lengths))
    expected = model.recommend(asked, 10, asked)
    found, sizes = {}, {}
    for index in ("int8", "pq"):
        retriever = VectorRetriever(model, index)
        lists = retriever.recommend(asked, 10, asked)
        assert not asked.contains(lists.ids).any()
        assert (np.diff(lists.scores, axis=1) <= 0).all()
        pairs = zip(lists.ids, expected.ids, strict=True)
        found[index] = np.mean([len(set(ours) & set(theirs)) / 10 for ours, theirs in pairs])
        sizes[index] = faiss.serialize_index(retriever._built).nbytes
        retriever.refresh()
        assert np.array_equal(retriever.recommend(asked, 10, asked).ids, lists.ids)
    assert found["int8"] > 0.97
    assert 0.6 < found["pq"] < found["int8"]
    codes = 600 * D  # one byte per dimension; a product quantizer has codes and 256 centroids
    assert codes <= sizes["int8"] < 1.2 * codes
    assert sizes["pq"] - 256 * D * 4 < 0.35 * codes
    assert "int8" in VectorRetriever(model, "int8").name
    with pytest.raises(InputError, match="needs as many items, not 60"):
        VectorRetriever(Vectors(), "pq")

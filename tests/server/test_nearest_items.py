"""The FAISS index against exact search."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from crossrec.runtime.vector_codes import VectorCode
from crossrec.server.faiss_index import FaissIndex, exact_scores
from crossrec.types import InputError


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    """(2000, 12) in clusters, of different lengths."""
    generator = np.random.default_rng(0)
    centres = generator.normal(size=(20, 12))
    near = centres[generator.integers(0, 20, 2000)] + 0.3 * generator.normal(size=(2000, 12))
    return (near * generator.uniform(0.5, 2, size=(2000, 1))).astype(np.float32)


@pytest.fixture(scope="module")
def queries() -> np.ndarray:
    """(50, 12)."""
    return np.random.default_rng(1).normal(size=(50, 12)).astype(np.float32)


def by_hand(vectors_ND: np.ndarray, query_D: np.ndarray, k: int) -> tuple[list[int], np.ndarray]:
    scores_N = vectors_ND @ query_D
    ids = sorted(range(len(scores_N)), key=lambda i: (-scores_N[i], i))[:k]
    return ids, scores_N[ids]


def test_looking_at_every_list_is_exact(vectors: np.ndarray, queries: np.ndarray) -> None:
    index = FaissIndex(vectors, queries, recall=1.0)
    assert index.recall == 1.0
    found = index.search(queries, 10)
    for row, query_D in enumerate(queries):
        ids, scores_K = by_hand(vectors, query_D, 10)
        assert found.scores[row] == pytest.approx(scores_K, rel=1e-4, abs=1e-4)
        assert set(found.ids[row].tolist()) == set(ids)


def test_the_recall_that_it_names_is_the_recall_that_it_has(vectors: np.ndarray, queries: np.ndarray) -> None:
    index = FaissIndex(vectors, queries, recall=0.5)
    hits = [
        len(set(found.tolist()) & set(by_hand(vectors, query_D, 10)[0])) / 10
        for found, query_D in zip(index.search(queries, 10).ids, queries, strict=True)
    ]
    assert index.recall == pytest.approx(np.mean(hits), abs=1e-6)
    assert 0.5 <= index.recall < 1
    assert index.probes < index.n_lists
    assert FaissIndex(vectors, queries, recall=0.95).probes > index.probes


def test_equal_scores_are_ordered_by_index(queries: np.ndarray) -> None:
    vectors_ND = np.repeat(np.random.default_rng(2).normal(size=(40, 12)).astype(np.float32), 5, axis=0)
    found = FaissIndex(vectors_ND, queries, recall=1.0).search(queries, 5)
    assert (np.diff(found.ids, axis=1) == 1).all()


def test_new_items_are_found_and_lists_longer_than_the_catalogue_end(
    vectors: np.ndarray, queries: np.ndarray
) -> None:
    index = FaissIndex(vectors[:30], queries, recall=1.0)
    index.add(10 * queries[:1])
    assert index.n_items == 31
    found = index.search(queries[:1], 50)
    assert found.ids[0, 0] == 30
    assert (found.ids[0, 31:] == -1).all()
    assert np.isneginf(found.scores[0, 31:]).all()


@pytest.mark.parametrize("n_items", [1, 7, 9])
def test_tiny_catalogues_work(vectors: np.ndarray, queries: np.ndarray, n_items: int) -> None:
    index = FaissIndex(vectors[:n_items], queries, recall=0.9)
    assert sorted(index.search(queries[:1], n_items).ids[0].tolist()) == list(range(n_items))


@pytest.mark.parametrize(("code", "least"), [("int8", 0.95), ("pq", 0.4)])
def test_compressed_vectors_reach_a_share_of_what_they_can_find(
    vectors: np.ndarray, queries: np.ndarray, code: VectorCode, least: float
) -> None:
    index = FaissIndex(vectors, queries, recall=0.9, code=code)
    everything = FaissIndex(vectors, queries, recall=1.0, code=code)
    assert index.probes < index.n_lists
    assert least < everything.recall <= 1
    assert index.recall >= 0.9 * everything.recall - 1e-6
    index.add(10 * queries[:1])
    assert index.search(queries[:1], 1).ids[0, 0] == len(vectors)


def test_too_few_items_for_product_quantization(vectors: np.ndarray, queries: np.ndarray) -> None:
    with pytest.raises(InputError, match=r"faiss_vectors: .*not 255"):
        FaissIndex(vectors[:255], queries, recall=0.9, code="pq")


def test_exact_scores_go_through_all_items(
    vectors: np.ndarray, queries: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("crossrec.server.faiss_index.CHUNK", 300)
    expected = -np.sort(-(queries @ vectors.T), axis=1)[:, :7]
    assert exact_scores(vectors, queries, 7) == pytest.approx(expected, rel=1e-5)


def test_a_large_catalogue_is_served_from_the_index_with_the_exact_lists(
    serving: Callable[..., Any], large_shop: Any
) -> None:
    exact = large_shop.recommend_many(
        [["i5", "i9"]],
        times=None,
        k=20,
        rerank=None,
        filters=(),
        context=None,
        exclude_seen=True,
        modalities=None,
    )[0]
    with serving(large_shop, faiss_from=600, faiss_recall=1.0) as client:
        about = client.get("/api/model").json()["retrieval"]
        assert about["kind"] == "faiss"
        assert about["recall"] == 1.0
        assert about["sampled"] > 0
        plain = client.post("/api/recommend", json={"history": ["i5", "i9"], "k": 20}).json()
        assert plain["retrieval"] == "faiss"
        assert [place["item"]["item_id"] for place in plain["items"]] == exact.item_ids
        for more in ({"rerank": {"type": "mmr"}}, {"modalities": ["text"]}):
            other = client.post("/api/recommend", json={"history": ["i5"], **more}).json()
            assert other["retrieval"] == "exact"
        seen = client.post("/api/recommend", json={"history": ["i5"], "exclude_seen": False, "k": 200}).json()
        assert "i5" in [place["item"]["item_id"] for place in seen["items"]]
        client.post("/api/items", data={"item_id": "new", "title": "red"}).raise_for_status()
        found = client.post("/api/recommend", json={"history": ["i3"], "k": 3}).json()
        assert found["retrieval"] == "faiss"
        assert "new" in [place["item"]["item_id"] for place in found["items"]]

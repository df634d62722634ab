"""FAISS index of item vectors: approximate lists for catalogues where exact search is slow."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from crossrec.runtime.vector_codes import CENTROIDS, VectorCode, check_code, inverted_file
from crossrec.types import ABSENT, InputError, TopK

PER_LIST = 64
"""Training vectors of k-means per list."""
RECALL_K = 10
CHUNK = 65_536
SAME = 1e-5
"""Relative difference of scores that another order of summation may cause."""


class FaissIndex:
    """Inverted file of item vectors, compared by their dot product.

    Vectors are assigned to lists by k-means; a search probes the lists nearest to the query. The number of
    probed lists is doubled until the index reaches ``recall`` of the exact lists on the sampled queries;
    probing all lists is exact. Compressed vectors lose some items at any number of lists: there ``recall`` is
    a share of what probing all lists finds. Source: Jégou, Douze and Schmid, Product quantization for nearest
    neighbor search (TPAMI 2011), section IV, with the quantization only for ``pq``; as in Johnson, Douze and
    Jégou, Billion-scale similarity search with GPUs (2017).

    Args:
        vectors_ND: (N, D) float32.
        queries_QD: (Q, D) float32 queries of sampled histories, on which recall is measured.
        recall: share of the exact top 10 to reach.
        seed: seed of k-means.
        code: representation of the vectors in the index.

    Raises:
        InputError: if FAISS is not installed, or there are too few items for the code.
    """

    def __init__(
        self,
        vectors_ND: np.ndarray,
        queries_QD: np.ndarray,
        *,
        recall: float,
        seed: int = 0,
        code: VectorCode = "float32",
    ) -> None:
        check_code(code, len(vectors_ND), "faiss_vectors")
        vectors_ND = np.ascontiguousarray(vectors_ND, np.float32)
        n_items = len(vectors_ND)
        self.n_lists = max(1, min(round(4 * math.sqrt(n_items)), n_items // 8))
        self._index = _built(vectors_ND, self.n_lists, seed, code)
        self.n_sampled = len(queries_QD)
        exact_Q = exact_scores(vectors_ND, queries_QD, min(RECALL_K, n_items))
        self.probes, self.recall = 0, 0.0
        target = recall
        if code != "float32":
            self._index.nprobe = self.n_lists
            target *= self._recall(queries_QD, exact_Q, vectors_ND)
        while self.probes < self.n_lists and self.recall < target:
            self.probes = min(max(1, 2 * self.probes), self.n_lists)
            self._index.nprobe = self.probes
            self.recall = self._recall(queries_QD, exact_Q, vectors_ND)

    @property
    def n_items(self) -> int:
        """Number of vectors in the index."""
        return int(self._index.ntotal)

    def add(self, vectors_ND: np.ndarray) -> None:
        """Append vectors."""
        self._index.add(np.ascontiguousarray(vectors_ND, np.float32))

    def search(self, queries_BD: np.ndarray, k: int) -> TopK:
        """Return the best k items found, ties broken by the lower index.

        Args:
            queries_BD: (B, D) float32.
            k: length of the lists.

        Returns:
            (B, k); ``ABSENT`` where the probed lists contain fewer.
        """
        scores_BK, ids_BK = self._index.search(np.ascontiguousarray(queries_BD, np.float32), k)
        ids_BK = np.where(ids_BK < 0, ABSENT, ids_BK)
        scores_BK = np.where(ids_BK == ABSENT, -np.inf, scores_BK).astype(np.float32)
        order_BK = np.lexsort((ids_BK, -scores_BK), axis=1)
        return TopK(np.take_along_axis(ids_BK, order_BK, 1), np.take_along_axis(scores_BK, order_BK, 1))

    def _recall(self, queries_QD: np.ndarray, exact_QK: np.ndarray, vectors_ND: np.ndarray) -> float:
        """Return the share of items found, compared by exact scores, so that ties count as found."""
        if not exact_QK.size:
            return 1.0
        ids_QK = self.search(queries_QD, exact_QK.shape[1]).ids
        found_QK = np.einsum("qd,qkd->qk", queries_QD, vectors_ND[np.maximum(ids_QK, 0)])
        found_QK = np.where(ids_QK == ABSENT, -np.inf, found_QK)
        last_Q1 = exact_QK[:, -1:]
        return float((found_QK >= last_Q1 - SAME * np.maximum(1, np.abs(last_Q1))).mean())


def exact_scores(vectors_ND: np.ndarray, queries_QD: np.ndarray, k: int) -> np.ndarray:
    """Return (Q, k), the best k scores of each query over all items, descending; computed in chunks."""
    best_QK = np.full((len(queries_QD), k), -np.inf, np.float32)
    for start in range(0, len(vectors_ND), CHUNK):
        scores_QC = queries_QD @ vectors_ND[start : start + CHUNK].T
        both = np.concatenate([best_QK, scores_QC], 1)
        best_QK = -np.partition(-both, k - 1, axis=1)[:, :k]
    return -np.sort(-best_QK, axis=1)


def _built(vectors_ND: np.ndarray, n_lists: int, seed: int, code: VectorCode) -> Any:
    try:
        index = inverted_file(vectors_ND.shape[1], n_lists, code)
    except ImportError as error:
        raise InputError(
            "FAISS is not installed: pip install 'crossrec[serve]', or raise --faiss-from"
        ) from error
    index.cp.seed = seed
    index.cp.min_points_per_centroid = 1
    generator = np.random.default_rng(seed)
    n_train = min(len(vectors_ND), PER_LIST * max(n_lists, CENTROIDS if code == "pq" else 0))
    rows = np.sort(generator.choice(len(vectors_ND), n_train, replace=False))
    index.train(np.ascontiguousarray(vectors_ND[rows]))
    index.add(vectors_ND)
    return index

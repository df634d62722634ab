"""Retrievers for cascades: by the dot products of a vector model, or by item neighbors."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any, Literal, Self

import numpy as np
import torch
from scipy.sparse import csr_matrix
from torch import Tensor

from crossrec.runtime.ranking import rank_by_vectors
from crossrec.runtime.ranking.search import pick_candidates
from crossrec.runtime.ranking.sparse import MORE_FOUND, best_positive, score_found
from crossrec.runtime.vector_codes import check_code, flat_index
from crossrec.types import (
    ABSENT,
    AddedScores,
    InputError,
    Sequences,
    TopK,
    VectorRecommender,
    added_scores,
)

Index = Literal["auto", "exact", "faiss", "int8", "pq"]
LABELS = {"exact": "exact", "faiss": "FAISS", "int8": "int8", "pq": "PQ"}


NEIGHBOURS = 32


SEARCH_WIDTH = 256
"""Links per item in the graph, and the smallest beam width of a search."""


class VectorRetriever:
    """Retriever by the largest dot products of a vector model: exact, by a graph, or of compressed vectors.

    The index is built on first use; call :meth:`refresh` after the model has changed.

    Args:
        model: model with query and item vectors.
        index: ``exact``; ``faiss`` for a graph (HNSW) that searches a small part of the catalogue and may
            miss items; ``int8`` and ``pq`` to compare all items in compressed form, a quarter and a
            sixteenth of the memory; ``auto`` for the graph if FAISS is installed. ``name`` includes the
            choice.

    Raises:
        InputError: if FAISS is required and not installed, or ``pq`` has too few items.

    Source:
        Malkov, Yashunin: Efficient and robust approximate nearest neighbor search using hierarchical
        navigable small world graphs (TPAMI 2018); Douze et al.: The Faiss library (2024).
    """

    def __init__(self, model: VectorRecommender, index: Index = "auto") -> None:
        installed = importlib.util.find_spec("faiss") is not None
        if index not in ("auto", "exact") and not installed:
            raise InputError(
                f"index: '{index}' needs the package faiss-cpu (pip install faiss-cpu); 'exact' needs nothing"
            )
        self.model = model
        self.index: Index = ("faiss" if installed else "exact") if index == "auto" else index
        if index == "pq":
            check_code("pq", model.n_items, "index")
        self.name = f"{getattr(model, 'name', type(model).__name__)} ({LABELS[self.index]})"
        self._built: Any = None

    @property
    def n_items(self) -> int:
        """N."""
        return self.model.n_items

    def fit(self, train: Sequences) -> Self:
        """Fit the model."""
        self.model.fit(train)
        self.refresh()
        return self

    def refresh(self) -> None:
        """Drop the index after item vectors have changed."""
        self._built = None

    def score(self, histories: Sequences, candidates: np.ndarray | None = None) -> Tensor:
        """Return the model's scores of all items, including those that a search may miss."""
        if candidates is None:
            return self.model.score(histories)
        absent = candidates == ABSENT
        if not absent.any():
            return self.model.score(histories, candidates)
        return pick_candidates(self.model.score(histories), candidates)

    def recommend(self, histories: Sequences, k: int, exclude: Sequences | None = None) -> TopK:
        """Return the k items with the largest dot products, among those that the search finds.

        Scores are those of the index: approximate where vectors are compressed. For a model that adds scores
        of neighbours, the search finds more items, and these and the nearest neighbours are scored exactly.
        """
        queries_BD, added = self.model.queries(histories), added_scores(self.model, histories)
        if self.index == "exact":
            return rank_by_vectors(queries_BD, self.model.item_vectors(), k, exclude, added=added)
        return self._search(histories, queries_BD.cpu().numpy(), added, k, exclude)

    def _search(
        self,
        histories: Sequences,
        queries_BD: np.ndarray,
        added: AddedScores | None,
        k: int,
        exclude: Sequences | None,
    ) -> TopK:
        if self._built is None:
            self._built = _build(self.model.item_vectors().cpu().numpy(), self.index)
        # Room for items that will be omitted.
        extra = 0 if exclude is None else int(exclude.lengths.max(initial=0))
        width = min((k + extra) * (1 if added is None else MORE_FOUND), self.n_items)
        if self.index == "faiss":
            self._built.hnsw.efSearch = max(SEARCH_WIDTH, 2 * width)
        scores_BW, ids_BW = self._built.search(np.ascontiguousarray(queries_BD, np.float32), width)
        if added is not None:
            best = score_found(self.model, histories, ids_BW, added.sparse_BN)
            scores_BW, ids_BW = best.scores, best.ids
        out_BW = ids_BW == ABSENT
        if exclude is not None:
            out_BW |= exclude.contains(ids_BW)
        return _kept(ids_BW, scores_BW, out_BW, k)


def _build(vectors_ND: np.ndarray, index: Index) -> Any:
    import faiss

    if index in ("int8", "pq"):
        return flat_index(vectors_ND, index)

    graph = faiss.IndexHNSWFlat(vectors_ND.shape[1], NEIGHBOURS, faiss.METRIC_INNER_PRODUCT)
    graph.add(np.ascontiguousarray(vectors_ND, np.float32))
    return graph


def _kept(ids_BW: np.ndarray, scores_BW: np.ndarray, out_BW: np.ndarray, k: int) -> TopK:
    """Return the first k that are not excluded, by descending score, ties to the lower index."""
    scores_BW = np.where(out_BW, -np.inf, scores_BW)
    order_BW = np.lexsort((ids_BW, -scores_BW), axis=1)[:, :k]
    ids = np.full((len(ids_BW), k), ABSENT, np.int64)
    scores = np.full((len(ids_BW), k), -np.inf, np.float32)
    scores[:, : order_BW.shape[1]] = np.take_along_axis(scores_BW, order_BW, 1)
    found = np.take_along_axis(np.where(out_BW, ABSENT, ids_BW), order_BW, 1)
    ids[:, : order_BW.shape[1]] = found
    return TopK(ids, scores)


Learn = Callable[[Sequences], csr_matrix]
"""Function from training clicks to (N, N) similarities with a few neighbours per row."""


class NeighbourRetriever:
    """Retriever of the neighbours of a history's items, by summed similarity.

    It is item-kNN without a row of N scores: a recommendation reads only the neighbours of the history's
    clicks. Items that are no item's neighbour score -inf.

    Args:
        n_items: N.
        learn: function that computes the table.
        name: name in tables.

    Source:
        Sarwar et al.: Item-based collaborative filtering recommendation algorithms (WWW 2001).
    """

    def __init__(self, n_items: int, learn: Learn, name: str = "neighbours") -> None:
        self._n_items = n_items
        self._learn = learn
        self.name = name
        self._table_NN: csr_matrix | None = None

    @property
    def n_items(self) -> int:
        """N."""
        return self._n_items

    def fit(self, train: Sequences) -> Self:
        """Build the table."""
        self._table_NN = csr_matrix(self._learn(train), dtype=np.float32)
        return self

    def score(self, histories: Sequences, candidates: np.ndarray | None = None) -> Tensor:
        """Return (B, N) float32 summed similarities, or (B, K) for candidates; -inf where there is none."""
        scores_BN = torch.from_numpy(self._found(histories).toarray())
        scores_BN = scores_BN.masked_fill_(scores_BN <= 0, -torch.inf)
        return scores_BN if candidates is None else pick_candidates(scores_BN, candidates)

    def recommend(self, histories: Sequences, k: int, exclude: Sequences | None = None) -> TopK:
        """Return the k most similar items, ties broken by the lower item index."""
        return best_positive(self._found(histories), k, exclude)

    def _found(self, histories: Sequences) -> csr_matrix:
        if self._table_NN is None:
            raise RuntimeError(f"{self.name} has not been fitted: call fit(train) first")
        ones = np.ones(len(histories.items), np.float32)
        clicks_BN = csr_matrix(
            (ones, histories.items, histories.offsets), shape=(len(histories), self.n_items)
        )
        return clicks_BN @ self._table_NN


def nearest_items(model: VectorRecommender, name: str, neighbours: int = 100) -> NeighbourRetriever:
    """Return a fitted retriever by the cosines of a model's own item vectors.

    An item counts with the fourth power of its cosine, so that many distant neighbors don't outweigh a near
    one; cosines of 0 or less count as 0.

    Args:
        model: fitted model whose item vectors are compared.
        name: name in tables.
        neighbours: number of nearest items kept per item, the item itself among them.
    """

    def learn(train: Sequences) -> csr_matrix:
        unit_ND = torch.nn.functional.normalize(model.item_vectors().float(), dim=1)
        found = rank_by_vectors(unit_ND, unit_ND, min(neighbours, model.n_items), None)
        rows = np.repeat(np.arange(len(found)), found.ids.shape[1])
        weights = np.maximum(found.scores.ravel(), 0) ** 4
        return csr_matrix((weights, (rows, found.ids.ravel())), shape=(model.n_items, model.n_items))

    return NeighbourRetriever(model.n_items, learn, name).fit(Sequences.from_lists([]))

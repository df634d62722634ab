"""Lists for batches of histories: exact, or from an index for a large catalogue."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from crossrec.rerank.recommender import RerankConfig
from crossrec.runtime.ranking.sparse import MORE_FOUND, score_found
from crossrec.server.config import MAX_HISTORY, ServerConfig
from crossrec.server.faiss_index import FaissIndex
from crossrec.server.schemas import RUN_RERANK, FoundBy, RetrievalInfo
from crossrec.serving.filters import Filter
from crossrec.serving.lists import as_sequences
from crossrec.serving.loaded import LoadedRecommender
from crossrec.serving.results import Recommendation
from crossrec.types import ABSENT, Sequences

log = logging.getLogger(__name__)
SAMPLED = 200
"""Number of histories on which the index's recall is measured."""


class ClickHistory(NamedTuple):
    """History of clicks.

    Args:
        item_ids: item ids, oldest click first.
        times: times of the clicks, seconds; None if unknown.
    """

    item_ids: tuple[str, ...]
    times: tuple[float, ...] | None = None


class ScoredRow(NamedTuple):
    """One item of a list: catalogue index and score."""

    row: int
    score: float


@dataclass(frozen=True)
class RankedList:
    """A list and its retrieval method."""

    places: tuple[ScoredRow, ...]
    retrieval: FoundBy


@dataclass(frozen=True)
class BatchOptions:
    """Options shared by the requests of one batch.

    Args:
        k: length of the lists.
        timed: whether the times of the clicks are known.
        rerank: reranking as JSON, ``RUN_RERANK``, or None.
        filters: rules on columns.
        context: required values of columns, by name.
        exclude_seen: whether to omit clicked items; as in the run's evaluation when None.
        modalities: modalities that the model may read; all when None.
    """

    k: int
    timed: bool = False
    rerank: str | None = None
    filters: tuple[Filter, ...] = ()
    context: tuple[tuple[str, str | float], ...] = ()
    exclude_seen: bool | None = None
    modalities: frozenset[str] | None = None

    @property
    def plain(self) -> bool:
        """Whether the list is just the items with the highest scores."""
        return not (self.rerank or self.filters or self.context or self.modalities)

    @property
    def reranking(self) -> RerankConfig | str | None:
        """As the recommender takes it."""
        if self.rerank is None or self.rerank == RUN_RERANK:
            return self.rerank
        return RerankConfig.model_validate_json(self.rerank)


class Lists:
    """Lists for batches of histories.

    Args:
        shop: recommender.
        config: configuration with the catalogue size from which an index is used.
    """

    def __init__(self, shop: LoadedRecommender, config: ServerConfig) -> None:
        self._shop = shop
        self._index = self._built(config) if _is_indexed(shop, config) else None

    @property
    def retrieval(self) -> RetrievalInfo:
        """Retrieval method of plain lists and its recall."""
        if self._index is None:
            return RetrievalInfo(kind="exact", recall=None, sampled=0, lists=0, probes=0)
        index = self._index
        return RetrievalInfo(
            kind="faiss",
            recall=index.recall,
            sampled=index.n_sampled,
            lists=index.n_lists,
            probes=index.probes,
        )

    def find(self, options: BatchOptions, histories: Sequence[ClickHistory]) -> list[RankedList]:
        """Return one list per history; the most clicked items for an empty history.

        Args:
            options: options of the batch.
            histories: histories, with times if ``options.timed``.
        """
        full = [clicks for clicks in histories if clicks.item_ids]
        lists = iter(self._for_clicks(options, full) if full else [])
        return [next(lists) if clicks.item_ids else self._popular(options) for clicks in histories]

    def _for_clicks(self, options: BatchOptions, histories: Sequence[ClickHistory]) -> list[RankedList]:
        if options.plain and self._index is not None:
            return self._from_index(self._index, options, histories)
        lists = self._shop.recommend_many(
            [clicks.item_ids for clicks in histories],
            times=[clicks.times or () for clicks in histories] if options.timed else None,
            k=options.k,
            rerank=options.reranking,
            filters=options.filters,
            context=dict(options.context) or None,
            exclude_seen=self._excludes_seen(options),
            modalities=options.modalities,
        )
        return [_found(places, "exact") for places in lists]

    def _excludes_seen(self, options: BatchOptions) -> bool:
        asked = options.exclude_seen
        return self._shop.config.evaluation.exclude_seen if asked is None else asked

    def _popular(self, options: BatchOptions) -> RankedList:
        return _found(self._shop.popular(options.k, filters=options.filters), "popular")

    def take_new_items(self) -> None:
        """Add new items to the index."""
        if self._index is not None:
            self._index.add(_vectors(self._shop)[self._index.n_items :])

    def _from_index(
        self, index: FaissIndex, options: BatchOptions, histories: Sequence[ClickHistory]
    ) -> list[RankedList]:
        rows = [[self._shop.index(item_id) for item_id in clicks.item_ids] for clicks in histories]
        times = [clicks.times or () for clicks in histories] if options.timed else None
        seen = [set(row) if self._excludes_seen(options) else set[int]() for row in rows]
        wide = min(options.k + max(map(len, seen), default=0), index.n_items)
        clicks, recommender = as_sequences(rows, times), self._shop.model.recommender
        added = recommender.added(clicks)
        if added is None:
            found = index.search(_queries(self._shop, clicks), wide)
        else:
            more = index.search(_queries(self._shop, clicks), min(MORE_FOUND * wide, index.n_items))
            found = score_found(recommender, clicks, more.ids, added.sparse_BN)
        return [
            RankedList(_unseen(ids_K, scores_K, without, options.k), "faiss")
            for ids_K, scores_K, without in zip(found.ids, found.scores, seen, strict=True)
        ]

    def _built(self, config: ServerConfig) -> FaissIndex:
        shop = self._shop
        sampled = _queries(shop, sampled_histories(shop, SAMPLED))
        index = FaissIndex(_vectors(shop), sampled, recall=config.faiss_recall, code=config.faiss_vectors)
        log.info(
            "FAISS index of %d items: %d of %d lists probed, recall %.4f on %d histories",
            index.n_items,
            index.probes,
            index.n_lists,
            index.recall,
            index.n_sampled,
        )
        return index


def _is_indexed(shop: LoadedRecommender, config: ServerConfig) -> bool:
    """Return whether lists come from an index: not with a text scorer, beside which exact search is cheap."""
    return shop.n_items >= config.faiss_from and shop.model.text_scorer is None


def sampled_histories(shop: LoadedRecommender, n: int, seed: int = 0) -> Sequences:
    """Return some users' latest clicks, or single items if there is no log."""
    generator = np.random.default_rng(seed)
    users = shop.user_ids
    chosen = generator.permutation(len(users))[:n]
    logs = shop.users.histories([users[int(number)] for number in chosen]) if len(users) else None
    if logs is None or not logs.lengths.any():
        return Sequences.from_lists([[int(row)] for row in generator.integers(0, shop.n_items, n)])
    return logs.take(np.flatnonzero(logs.lengths)).tail(MAX_HISTORY)


def _found(places: Sequence[Recommendation], retrieval: FoundBy) -> RankedList:
    return RankedList(tuple(ScoredRow(place.row, place.score) for place in places), retrieval)


def _unseen(ids_K: np.ndarray, scores_K: np.ndarray, without: set[int], k: int) -> tuple[ScoredRow, ...]:
    pairs = zip(ids_K.tolist(), scores_K.tolist(), strict=True)
    return tuple(ScoredRow(i, score) for i, score in pairs if i != ABSENT and i not in without)[:k]


def _vectors(shop: LoadedRecommender) -> np.ndarray:
    vectors_ND: np.ndarray = shop.model.recommender.item_vectors().cpu().numpy()
    return vectors_ND


def _queries(shop: LoadedRecommender, histories: Sequences) -> np.ndarray:
    queries_BD: np.ndarray = shop.model.recommender.queries(histories).cpu().numpy()
    return queries_BD

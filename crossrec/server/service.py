"""The served recommender behind the routes: batched lists, new items, and its description."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from time import perf_counter
from typing import Any

import numpy as np

from crossrec.config import Config
from crossrec.data.item_table import MODEL
from crossrec.experiment.prepared import describe_reranking
from crossrec.rerank.recommender import RerankConfig
from crossrec.server.batching import MicroBatcher, ModelThread
from crossrec.server.catalog_index import CatalogIndex, UserIndex
from crossrec.server.config import MAX_HISTORY, ServerConfig
from crossrec.server.errors import Conflict, UnknownName
from crossrec.server.feedback import FeedbackLog
from crossrec.server.lists import BatchOptions, ClickHistory, Lists, RankedList
from crossrec.server.metrics import ServerMetrics
from crossrec.server.pictures import SentPictures, Thumbnails
from crossrec.server.schemas import OFFERED, Interval, MetricValue, ModelResponse, RerankerInfo
from crossrec.serving.loaded import LoadedRecommender
from crossrec.types import InputError

SHOWN_K = "@10"
SHOWN = ("ndcg", "recall", "hit", "coverage", "gini", "ild", "ild_behaviour", "ild_category", "novelty")
"""Displayed metrics, of lists of ten."""
CATEGORY = "category"


def model_response(service: Service) -> ModelResponse:
    """Return the current description of the served model."""
    shop, config = service.shop, service.shop.config
    spaces = spaces_of(shop)
    return ModelResponse(
        name=shop.name,
        model=shop.about.model,
        items=len(service.shelf),
        users=len(service.users),
        modalities=list(shop.model.modalities),
        spaces=spaces,
        rerankers=offered(shop, spaces),
        run_rerank=None if config.rerank is None else describe_reranking(config.rerank),
        data=shop.about.data_name,
        note=shop.about.data_note,
        metrics=measured(shop.about.metrics),
        retrieval=service.lists.retrieval,
        feedback=service.log is not None,
        max_upload_bytes=service.config.max_upload_bytes,
    )


def spaces_of(shop: LoadedRecommender) -> list[str]:
    """Return the spaces in which this recommender can compare items."""
    return [MODEL, *shop.items.spaces.names]


def offered(shop: LoadedRecommender, spaces: Sequence[str]) -> list[RerankerInfo]:
    """Return the rerankers whose inputs this catalogue has, with their possible similarity spaces."""
    found = []
    for name, kind in OFFERED.items():
        usable = _works(shop, kind)
        by_likeness = "space" in kind.model_fields
        if usable or by_likeness:
            found.append(
                RerankerInfo(
                    type=name,
                    summary=(kind.__doc__ or "").strip().splitlines()[0],
                    diversity=kind.model_fields["diversity"].default,
                    spaces=[*([CATEGORY] if usable else []), *spaces] if by_likeness else [],
                )
            )
    return found


def _works(shop: LoadedRecommender, kind: type[Config]) -> bool:
    """Return whether a reranker can be built with its defaults; it raises if the catalogue lacks an input."""
    try:
        shop.items.rerankers(RerankConfig.model_validate({"stages": [kind()]}))
    except InputError:
        return False
    return True


def measured(metrics: Mapping[str, Any]) -> dict[str, MetricValue]:
    """Return the displayed metrics of a ``metrics.json``; empty where nothing was measured."""
    found = {}
    for name in SHOWN:
        entry = metrics.get(name + SHOWN_K)
        if isinstance(entry, Mapping) and isinstance(value := entry.get("value"), int | float):
            ends = entry.get("ci95") or [None, None]
            interval = None if None in ends else Interval(low=ends[0], high=ends[1])
            found[name + SHOWN_K] = MetricValue(value=value, ci95=interval)
    return found


MAX_PICTURE_BYTES = 1_000_000_000
"""Maximum total size of new items' pictures, which stay in memory."""


class Service:
    """The served recommender.

    The model runs in one thread only (:class:`ModelThread`). Adding items replaces the
    :class:`CatalogIndex` as a whole: a request that began before keeps the old one.

    Args:
        shop: recommender.
        config: configuration of the server.
    """

    def __init__(self, shop: LoadedRecommender, config: ServerConfig) -> None:
        self.shop, self.config = shop, config
        self.measures = ServerMetrics()
        self.users = UserIndex(shop.user_ids)
        self.log = None if config.feedback_log is None else FeedbackLog(config.feedback_log)
        if config.exposure_account is not None:
            shop.keep_exposure(config.exposure_account)
        self.lists = Lists(shop, config)
        self.thread = ModelThread(config.slow_queue)
        self.shelf, self.thumbnails = CatalogIndex(shop.catalog), Thumbnails(shop.catalog)
        self.sent_pictures = SentPictures(config.max_pixels)
        self.added, self._picture_bytes = 0, 0
        self._batcher = MicroBatcher[BatchOptions, ClickHistory, RankedList](
            self._find,
            size=config.batch_size,
            wait_s=config.batch_wait_ms / 1000,
            capacity=config.queue,
        )
        self.measures.items.set(len(self.shelf))
        self.measures.waiting.set_function(lambda: self._batcher.depth)
        if (recall := self.lists.retrieval.recall) is not None:
            self.measures.index_recall.set(recall)
        self.about = model_response(self)

    async def run(self) -> None:
        """Process batches until cancelled."""
        await self._batcher.run()

    async def recommend(self, history: ClickHistory, options: BatchOptions) -> RankedList:
        """Return a list, computed in a batch with those of other requests.

        Raises:
            Busy: if too many requests wait.
        """
        return await self._batcher.submit(options, history)

    async def _find(self, options: BatchOptions, histories: Sequence[ClickHistory]) -> list[RankedList]:
        began = perf_counter()
        found = await self.thread.run(lambda: self.lists.find(options, histories))
        self.measures.batch_size.observe(len(histories))
        self.measures.batch_seconds.observe(perf_counter() - began)
        return found

    def history(self, user_id: str | None, clicks: Sequence[str]) -> ClickHistory:
        """Return the history to recommend from: a user's latest clicks, followed by the request's.

        Clicks after a user's log get the time of the log's last click.

        Raises:
            UnknownName: if there is no such user or item.
        """
        self.shelf.rows(clicks)
        if user_id is None:
            return ClickHistory(tuple(clicks))
        rows, log_times = self._log_of(user_id)
        ids = [*(self.shelf.catalog.item_ids[row] for row in rows), *clicks][-MAX_HISTORY:]
        if log_times is None or not len(log_times):
            return ClickHistory(tuple(ids))
        times = [*log_times.tolist(), *[float(log_times[-1])] * len(clicks)][-MAX_HISTORY:]
        return ClickHistory(tuple(ids), tuple(times))

    def rows_of(self, user_id: str) -> list[int]:
        """Return the catalogue indices of all clicks of a user, oldest first.

        Raises:
            UnknownName: if there is no such user.
        """
        return self._log_of(user_id)[0].tolist()

    def _log_of(self, user_id: str) -> tuple[np.ndarray, np.ndarray | None]:
        if user_id not in self.users:
            raise UnknownName(f"no user '{user_id}' in this recommender's log; /api/users?q=… searches it")
        log = self.shop.users.histories([user_id])
        return np.asarray(log.items), None if log.times is None else np.asarray(log.times)

    async def add_item(self, item: Mapping[str, Any]) -> int:
        """Add an item to the catalogue; it can be recommended from then on.

        Args:
            item: values by column, as for ``LoadedRecommender.add_items``.

        Returns:
            Catalogue index of the item.

        Raises:
            Conflict: if its id exists, or the limit of new items is reached.
            Busy: if too many slow requests wait.
        """
        # Once begun, the addition is completed even if the client does not wait for it.
        return await asyncio.shield(self.thread.call(lambda: self._add(item)))

    def _add(self, item: Mapping[str, Any]) -> int:
        if item["item_id"] in self.shop.catalog.index:
            raise Conflict(f"there is an item '{item['item_id']}' already; choose another item_id")
        if self.added >= self.config.max_new_items:
            raise Conflict(f"{self.added} items were added already: the limit of this server")
        picture_bytes = len(item.get("image") or b"")
        if self._picture_bytes + picture_bytes > MAX_PICTURE_BYTES:
            raise Conflict(f"new items' pictures fill {MAX_PICTURE_BYTES:,} bytes: the limit of this server")
        self.shop.add_items([item])
        self.lists.take_new_items()
        self.added += 1
        self._picture_bytes += picture_bytes
        # Earlier thumbnails are made again; a running request keeps the old index.
        self.shelf, self.thumbnails = CatalogIndex(self.shop.catalog), Thumbnails(self.shop.catalog)
        self.measures.items.set(len(self.shelf))
        self.measures.new_items.inc()
        return self.shelf.row(item["item_id"])

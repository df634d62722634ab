"""Prepared data: configuration, reading, and the cleaned and split log."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from crossrec.config import Config
from crossrec.data.catalog import Catalog, context_columns
from crossrec.data.cleaning import CleaningConfig
from crossrec.data.cleaning_report import CleaningReport
from crossrec.data.co_clicks import BehaviourConfig, behaviour_space, has_co_clicks
from crossrec.data.identity import DataIdentity
from crossrec.data.interactions import ClickLog, show_time
from crossrec.data.item_table import BEHAVIOUR, ItemTable, Vectors, VectorSpace
from crossrec.data.sources import SourceOptions
from crossrec.data.sources.base import RawData
from crossrec.data.sources.demo.source import DemoSource
from crossrec.data.splits import SplitOptions
from crossrec.data.splits.base import Split
from crossrec.data.splits.temporal import TemporalSplitter
from crossrec.runtime import distributed
from crossrec.types import Sequences


class DataConfig(Config):
    """Configuration of source, cleaning and split.

    Args:
        source: the format of the data.
        root: folder of the data's files; the demo needs none.
        cache_dir: folder of generated data.
        cleaning: conditions on clicks.
        split: split into training, validation and test.
    """

    source: SourceOptions = DemoSource.Options()
    root: Path | None = None
    cache_dir: Path = Path("cache")
    cleaning: CleaningConfig = CleaningConfig()
    split: SplitOptions = TemporalSplitter.Options()


@dataclass(frozen=True, repr=False)
class PreparedData:
    """Cleaned and split data; row i of the catalogue is item i of the clicks.

    Args:
        name: name of the data set.
        note: one line about the data that every output prints; may be empty.
        catalog: N items.
        clicks: the cleaned log, one row per user.
        split: training clicks and queries.
        report: what cleaning dropped, and why.
        config: configuration of source, cleaning and split.
    """

    name: str
    note: str
    catalog: Catalog
    clicks: ClickLog
    split: Split
    report: CleaningReport
    config: DataConfig = field(default_factory=DataConfig)

    @cached_property
    def identity(self) -> DataIdentity:
        """Items in their order, and digests of the split."""
        return DataIdentity.of(self.catalog.item_ids, self.clicks.user_ids, self.split)

    def reordered(self, order: np.ndarray) -> PreparedData:
        """Return the same data with the items in another order.

        Args:
            order: (N,) current row of the item in each new row.
        """
        place = np.empty(len(order), dtype=np.int64)
        place[order] = np.arange(len(order))

        def moved(clicks: Sequences) -> Sequences:
            return replace(clicks, items=place[clicks.items].astype(clicks.items.dtype))

        split = self.split
        clicks = moved(split.clicks)
        valid, test = (replace(q, targets=moved(q.targets)) for q in (split.valid, split.test))
        return replace(
            self,
            catalog=self.catalog.select(order),
            clicks=replace(self.clicks, sequences=clicks),
            split=replace(split, clicks=clicks, valid=valid, test=test),
        )

    def users(self, part: Literal["valid", "test"]) -> list[str]:
        """Return the ids of the users with a query in a part of the split, in the order of the queries."""
        return [str(user) for user in self.clicks.user_ids[self.split.queries(part).users]]

    @cached_property
    def has_co_clicks(self) -> bool:
        """Whether the training part has clicks of two users on two items, as :meth:`behaviour` needs."""
        return has_co_clicks(self.split.train)

    def behaviour(self, config: BehaviourConfig) -> VectorSpace:
        """Return the items' vectors of co-clicks in the training part; they are computed once.

        Raises:
            InputError: if there are no co-clicks.
        """
        if config not in self._behaviours:
            split = self.split
            self._behaviours[config] = behaviour_space(
                split.train, split.n_items, config, self.config.cache_dir
            )
        return self._behaviours[config]

    @cached_property
    def _behaviours(self) -> dict[BehaviourConfig, VectorSpace]:
        return {}

    def item_table(self, spaces: Mapping[str, Vectors] | None = None) -> ItemTable:
        """Return the items' features: training clicks, categories, columns, texts.

        Args:
            spaces: name -> vectors of the items, such as an encoder's; those of co-clicks, made on first
                use, when None.
        """
        catalog = self.catalog
        texts = catalog.texts if catalog.has_text.any() else None
        columns = context_columns(catalog)
        table = ItemTable(self.split.train_counts, catalog.category_matrix, spaces, columns, texts)
        return self.with_behaviour(table, BehaviourConfig()) if spaces is None else table

    def with_behaviour(self, items: ItemTable, config: BehaviourConfig | None) -> ItemTable:
        """Return a table of the items with the space of co-clicks, made on first use, if there are any.

        Args:
            items: features of the N items.
            config: options of the space; None to leave it out.
        """
        if config is None or not self.has_co_clicks:
            return items
        return items.with_lazy_space(BEHAVIOUR, partial(self.behaviour, config))

    def __repr__(self) -> str:
        counts = self.summary()
        return (
            f"{self.name}: {counts['users']:,} users, {counts['items']:,} items "
            f"({counts['items_with_text']:,} with text, {counts['items_with_image']:,} with image), "
            f"{counts['clicks']:,} clicks; {self.split.protocol}"
        )

    def summary(self) -> dict[str, Any]:
        """Return the counts that a run prints first; ``first`` and ``last`` are times as text."""
        times = self.clicks.sequences.times
        return {
            "users": len(self.clicks.sequences),
            "items": len(self.catalog),
            "clicks": len(self.clicks.sequences.items),
            "train_clicks": int(self.split.train_ends.sum()),
            "valid_queries": len(self.split.valid),
            "valid_targets": len(self.split.valid.targets.items),
            "test_queries": len(self.split.test),
            "test_targets": len(self.split.test.targets.items),
            "cold_items": int(self.split.cold.sum()),
            "items_with_text": int(self.catalog.has_text.sum()),
            "items_with_image": int(self.catalog.has_image.sum()),
            "first": "" if times is None else show_time(float(np.min(times))),
            "last": "" if times is None else show_time(float(np.max(times))),
        }


def divide(clicks: ClickLog, n_items: int, config: DataConfig, *, repeats: bool) -> Split:
    """Divide a cleaned log, with the target events of the cleaning.

    Args:
        clicks: the cleaned log.
        n_items: N, size of the catalogue.
        config: configuration of the split, and of the target events.
        repeats: whether an item that a user clicked before can be a target, as needed for lists with seen
            items.

    Raises:
        SplitError: if a part of the split stays empty.
    """
    splitter = config.split.build()
    if clicks.targets_T is None:
        split: Split = splitter.split(clicks.sequences, n_items, repeats=repeats)
        return split
    split = splitter.split(clicks.sequences, n_items, repeats=repeats, targets_T=clicks.targets_T)
    names = ", ".join(config.cleaning.target_events or ())
    return replace(split, protocol=f"{split.protocol}; targets are events of the type {names} only")


def read_raw(config: DataConfig) -> RawData:
    """Read a source's items and clicks.

    Every process does the same deterministic work, after the main one has written generated data, so that all
    have the same data without communication.

    Raises:
        SourceError: if a root, file or column is missing or can't be read.
    """
    if not distributed.is_main():
        distributed.barrier()
        return _loaded(config)
    try:
        return _loaded(config)
    finally:
        distributed.barrier()  # also after an error, which the other processes then raise too


def _loaded(config: DataConfig) -> RawData:
    raw: RawData = config.source.build(config.root, config.cache_dir).load()
    return raw

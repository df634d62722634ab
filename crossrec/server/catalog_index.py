"""Searchable indexes of items and users, and item cards."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, lru_cache
from typing import Any
from urllib.parse import quote

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from crossrec.data.catalog import Catalog
from crossrec.server.errors import UnknownName
from crossrec.server.schemas import ItemCard

COLUMNS = ("item_id", "title", "text", "categories", "price")
CARDS_KEPT = 20_000
MAX_SEARCH_WORDS = 8


class CatalogIndex:
    """Immutable index of a catalogue; adding items makes a new index.

    Args:
        catalog: N items.
    """

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog
        self._table: pa.Table = catalog.dataset.select_columns(list(COLUMNS)).with_format("arrow")[:]
        self.card = lru_cache(maxsize=CARDS_KEPT)(self._make_card)

    def __len__(self) -> int:
        return len(self.catalog)

    def row(self, item_id: str) -> int:
        """Return the catalogue index of an id.

        Raises:
            UnknownName: if there is no such item.
        """
        row = self.catalog.index.get(item_id)
        if row is None:
            raise UnknownName(f"no item '{item_id}' in this catalogue; /api/items?q=… searches it")
        return row

    def rows(self, item_ids: Sequence[str]) -> list[int]:
        """Return the catalogue indices of ids; errors as in :meth:`row`."""
        return [self.row(item_id) for item_id in item_ids]

    def cards(self, rows: Sequence[int]) -> list[ItemCard]:
        """Return the cards of some rows."""
        return [self.card(int(row)) for row in rows]

    def _make_card(self, row: int) -> ItemCard:
        values: dict[str, Any] = self._table.slice(row, 1).to_pylist()[0]
        url = _picture_address(values["item_id"]) if self.catalog.has_image[row] else None
        values["categories"] = values["categories"] or []
        return ItemCard(**values, image=url)

    def find(self, query: str, offset: int, limit: int) -> tuple[list[int], int]:
        """Return items whose title or text contains all words of a query, those with more in the title first.

        Args:
            query: words or parts of words, in any case; all items when blank.
            offset: number of matches to skip.
            limit: maximum number of matches to return.

        Returns:
            Catalogue indices, and the total number of matches.
        """
        words = query.lower().split()[:MAX_SEARCH_WORDS]
        if not words:
            return list(range(offset, min(offset + limit, len(self)))), len(self)
        found = np.ones(len(self), dtype=bool)
        in_title = np.zeros(len(self), dtype=np.int64)
        for word in words:
            titled = _holds(self._titles, word)
            found &= titled | _holds(self._texts, word)
            in_title += titled
        rows = np.flatnonzero(found)
        order = np.argsort(-in_title[rows], kind="stable")
        return rows[order][offset : offset + limit].tolist(), len(rows)

    @cached_property
    def _titles(self) -> pa.ChunkedArray:
        return _lower(self._table["title"])

    @cached_property
    def _texts(self) -> pa.ChunkedArray:
        return _lower(self._table["text"])


class UserIndex:
    """Searchable user ids.

    Args:
        ids: user ids in display order.
    """

    def __init__(self, ids: Sequence[str]) -> None:
        self._ids = pa.array(list(ids), type=pa.string())
        self._known = frozenset(ids)

    def __len__(self) -> int:
        return len(self._ids)

    def __contains__(self, name: str) -> bool:
        return name in self._known

    def find(self, part: str, offset: int, limit: int) -> tuple[list[str], int]:
        """Return ids that contain a text, those that begin with it first; all when it is blank.

        Returns:
            Ids, and the total number of matches.
        """
        if not part:
            return self._ids.slice(offset, limit).to_pylist(), len(self)
        begins = np.asarray(pc.starts_with(self._ids, part))
        holds = np.asarray(pc.match_substring(self._ids, part)) & ~begins
        rows = np.concatenate([np.flatnonzero(begins), np.flatnonzero(holds)])
        return self._ids.take(pa.array(rows[offset : offset + limit])).to_pylist(), len(rows)


def _picture_address(item_id: str) -> str:
    """Return the address of an item's picture; browsers resolve "." and ".." in a path, however encoded."""
    quoted = quote(item_id, safe="")
    return f"/api/image?item_id={quoted}" if item_id in (".", "..") else f"/api/items/{quoted}/image"


def _lower(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.fill_null(pc.utf8_lower(column.cast(pa.large_string())), "")


def _holds(column: pa.ChunkedArray, word: str) -> np.ndarray:
    return np.asarray(pc.match_substring(column, word), dtype=bool)

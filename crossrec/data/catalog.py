"""The catalogue: N items in a fixed order, Arrow-backed, with text and picture possibly missing."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
from scipy.sparse import csr_matrix

from crossrec.config import nearest
from crossrec.data.interactions import is_missing
from crossrec.data.item_table import LazyMapping
from crossrec.runtime.pictures import (
    HEAD,
    UnreadablePicture,
    open_picture,
    picture_fault,
    read_head,
    read_picture,
)
from crossrec.types import InputError

if TYPE_CHECKING:
    from datasets import Dataset
    from PIL.Image import Image
REQUIRED = pa.schema(
    [
        ("item_id", pa.string()),
        ("title", pa.string()),
        ("text", pa.string()),
        ("image_path", pa.string()),
        ("categories", pa.list_(pa.string())),
        ("price", pa.float64()),
    ]
)
"""Columns of every catalogue; all but ``item_id`` may contain nulls. ``image_bytes`` (binary) may
supplement ``image_path`` where pictures are embedded, and any further column is kept."""


class CatalogError(InputError):
    """A catalogue that can't be used; the message names the column or row."""


class Catalog:
    """Items in a fixed order; row i is catalogue index i everywhere in the project.

    Args:
        dataset: ``datasets.Dataset`` with at least the columns of ``REQUIRED``.
        image_roots: folders of the pictures; paths outside of them are not followed. All paths are when
            None.

    Attributes:
        source_rows: (N,) row of each item in the item table as it was read, -1 for an item added later.
        n_source_rows: rows of that table.

    Raises:
        CatalogError: if a column is missing, or an id is missing or duplicate.
    """

    def __init__(self, dataset: Dataset, image_roots: tuple[Path, ...] | None = None) -> None:
        missing = [name for name in REQUIRED.names if name not in dataset.column_names]
        if missing:
            raise CatalogError(f"the catalogue lacks the columns {missing}; it has {dataset.column_names}")
        self.dataset, self.image_roots = dataset, image_roots
        self.source_rows, self.n_source_rows = np.arange(len(dataset)), len(dataset)
        if len(self.index) != len(dataset):
            seen: set[str] = set()
            twice = next(i for i in self.item_ids if i in seen or seen.add(i))  # type: ignore[func-returns-value]
            raise CatalogError(f"item_id '{twice}' stands more than once in the catalogue")

    @classmethod
    def from_columns(
        cls,
        columns: Mapping[str, Sequence[Any] | pa.ChunkedArray],
        image_roots: tuple[Path, ...] | None = None,
    ) -> Catalog:
        """Return a catalogue from plain or Arrow columns; absent optional columns are filled with nulls."""
        from datasets import Dataset

        n = len(columns["item_id"])
        types = {field.name: field.type for field in REQUIRED} | {"image_bytes": pa.binary()}
        arrays = {name: _arrow(columns.get(name, [None] * n), types[name]) for name in REQUIRED.names}
        for name, values in columns.items():
            if name not in arrays:
                arrays[name] = _arrow(values, types.get(name))
        return cls(Dataset(pa.table(arrays)), image_roots)

    def __len__(self) -> int:
        return len(self.dataset)

    def column(self, name: str) -> pa.ChunkedArray:
        """Return one column as Arrow, in catalogue order (also after :meth:`select`)."""
        if not len(self):
            return pa.chunked_array([pa.array([])])
        return self.dataset.select_columns([name]).with_format("arrow")[:][name]

    @cached_property
    def item_ids(self) -> np.ndarray:
        """(N,) original ids, as strings."""
        ids = self.column("item_id")
        missing = np.flatnonzero(pl.DataFrame({"id": ids.cast(pa.string())}).select(is_missing(pl.col("id"))))
        if len(missing):
            word = ids[int(missing[0])].as_py()
            said = f" (it says '{word}')" if word else ""
            raise CatalogError(
                f"{len(missing)} catalogue rows have no item_id, the first is row {missing[0]}{said}: "
                "give each item an id, or remove the rows"
            )
        return np.asarray(ids.to_pylist(), dtype=object)

    @cached_property
    def index(self) -> dict[str, int]:
        """Catalogue index of each original id."""
        return {item_id: i for i, item_id in enumerate(self.item_ids)}

    @cached_property
    def has_text(self) -> np.ndarray:
        """(N,) bool, false where the text is missing or blank."""
        return self.has_text_in("text")

    def has_text_in(self, column: str) -> np.ndarray:
        """Return (N,) bool, false where the text of a column is missing or blank.

        Raises:
            CatalogError: if there is no such column, or it doesn't hold texts.
        """
        kind = self.kind(column, "a text")
        if not (pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_null(kind)):
            raise CatalogError(
                f"column '{column}' of the item table holds {kind}; texts are read from strings"
            )
        text = self.column(column).cast(pa.string())
        written = pc.not_equal(pc.utf8_trim_whitespace(text), "")
        return np.asarray(pc.fill_null(written, False).to_numpy(), dtype=bool)

    def kind(self, column: str, what: str) -> pa.DataType:
        """Return the type of a column.

        Args:
            column: name of the column.
            what: what is read from it, for the message.

        Raises:
            CatalogError: if there is no such column; the message suggests one.
        """
        names = self.dataset.column_names
        if column not in names:
            raise CatalogError(f"{what} is read from column '{column}', but {nearest_column(column, names)}")
        return self.dataset.features.arrow_schema.field(column).type

    @cached_property
    def names_image(self) -> np.ndarray:
        """(N,) bool, false where neither bytes nor a path is given."""
        paths = self.column("image_path").cast(pa.string())
        found = np.asarray(pc.fill_null(pc.not_equal(paths, ""), False).to_numpy(), dtype=bool)
        if "image_bytes" in self.dataset.column_names:
            found = found | np.asarray(self.column("image_bytes").is_valid())
        return found

    @cached_property
    def has_image(self) -> np.ndarray:
        """(N,) bool, which items have a picture, by the first bytes of each.

        A truncated picture is detected when it is decoded (``EncodedCatalog.image_features``).
        """
        found_N = self.names_image.copy()
        paths = self.column("image_path").to_pylist()
        heads = self._embedded_heads()
        for row in np.flatnonzero(found_N).tolist():
            head = heads[row]
            try:
                found_N[row] = picture_fault(self._head(paths[row]) if head is None else head) is None
            except UnreadablePicture:
                found_N[row] = False
        return found_N

    def _embedded_heads(self) -> list[bytes | None]:
        if "image_bytes" not in self.dataset.column_names or not len(self):
            return [None] * len(self)
        data = self.column("image_bytes")
        if not pa.types.is_large_binary(data.type):
            data = data.cast(pa.binary())
        return pc.binary_slice(data, 0, HEAD).to_pylist()

    def _head(self, path: str) -> bytes:
        return read_head(self.inside(path))

    def inside(self, path: str) -> str:
        """Return a path, if it stays inside the pictures' folder (``..`` and symbolic links resolved).

        Raises:
            UnreadablePicture: if it leads out of it.
        """
        roots = self._resolved_roots
        if roots is not None and not os.path.realpath(path).startswith(roots):
            raise UnreadablePicture(f"{path} leads out of the pictures' folder")
        return path

    @cached_property
    def _resolved_roots(self) -> tuple[str, ...] | None:
        if self.image_roots is None:
            return None
        return tuple(os.path.join(os.path.realpath(root), "") for root in self.image_roots)

    def texts(self, rows: np.ndarray, column: str = "text") -> list[str]:
        """Return the texts of some rows; the empty string where missing."""
        return [text or "" for text in self._texts(column)[np.asarray(rows).tolist()][column]]

    def _texts(self, column: str) -> Dataset:
        if column not in self._text_columns:
            self._text_columns[column] = self.dataset.select_columns([column])
        return self._text_columns[column]

    @cached_property
    def _text_columns(self) -> dict[str, Dataset]:
        return {}

    @cached_property
    def _pictures(self) -> Dataset:
        names = [name for name in ("image_path", "image_bytes") if name in self.dataset.column_names]
        return self.dataset.select_columns(names)

    def image(self, row: int) -> Image | None:
        """Return the picture of one item, upright, on white, in RGB, or None where it has none.

        Raises:
            UnreadablePicture: if there is a picture, but it can't be read or decoded.
        """
        data = self.image_bytes(row)
        if data is None:
            return None
        try:
            return open_picture(data)
        except UnreadablePicture as error:
            path = self._pictures[int(row)]["image_path"]
            raise UnreadablePicture(f"{path}: {error}" if path else str(error)) from error

    def image_bytes(self, row: int) -> bytes | None:
        """Return the encoded picture as stored, or None where the item has none.

        Raises:
            UnreadablePicture: if its file can't be read, or lies outside the pictures' folder.
        """
        item = self._pictures[int(row)]
        if item.get("image_bytes") is not None:
            return bytes(item["image_bytes"])
        path = item["image_path"]
        return read_picture(self.inside(path)) if path else None

    @cached_property
    def category_names(self) -> list[str]:
        """All categories, sorted."""
        return sorted({c for row in self.column("categories").to_pylist() for c in row or []})

    @cached_property
    def category_matrix(self) -> csr_matrix:
        """(N, C) float32 membership of each item in each category."""
        column = {name: i for i, name in enumerate(self.category_names)}
        rows = [sorted({column[c] for c in row or []}) for row in self.column("categories").to_pylist()]
        offsets = np.cumsum([0, *(len(row) for row in rows)])
        members = np.fromiter((c for row in rows for c in row), dtype=np.int64, count=offsets[-1])
        data = np.ones(len(members), np.float32)
        return csr_matrix((data, members, offsets), shape=(len(self), len(column)))

    def select(self, rows: np.ndarray) -> Catalog:
        """Return the catalogue of some rows, in the order given."""
        chosen = Catalog(self.dataset.select(rows.tolist()), self.image_roots)
        chosen.source_rows, chosen.n_source_rows = self.source_rows[rows], self.n_source_rows
        if "has_image" in self.__dict__:
            chosen.__dict__["has_image"] = self.has_image[rows]
        return chosen

    def extended(self, more: Catalog) -> Catalog:
        """Return the catalogue with further items behind its own.

        Args:
            more: items with other ids; columns missing in one of the two are null there.

        Raises:
            CatalogError: if an id is in both.
        """
        from datasets import Dataset, concatenate_datasets

        for item_id in more.item_ids:
            if item_id in self.index:
                raise CatalogError(f"item_id '{item_id}' is in the catalogue already")
        own, table = self.dataset.features.arrow_schema, more.dataset.with_format("arrow")[:]
        for number, name in enumerate(table.column_names):
            if name in own.names:
                table = table.set_column(number, name, table[name].cast(own.field(name).type))
        both = Catalog(concatenate_datasets([self.dataset, Dataset(table)]), self.image_roots)
        added = np.full(len(more), -1)
        both.source_rows, both.n_source_rows = np.concatenate([self.source_rows, added]), self.n_source_rows
        if "has_image" in self.__dict__:
            both.__dict__["has_image"] = np.concatenate([self.has_image, more.has_image])
        return both

    def with_prices(self, prices: pa.Array) -> Catalog:
        """Return the same items with other prices.

        Args:
            prices: (N,) float64, null where the price is not known.
        """
        from datasets import Value

        rest = self.dataset.remove_columns("price")
        changed = Catalog(
            rest.add_column("price", prices.to_pylist(), feature=Value("float64")), self.image_roots
        )
        changed.source_rows, changed.n_source_rows = self.source_rows, self.n_source_rows
        if "has_image" in self.__dict__:
            changed.__dict__["has_image"] = self.has_image
        return changed


def nearest_column(name: str, names: Sequence[str]) -> str:
    """Return the end of an error message: there is no such column, with the closest name and all names."""
    return f"the item table has none of this name; {nearest(name, [str(known) for known in names])}"


def _arrow(values: Sequence[Any] | pa.ChunkedArray, kind: pa.DataType | None) -> pa.Array | pa.ChunkedArray:
    if not isinstance(values, pa.Array | pa.ChunkedArray):
        return pa.array(values, type=kind)
    return values if kind is None else values.cast(kind)


def context_columns(catalog: Catalog) -> Mapping[str, np.ndarray]:
    """Return (N,) values of the catalogue's columns that rerankers may filter by; None where unknown."""
    fixed = {*REQUIRED.names, "image_bytes"} - {"price"}

    def made(name: str) -> np.ndarray:
        column = catalog.column(name)
        values = np.empty(len(column), dtype=object)
        values[:] = column.to_pylist()
        return values

    names = [name for name in catalog.dataset.column_names if name not in fixed]
    return LazyMapping({name: partial(made, name) for name in names if _is_scalar(catalog.column(name).type)})


def _is_scalar(kind: pa.DataType) -> bool:
    types = pa.types
    tests = (
        types.is_string,
        types.is_large_string,
        types.is_integer,
        types.is_floating,
        types.is_boolean,
        types.is_temporal,
    )
    return any(test(kind) for test in tests)

"""The catalogue: N items in a fixed order, Arrow-backed, with text and picture possibly missing."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from crossrec.types import InputError

if TYPE_CHECKING:
    from datasets import Dataset
    from PIL.Image import Image
    from scipy.sparse import csr_matrix

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
"""Columns that every catalogue has; all but ``item_id`` may hold nulls. ``image_bytes`` (binary) may
stand beside ``image_path`` where pictures are embedded, and any further column is kept."""


class CatalogError(InputError):
    """A catalogue that can't be used; the message names the column or row."""


class Catalog:
    """Items in a fixed order; row i is catalogue index i everywhere in the project.

    Args:
        dataset: ``datasets.Dataset`` with at least the columns of ``REQUIRED``.

    Raises:
        CatalogError: a column is missing, an id is missing or stands twice.
    """

    def __init__(self, dataset: Dataset) -> None:
        missing = [name for name in REQUIRED.names if name not in dataset.column_names]
        if missing:
            raise CatalogError(f"the catalogue lacks the columns {missing}; it has {dataset.column_names}")
        self.dataset = dataset
        if len(self.index) != len(dataset):
            seen: set[str] = set()
            twice = next(i for i in self.item_ids if i in seen or seen.add(i))  # type: ignore[func-returns-value]
            raise CatalogError(f"item_id '{twice}' stands more than once in the catalogue")

    @classmethod
    def from_columns(cls, columns: Mapping[str, Sequence[Any] | pa.ChunkedArray]) -> Catalog:
        """A catalogue from plain or Arrow columns; absent optional columns are filled with nulls."""
        from datasets import Dataset

        n = len(columns["item_id"])
        types = {field.name: field.type for field in REQUIRED} | {"image_bytes": pa.binary()}
        arrays = {name: _arrow(columns.get(name, [None] * n), types[name]) for name in REQUIRED.names}
        for name, values in columns.items():
            if name not in arrays:
                arrays[name] = _arrow(values, types.get(name))
        return cls(Dataset(pa.table(arrays)))

    def __len__(self) -> int:
        return len(self.dataset)

    def column(self, name: str) -> pa.ChunkedArray:
        """One column as Arrow, in catalogue order (also after :meth:`select`)."""
        if not len(self):
            return pa.chunked_array([pa.array([])])
        return self.dataset.select_columns([name]).with_format("arrow")[:][name]

    @cached_property
    def item_ids(self) -> np.ndarray:
        """(N,) original ids, as strings."""
        ids = self.column("item_id")
        if ids.null_count:
            first = np.flatnonzero(ids.is_null().to_numpy())[0]
            raise CatalogError(f"{ids.null_count} catalogue rows have no item_id, the first is row {first}")
        return np.asarray(ids.to_pylist(), dtype=object)

    @cached_property
    def index(self) -> dict[str, int]:
        """Catalogue index of each original id."""
        return {item_id: i for i, item_id in enumerate(self.item_ids)}

    @cached_property
    def has_text(self) -> np.ndarray:
        """(N,) bool, false where the text is missing or blank."""
        text = self.column("text").cast(pa.string())
        written = pc.not_equal(pc.utf8_trim_whitespace(text), "")
        return np.asarray(pc.fill_null(written, False).to_numpy(), dtype=bool)

    @cached_property
    def has_image(self) -> np.ndarray:
        """(N,) bool, false where neither bytes nor a path is given; whether it opens shows on reading."""
        found = np.asarray(self.column("image_path").is_valid())
        if "image_bytes" in self.dataset.column_names:
            found = found | np.asarray(self.column("image_bytes").is_valid())
        return found

    def texts(self, rows: np.ndarray) -> list[str]:
        """Texts of some rows; the empty string where missing."""
        return [text or "" for text in self._texts[np.asarray(rows).tolist()]["text"]]

    @cached_property
    def _texts(self) -> Dataset:
        return self.dataset.select_columns(["text"])

    @cached_property
    def _pictures(self) -> Dataset:
        names = [name for name in ("image_path", "image_bytes") if name in self.dataset.column_names]
        return self.dataset.select_columns(names)

    def image(self, row: int) -> Image | None:
        """The picture of one item in RGB, or None where it has none.

        Raises:
            OSError: there is a picture, but it can't be read or decoded.
        """
        data = self.image_bytes(row)
        if data is None:
            return None
        from PIL import Image

        try:
            with Image.open(io.BytesIO(data)) as picture:
                return picture.convert("RGB")
        except Image.DecompressionBombError as error:
            raise OSError(f"the picture is too large: {error}") from error

    def image_bytes(self, row: int) -> bytes | None:
        """The encoded picture as stored, or None where the item has none."""
        item = self._pictures[int(row)]
        if item.get("image_bytes") is not None:
            return bytes(item["image_bytes"])
        return None if item["image_path"] is None else Path(item["image_path"]).read_bytes()

    @cached_property
    def category_names(self) -> list[str]:
        """All categories, sorted."""
        return sorted({c for row in self.column("categories").to_pylist() for c in row or []})

    @cached_property
    def category_matrix(self) -> csr_matrix:
        """(N, C) float32 membership of each item in each category."""
        from scipy.sparse import csr_matrix

        column = {name: i for i, name in enumerate(self.category_names)}
        rows = [sorted({column[c] for c in row or []}) for row in self.column("categories").to_pylist()]
        offsets = np.cumsum([0, *(len(row) for row in rows)])
        members = np.fromiter((c for row in rows for c in row), dtype=np.int64, count=offsets[-1])
        data = np.ones(len(members), np.float32)
        return csr_matrix((data, members, offsets), shape=(len(self), len(column)))

    def select(self, rows: np.ndarray) -> Catalog:
        """The catalogue of some rows, in the order given."""
        return Catalog(self.dataset.select(rows.tolist()))

    def extended(self, more: Catalog) -> Catalog:
        """The catalogue with further items behind its own.

        Args:
            more: items with other ids; what one of the two has no column for is null there.

        Raises:
            CatalogError: an id is in both.
        """
        from datasets import Dataset, concatenate_datasets

        for item_id in more.item_ids:
            if item_id in self.index:
                raise CatalogError(f"item_id '{item_id}' is in the catalogue already")
        own, table = self.dataset.features.arrow_schema, more.dataset.with_format("arrow")[:]
        for number, name in enumerate(table.column_names):
            if name in own.names:
                table = table.set_column(number, name, table[name].cast(own.field(name).type))
        return Catalog(concatenate_datasets([self.dataset, Dataset(table)]))

    def with_prices(self, prices: pa.Array) -> Catalog:
        """The same items with other prices.

        Args:
            prices: (N,) float64, null where the price is not known.
        """
        from datasets import Value

        rest = self.dataset.remove_columns("price")
        return Catalog(rest.add_column("price", prices.to_pylist(), feature=Value("float64")))


def _arrow(values: Sequence[Any] | pa.ChunkedArray, kind: pa.DataType | None) -> pa.Array | pa.ChunkedArray:
    if not isinstance(values, pa.Array | pa.ChunkedArray):
        return pa.array(values, type=kind)
    return values if kind is None else values.cast(kind)

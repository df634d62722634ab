"""Precomputed features: one vector per item from a file or from a column of the item table."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, model_validator

from crossrec.config import ComponentOptions, nearest
from crossrec.data.catalog import Catalog
from crossrec.encoders.cache import Features
from crossrec.model.encoded_catalog import EncodedCatalog, feature_key
from crossrec.model.modalities.base import ContentVectors, ItemModality, ModalityInputs
from crossrec.model.modalities.layers import FrozenFeatures, Modality
from crossrec.runtime import distributed
from crossrec.types import InputError

logger = logging.getLogger(__name__)

FORMATS = (".npy", ".safetensors", ".parquet")
NUMBERS: Literal["numbers"] = "numbers"


class Vectors(ItemModality):
    """A precomputed vector per item, such as an embedding of its sound or the features of a published set.

    Rows are matched with items by id: by the ids in ``ids``, or in the column ``item_id`` of a Parquet file.
    A file without ids must have one row per row of the item table, in its order. Items without a vector are
    masked.
    """

    class Options(ComponentOptions):
        """A precomputed vector per item, from a file or a column of the item table."""

        positional = ("file",)

        file: Path | None = Field(
            None,
            description="a .npy, .safetensors or .parquet file, relative to data.root; null for a column of "
            "the item table",
        )
        column: str | None = Field(
            None, min_length=1, description="column of lists, of the item table or of a .parquet file"
        )
        tensor: str | None = Field(
            None, min_length=1, description="name of the tensor in a .safetensors file with several"
        )
        ids: Path | Literal["numbers"] | None = Field(
            None,
            description="item ids of the rows: a .npy or .txt file (one id per line); 'numbers' if the item "
            "with id 7 is in row 7; null if the rows are those of the item table",
        )

        @model_validator(mode="after")
        def _readable(self) -> Self:
            if self.file is None and self.column is None:
                raise ValueError("name a file, or a column of the item table with lists of numbers")
            suffix = None if self.file is None else self.file.suffix.lower()
            if suffix is not None and suffix not in FORMATS:
                raise ValueError(f"file: {self.file} is none of {', '.join(FORMATS)}")
            if self.ids is not None and suffix not in (".npy", ".safetensors"):
                raise ValueError("ids: only rows of a .npy or .safetensors file need ids of their own")
            if suffix in (".npy", ".safetensors") and self.column is not None:
                raise ValueError(f"column: a {suffix} file has no columns; a tensor is named by 'tensor'")
            if self.tensor is not None and suffix != ".safetensors":
                raise ValueError("tensor: only a .safetensors file has named tensors")
            return self

    options: Options

    def check_catalog(self, content: EncodedCatalog) -> None:
        """Read and match the vectors."""
        self.features(content)

    def network(self, inputs: ModalityInputs) -> Modality:
        """Return frozen features."""
        features = self.features(inputs.content)
        return FrozenFeatures(features.vectors_ND, features.present_N, components=inputs.whiten)

    def features(self, content: EncodedCatalog) -> Features:
        """Return the items' vectors, matched and checked once.

        Raises:
            InputError: if the file or column can't be read, its vectors are not finite or of several widths,
                an id is repeated, or no item has a vector.
        """
        return content.remembered(self._key, lambda: self._matched(content))

    def set_features(self, content: EncodedCatalog, features: Features) -> None:
        """Set the vectors."""
        content.set_features(self._key, features)

    def encode(self, content: EncodedCatalog, modality: Modality) -> ContentVectors:
        """Return the vectors of new items: those that their rows bring, else those of a file with ids."""
        assert isinstance(modality, FrozenFeatures)
        width = len(modality.map.mean)
        return ContentVectors.of(content.remembered(self._key, lambda: self._of_new_items(content, width)))

    def columns(self, catalog: Catalog) -> Collection[str]:
        """Return the key of a new item's vector: the column, or the modality's name for those of a file."""
        return (self._column,)

    @property
    def _key(self) -> tuple[str, str | None]:
        return feature_key(self.options, self.name)

    @property
    def _column(self) -> str:
        in_table = self.options.file is None and self.options.column is not None
        return str(self.options.column) if in_table else self.name

    def _matched(self, content: EncodedCatalog) -> Features:
        catalog = content.catalog
        rows = self._read(content)
        place_N, how = self._places(rows, catalog)
        known_N = place_N >= 0
        found = _features(rows, place_N)
        n_found = int(found.present_N.sum())
        unknown = len(rows.vectors_RW) - len(np.unique(place_N[known_N]))
        if distributed.is_main():
            logger.info(
                "%s: %d of %d items have a vector of %d numbers from %s, matched by %s; %d have none and are "
                "masked; %d rows are of no item of the catalogue",
                self.name,
                n_found,
                len(catalog),
                rows.vectors_RW.shape[1],
                rows.origin,
                how,
                len(catalog) - n_found,
                unknown,
            )
        if len(catalog) and not n_found:
            own = ", ".join(map(str, rows.ids[:3])) if rows.ids is not None else "none"
            raise InputError(
                f"{self._where}: no item of the catalogue has a vector in {rows.origin}, matched by {how}: "
                f"its ids begin with {own}, those of the catalogue with {', '.join(catalog.item_ids[:3])}"
            )
        return found

    def _of_new_items(self, content: EncodedCatalog, width: int) -> Features:
        catalog = content.catalog
        vectors_KW, present_K = (
            np.zeros((len(catalog), width), np.float32),
            np.zeros(len(catalog), dtype=bool),
        )
        options = self.options
        with_ids = options.ids is not None or (options.file is not None and options.file.suffix == ".parquet")
        if options.file is not None and with_ids and self._path(content).exists():
            rows = self._read(content)
            self._check_width(rows, width)
            found = _features(rows, self._places(rows, catalog)[0])
            vectors_KW, present_K = np.array(found.vectors_ND), found.present_N.copy()
        if self._column in catalog.dataset.column_names:
            own = _of_column(catalog.column(self._column), f"column '{self._column}' of the new items", width)
            own.check(catalog.item_ids)
            self._check_width(own, width)
            given_K = own.given_R
            vectors_KW[given_K], present_K[given_K] = own.vectors_RW[given_K], True
        return Features(vectors_KW, present_K, [])

    def _check_width(self, rows: _Rows, width: int) -> None:
        if rows.vectors_RW.shape[1] != width:
            raise InputError(
                f"{self._where}: the vectors of {rows.origin} have {rows.vectors_RW.shape[1]} numbers, those "
                f"that the model was trained with {width}"
            )

    @property
    def _where(self) -> str:
        return f"model.modalities.{self.name}"

    def _path(self, content: EncodedCatalog, file: Path | None = None) -> Path:
        wanted = self.options.file if file is None else file
        assert wanted is not None
        inside = wanted if content.root is None else content.root / wanted
        return inside if inside.exists() or not wanted.exists() else wanted

    def _read(self, content: EncodedCatalog) -> _Rows:
        """Return the rows as stored, checked but not yet matched with items."""
        options, catalog = self.options, content.catalog
        if options.file is None:
            assert options.column is not None
            catalog.kind(options.column, self._where)
            rows = _of_column(catalog.column(options.column), f"column '{options.column}' of the item table")
            rows = _Rows(rows.vectors_RW, rows.given_R, rows.origin, list(catalog.item_ids))
        else:
            path = self._path(content)
            if not path.is_file():
                raise InputError(f"{self._where}: {path} does not exist; 'file' is relative to data.root")
            rows = self._of_file(path, content)
        rows.check(rows.ids)
        return rows

    def _of_file(self, path: Path, content: EncodedCatalog) -> _Rows:
        suffix = path.suffix.lower()
        try:
            if suffix == ".parquet":
                return _of_parquet(path, self.options.column)
            values = (
                np.load(path, mmap_mode="r", allow_pickle=False)
                if suffix == ".npy"
                else _of_safetensors(path, self.options.tensor)
            )
        except (OSError, ValueError, pa.ArrowInvalid) as error:
            raise InputError(f"{self._where}: {path} can't be read: {error}") from error
        if values.ndim != 2 or values.dtype.kind not in "fiu":
            raise InputError(
                f"{self._where}: {path} holds an array of shape {values.shape} and type {values.dtype}; "
                "needed is one row of numbers per item"
            )
        ids = self.options.ids
        if ids is None or ids == NUMBERS:
            names = None if ids is None else [str(row) for row in range(len(values))]
        else:
            names = _read_ids(self._path(content, Path(ids)), self._where)
            if len(names) != len(values):
                raise InputError(
                    f"{self._where}: {ids} has {len(names):,} ids, but {path} has {len(values):,} rows"
                )
        given_R = ~np.concatenate(
            [np.isnan(block).all(1) for block in _blocks(values)] or [np.zeros(0, bool)]
        )
        return _Rows(values, given_R, str(path), names)

    def _places(self, rows: _Rows, catalog: Catalog) -> tuple[np.ndarray, str]:
        """Return for each item its row, -1 for none, and how they were matched."""
        if rows.ids is None:
            if catalog.n_source_rows != len(rows.vectors_RW):
                raise InputError(
                    f"{self._where}: {rows.origin} has {len(rows.vectors_RW):,} rows and no ids, but the "
                    f"item table has {catalog.n_source_rows:,} items: give the ids of the rows in 'ids'"
                )
            return catalog.source_rows, "the order of the item table"
        row_of = {identifier: row for row, identifier in enumerate(rows.ids)}
        if len(row_of) != len(rows.ids):
            seen: set[str] = set()
            twice = next(i for i in rows.ids if i in seen or seen.add(i))  # type: ignore[func-returns-value]
            raise InputError(f"{self._where}: item id '{twice}' is repeated in the ids of {rows.origin}")
        return np.asarray([row_of.get(str(item), -1) for item in catalog.item_ids], dtype=np.int64), "item id"


@dataclass(frozen=True)
class _Rows:
    """Vectors as stored.

    Args:
        vectors_RW: (R, W) numbers, possibly memory-mapped.
        given_R: (R,) bool, false for rows without a vector: null, or NaN throughout.
        origin: file or column, for messages.
        ids: R item ids; None where the rows are those of the item table.
    """

    vectors_RW: np.ndarray
    given_R: np.ndarray
    origin: str
    ids: Sequence[str] | None = None

    def check(self, names: Sequence[str] | np.ndarray | None) -> None:
        """Check that every vector that is given is finite.

        Raises:
            InputError: with the row and the item of the first that is not.
        """
        first = 0
        for block in _blocks(self.vectors_RW):
            bad = ~np.isfinite(block).all(1) & self.given_R[first : first + len(block)]
            if bad.any():
                row = first + int(np.argmax(bad))
                of = "" if names is None else f" (item '{names[row]}')"
                count = int((~np.isfinite(self.vectors_RW[row])).sum())
                raise InputError(
                    f"{self.origin}: row {row}{of} has {count} numbers that are NaN or infinite; a vector "
                    "that is missing is NaN throughout, or null"
                )
            first += len(block)


def _features(rows: _Rows, place_N: np.ndarray) -> Features:
    known_N = place_N >= 0
    present_N = known_N.copy()
    present_N[known_N] = rows.given_R[place_N[known_N]]
    vectors_NW = np.zeros((len(place_N), rows.vectors_RW.shape[1]), np.float32)
    vectors_NW[present_N] = rows.vectors_RW[place_N[present_N]]
    return Features(vectors_NW, present_N, [])


def _blocks(values: np.ndarray, size: int = 65_536) -> list[np.ndarray]:
    return [values[start : start + size] for start in range(0, len(values), size)]


def _of_column(column: Any, origin: str, width: int | None = None) -> _Rows:
    """Return the vectors of a column of lists.

    Args:
        column: Arrow column.
        origin: for messages.
        width: numbers per vector, for a column without any; found in the column when None.
    """
    values = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    kind = values.type
    if pa.types.is_null(kind):
        return _Rows(np.zeros((len(values), width or 0), np.float32), np.zeros(len(values), bool), origin)
    lists = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    if not lists or not (pa.types.is_floating(kind.value_type) or pa.types.is_integer(kind.value_type)):
        raise InputError(f"{origin} holds {kind}; a vector is a list of numbers")
    values = values.cast(pa.large_list(pa.float32()))
    given_R = np.asarray(values.is_valid())
    lengths = np.asarray(
        pc.fill_null(pc.list_value_length(values), 0).to_numpy(zero_copy_only=False), np.int64
    )
    widths, counts = np.unique(lengths[given_R], return_counts=True)
    if len(widths) > 1:
        usual = widths[counts.argmax()]
        row = int(np.flatnonzero(given_R & (lengths != usual))[0])
        raise InputError(
            f"{origin}: row {row} has a vector of {lengths[row]} numbers, most others have {usual}; all need "
            "the same number"
        )
    size = int(widths[0]) if len(widths) else width or 0
    flat = values.filter(pa.array(given_R)).flatten()
    vectors_RW = np.full((len(values), size), np.nan, np.float32)
    vectors_RW[given_R] = np.asarray(flat.to_numpy(zero_copy_only=False), np.float32).reshape(-1, size)
    return _Rows(vectors_RW, given_R & ~np.isnan(vectors_RW).all(1) if size else given_R, origin)


def _of_parquet(path: Path, column: str | None) -> _Rows:
    import pyarrow.parquet as pq

    schema = pq.read_schema(path)
    lists = [field.name for field in schema if "list" in str(field.type)]
    if "item_id" not in schema.names:
        raise InputError(f"{path}: the column item_id is missing; it has {', '.join(schema.names)}")
    if column is None and len(lists) != 1:
        raise InputError(f"{path}: name the column of vectors as 'column'; lists are in {lists or 'none'}")
    name = lists[0] if column is None else column
    if name not in schema.names:
        raise InputError(f"{path}: there is no column '{name}'; {nearest(name, schema.names)}")
    table = pq.read_table(path, columns=["item_id", name])
    rows = _of_column(table[name], f"{path}, column '{name}'")
    ids = [str(value) for value in table["item_id"].to_pylist()]
    return _Rows(rows.vectors_RW, rows.given_R, rows.origin, ids)


def _of_safetensors(path: Path, tensor: str | None) -> np.ndarray:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            names = list(file.keys())
            if tensor is None and len(names) != 1:
                raise InputError(f"{path} has several tensors: name one of {', '.join(names)} as 'tensor'")
            wanted = names[0] if tensor is None else tensor
            if wanted not in names:
                raise InputError(f"{path} has no tensor '{wanted}'; {nearest(wanted, names)}")
            found = file.get_tensor(wanted)
    except SafetensorError as error:
        raise InputError(f"{path} can't be read: {error}") from error
    # NumPy has no bfloat16.
    values: np.ndarray = (found.float() if found.is_floating_point() else found).numpy()
    return values


def _read_ids(path: Path, where: str) -> list[str]:
    if not path.is_file():
        raise InputError(f"{where}: the ids' file {path} does not exist; 'ids' is relative to data.root")
    try:
        if path.suffix.lower() == ".npy":
            return [str(value) for value in np.load(path, allow_pickle=False).ravel().tolist()]
        return path.read_text(encoding="utf-8").removesuffix("\n").split("\n")
    except (OSError, ValueError) as error:
        raise InputError(f"{where}: the ids' file {path} can't be read: {error}") from error

"""Rows of new items, checked as a whole before anything is changed."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Mapping, Sequence
from numbers import Real
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import polars as pl
import pyarrow as pa
from PIL.Image import Image

from crossrec.data.catalog import REQUIRED, Catalog
from crossrec.runtime.pictures import UnreadablePicture, clean_picture, open_picture, png, read_picture
from crossrec.types import InputError

ID, IMAGE_KEY = "item_id", "image"
FIXED = ("item_id", "title", "text", "image", "categories", "price")
"""Standard keys; the catalogue's other columns are keys too."""
CATEGORY_SEPARATOR = "|"
"""Separator of categories in one text, the default of the table source."""


@runtime_checkable
class Frame(Protocol):
    """Data frame of pandas; that of polars is recognised by its ``to_dicts``."""

    @property
    def columns(self) -> Any:
        """Column names."""

    def astype(self, kind: type) -> Any:
        """Return the frame with values of another type."""

    def notna(self) -> Any:
        """Return which values are present."""


def rows_of(items: Sequence[Mapping[str, Any]] | Frame | pl.DataFrame) -> list[dict[str, Any]]:
    """Return rows from a list of mappings or a frame; NaN, pandas' missing value, becomes None.

    Raises:
        InputError: if it is neither.
    """
    if hasattr(items, "to_dicts"):
        found = items.to_dicts()
    elif isinstance(items, Frame) and hasattr(items, "to_dict"):
        found = items.astype(object).where(items.notna(), None).to_dict("records")
    elif isinstance(items, Sequence) and all(isinstance(row, Mapping) for row in items):
        found = items
    else:
        raise InputError("new items are given as a list of mappings, or as a polars or pandas frame")
    return [{str(key): None if _is_nan(value) else value for key, value in row.items()} for row in found]


def new_catalog(
    items: Sequence[Mapping[str, Any]] | Frame | pl.DataFrame, catalog: Catalog, read: Sequence[str] = ()
) -> Catalog:
    """Return a catalogue of the new items alone, with the columns of the existing catalogue.

    Args:
        items: rows with keys as in :meth:`LoadedRecommender.add_items`.
        catalog: existing catalogue.
        read: keys that the model reads besides text and image; an item may have one in place of both.

    Raises:
        InputError: if an id is missing, duplicate or known already; a key is unknown; a picture can't be
            read; an item has neither text nor picture nor anything else that is read; a value is of the
            wrong kind. Names the item.
    """
    rows = rows_of(items)
    further = [name for name in catalog.dataset.column_names if name not in {*REQUIRED.names, "image_bytes"}]
    own = [name for name in read if name not in {*FIXED, *further}]
    ids = [_id_of(row, number) for number, row in enumerate(rows)]
    _check_ids(ids, catalog)
    for item_id, row in zip(ids, rows, strict=True):
        _check_keys(item_id, row, [*FIXED, *further, *own])
    columns: dict[str, Any] = {
        ID: ids,
        "title": [_text(item_id, row, "title") for item_id, row in zip(ids, rows, strict=True)],
        "text": [_text(item_id, row, "text") for item_id, row in zip(ids, rows, strict=True)],
        "image_bytes": [
            _picture(item_id, row.get(IMAGE_KEY)) for item_id, row in zip(ids, rows, strict=True)
        ],
        "categories": [_categories(item_id, row) for item_id, row in zip(ids, rows, strict=True)],
        "price": [_price(item_id, row) for item_id, row in zip(ids, rows, strict=True)],
    }
    others = [name for name in read if name not in ("text", IMAGE_KEY)]
    for item_id, row, text, picture in zip(ids, rows, columns["text"], columns["image_bytes"], strict=True):
        if picture is None and not (text or "").strip() and all(row.get(name) is None for name in others):
            also = f", nor any of {', '.join(others)}" if others else " (its title alone is not read)"
            raise InputError(f"item '{item_id}' has neither text nor image{also}")
    for name in further:
        columns[name] = _column(name, [row.get(name) for row in rows], catalog)
    for name in own:
        columns[name] = _vectors(name, ids, rows)
    return Catalog.from_columns(columns)


def _id_of(row: Mapping[str, Any], number: int) -> str:
    found = row.get(ID)
    if found is None or not str(found).strip():
        raise InputError(f"new item {number}: item_id is missing")
    return str(found).strip()


def _check_ids(ids: Sequence[str], catalog: Catalog) -> None:
    seen: set[str] = set()
    for item_id in ids:
        if item_id in catalog.index:
            raise InputError(f"item '{item_id}' is in the catalogue already: give new items ids of their own")
        if item_id in seen:
            raise InputError(f"item '{item_id}' is repeated among the new items")
        seen.add(item_id)


def _check_keys(item_id: str, row: Mapping[str, Any], known: Sequence[str]) -> None:
    for key in row:
        if key not in known:
            close = difflib.get_close_matches(key, known, n=1)
            hint = f"did you mean '{close[0]}'? " if close else ""
            raise InputError(f"item '{item_id}': unknown key '{key}'; {hint}there are {', '.join(known)}")


def _text(item_id: str, row: Mapping[str, Any], key: str) -> str | None:
    value = row.get(key)
    if value is not None and not isinstance(value, str):
        raise InputError(f"item '{item_id}': {key} must be a text, not {value!r}")
    if value is not None and value.encode("utf-8", "replace").decode() != value:
        raise InputError(f"item '{item_id}': {key} contains a lone surrogate, which can't be stored")
    return value


def _categories(item_id: str, row: Mapping[str, Any]) -> list[str] | None:
    value = row.get("categories")
    if value is None:
        return None
    if isinstance(value, str):
        value = value.split(CATEGORY_SEPARATOR)
    parts = list(value) if isinstance(value, Iterable) else [value]
    if not all(isinstance(part, str) for part in parts):
        raise InputError(f"item '{item_id}': categories must be texts, not {value!r}")
    return [part.strip() for part in parts if part.strip()] or None


def _price(item_id: str, row: Mapping[str, Any]) -> float | None:
    value = row.get("price")
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 <= float(value) < math.inf:
        raise InputError(f"item '{item_id}': price must be a number from 0, not {value!r}")
    return float(value)


def _picture(item_id: str, given: str | Path | bytes | Image | None) -> bytes | None:
    """Return the encoded picture after decoding it once as a check."""
    from PIL import Image as images

    if given is None or (isinstance(given, str) and not given.strip()):
        return None
    if isinstance(given, str) and given.startswith(("http://", "https://")):
        raise InputError(
            f"item '{item_id}': image is an address ({given}): download it and give path or bytes"
        )
    try:
        if isinstance(given, images.Image):
            return png(clean_picture(given))
        if not isinstance(given, str | Path | bytes | bytearray | memoryview):
            raise InputError(f"item '{item_id}': image must be a path, bytes or a Pillow image")
        data = read_picture(given) if isinstance(given, str | Path) else bytes(given)
        open_picture(data)
    except UnreadablePicture as error:
        raise InputError(f"item '{item_id}': its image can't be read: {error}") from error
    return data


def _column(name: str, values: Sequence[Any], catalog: Catalog) -> pa.Array:
    kind = catalog.column(name).type
    try:
        return pa.array(values, type=kind)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError) as error:
        raise InputError(f"new items: column '{name}' holds {kind} in the catalogue: {error}") from error


def _vectors(name: str, ids: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> pa.Array:
    """Return the vectors that the rows bring for a modality that was read from a file."""
    values = [row.get(name) for row in rows]
    try:
        return pa.array([None if value is None else list(value) for value in values], pa.list_(pa.float32()))
    except (TypeError, pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise InputError(f"new items '{ids[0]}', …: '{name}' is a list of numbers: {error}") from error


def _is_nan(value: object) -> bool:
    return isinstance(value, float) and math.isnan(value)

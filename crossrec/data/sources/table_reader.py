"""Reads an item table and an interaction table into a catalogue and a log."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl

from crossrec.data.catalog import REQUIRED, Catalog
from crossrec.data.interactions import Interactions
from crossrec.data.sources.raw import RawData
from crossrec.data.sources.reading import SourceError, pictures_in, require_root
from crossrec.data.sources.table import TableConfig
from crossrec.data.sources.table_file import TableFile
from crossrec.data.sources.table_times import seconds

RESERVED = {*REQUIRED.names, "image_bytes"}
"""Catalogue columns with a meaning; a further column of the same name is left out."""


def read_tables(config: TableConfig, root: Path | None) -> RawData:
    """Reads both tables; see :class:`~crossrec.data.sources.table.TableConfig`."""
    root = require_root(root, "table")
    log = _read_log(config, root)  # first, as a wrong column shows before pictures are listed
    return RawData(config.name or root.name, config.note, _read_catalog(config, root), log)


def _read_log(config: TableConfig, root: Path) -> Interactions:
    file = TableFile(root, config.interactions, "data.source.interactions", config.delimiter)
    names, key = config.interaction_columns, "data.source.interaction_columns"
    columns = {
        "user_id": file.required(names.user, f"{key}.user"),
        "item_id": file.required(names.item, f"{key}.item"),
        "timestamp": file.required(names.timestamp, f"{key}.timestamp"),
        "rating": file.optional(names.rating, "rating", f"{key}.rating"),
        "label": file.optional(names.label, "label", f"{key}.label"),
    }
    used = {role: name for role, name in columns.items() if name is not None}
    as_text = [used[role] for role in ("user_id", "item_id", "timestamp", "label") if role in used]
    frame = file.read(list(dict.fromkeys(used.values())), as_text)
    parts = [
        pl.col(used[role]).cast(pl.String).str.strip_chars().alias(role) for role in ("user_id", "item_id")
    ]
    if "rating" in used:
        parts.append(pl.col(used["rating"]).cast(pl.Float64, strict=False).alias("rating"))
    if "label" in used:
        parts.append(pl.col(used["label"]).cast(pl.String).alias("label"))
    times = seconds(frame[used["timestamp"]], config.time_unit, file.path, f"{key}.timestamp")
    return Interactions(frame.select(*parts).with_columns(times.alias("timestamp")))


def _read_catalog(config: TableConfig, root: Path) -> Catalog:
    file = TableFile(root, config.items, "data.source.items", config.delimiter)
    names, key = config.item_columns, "data.source.item_columns"
    identifier = file.required(names.id, f"{key}.id")
    title = file.optional(names.title, "title", f"{key}.title")
    image = file.optional(names.image, "image", f"{key}.image")
    categories = file.optional(names.categories, "categories", f"{key}.categories")
    price = file.optional(names.price, "price", f"{key}.price")
    if isinstance(names.text, tuple):
        texts = [file.required(name, f"{key}.text") for name in names.text]
    else:
        texts = [name for name in [file.optional(names.text, "text", f"{key}.text")] if name is not None]
    mapped = [name for name in (identifier, title, image, categories, price, *texts) if name is not None]
    frame = file.read(file.columns, [name for name in mapped if name != price])
    columns: dict[str, Sequence[Any]] = {}
    ids = columns["item_id"] = frame[identifier].cast(pl.String).str.strip_chars().to_list()
    if title is not None:
        columns["title"] = frame[title].cast(pl.String).to_list()
    if texts:
        columns["text"] = _joined(frame, texts, config.text_separator)
    if categories is not None:
        columns["categories"] = _categories(frame[categories], config.category_separator)
    if price is not None:
        columns["price"] = frame[price].cast(pl.Float64, strict=False).to_list()
    columns |= _pictures(config, root, ids, frame[image] if image is not None else None)
    extra = [name for name in frame.columns if name not in mapped and name not in RESERVED]
    if extra:
        table = frame.select(extra).to_arrow(compat_level=pl.CompatLevel.oldest())
        columns |= {name: table[name] for name in extra}
    return Catalog.from_columns(columns)


def _joined(frame: pl.DataFrame, names: Sequence[str], separator: str) -> list[str | None]:
    parts = []
    for name in names:
        text = pl.col(name).cast(pl.String).str.strip_chars()
        parts.append(pl.when(text != "").then(text))
    joined = pl.concat_str(parts, separator=separator, ignore_nulls=True)
    return frame.select(text=pl.when(joined != "").then(joined))["text"].to_list()


def _categories(column: pl.Series, separator: str) -> list[list[str] | None]:
    if isinstance(column.dtype, pl.List):
        return column.cast(pl.List(pl.String)).to_list()
    parts = pl.col(column.name).cast(pl.String).str.split(separator)
    cleaned = parts.list.eval(pl.element().str.strip_chars()).list.eval(
        pl.element().filter(pl.element() != "")
    )
    frame = pl.DataFrame({column.name: column}).select(categories=cleaned)
    return [row or None for row in frame["categories"].to_list()]


def _pictures(
    config: TableConfig, root: Path, ids: Sequence[str], column: pl.Series | None
) -> dict[str, Sequence[Any]]:
    folder = root if config.images is None else root / config.images
    if not folder.is_dir():
        raise SourceError(f"the image folder {folder} does not exist: set data.source.images=FOLDER")
    if column is None:
        found = {} if config.images is None else pictures_in(folder)
        return {"image_path": [found.get(item_id) for item_id in ids]}
    if column.dtype == pl.Binary:
        return {"image_bytes": column.to_list()}
    files = [name.strip() if name else None for name in column.cast(pl.String).to_list()]
    for row, name in enumerate(files):
        if name and name.startswith(("http://", "https://")):
            raise SourceError(
                f"row {row} of {config.items} names a picture by its address ({name}): download the pictures "
                "into a folder, set data.source.images=FOLDER and let the column hold file names"
            )
    return {"image_path": [str(folder / name) if name else None for name in files]}

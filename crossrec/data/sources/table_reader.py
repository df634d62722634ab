"""Reads an item table and an interaction table into a catalogue and a log."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl

from crossrec.data.catalog import Catalog
from crossrec.data.interactions import Interactions
from crossrec.data.sources.item_columns import (
    RESERVED,
    categories,
    identifiers,
    image_folder,
    image_paths,
    joined,
)
from crossrec.data.sources.raw import RawData
from crossrec.data.sources.reading import require_root
from crossrec.data.sources.table import TableConfig
from crossrec.data.sources.table_file import TableFile
from crossrec.data.sources.table_times import seconds


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
    parts: list[pl.Series | pl.Expr] = [
        identifiers(frame[used[role]]).alias(role) for role in ("user_id", "item_id")
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
    kinds = file.optional(names.categories, "categories", f"{key}.categories")
    price = file.optional(names.price, "price", f"{key}.price")
    if isinstance(names.text, tuple):
        texts = [file.required(name, f"{key}.text") for name in names.text]
    else:
        texts = [name for name in [file.optional(names.text, "text", f"{key}.text")] if name is not None]
    mapped = [name for name in (identifier, title, image, kinds, price, *texts) if name is not None]
    frame = file.read(file.columns, [name for name in mapped if name != price])
    columns: dict[str, Sequence[Any]] = {}
    ids = columns["item_id"] = identifiers(frame[identifier]).to_list()
    if title is not None:
        columns["title"] = frame[title].cast(pl.String).to_list()
    if texts:
        columns["text"] = joined(frame, texts, config.text_separator).to_list()
    if kinds is not None:
        columns["categories"] = categories(frame[kinds], config.category_separator).to_list()
    if price is not None:
        columns["price"] = frame[price].cast(pl.Float64, strict=False).to_list()
    columns |= _pictures(config, root, ids, frame[image] if image is not None else None)
    extra = [name for name in frame.columns if name not in mapped and name not in RESERVED]
    if extra:
        table = frame.select(extra).to_arrow(compat_level=pl.CompatLevel.oldest())
        columns |= {name: table[name] for name in extra}
    return Catalog.from_columns(columns, (image_folder(root, config.images),))


def _pictures(
    config: TableConfig, root: Path, ids: Sequence[str], column: pl.Series | None
) -> dict[str, Sequence[Any]]:
    if column is not None and column.dtype == pl.Binary:
        return {"image_bytes": column.to_list()}
    return {"image_path": image_paths(root, config.images, ids, column, config.items)}

"""Reads an item table and an interaction table into a catalogue and a log."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from crossrec.data.interactions import Interactions
from crossrec.data.sources.columns import Columns, catalog, read_items, read_log, with_identifiers
from crossrec.data.sources.raw import RawData
from crossrec.data.sources.reading import Faults, image_folder, image_paths, require_root
from crossrec.data.sources.table import TableConfig
from crossrec.data.sources.table_file import TableFile


def read_tables(config: TableConfig, root: Path | None) -> RawData:
    """Reads both tables; see :class:`~crossrec.data.sources.table.TableConfig`."""
    root = require_root(root, "table")
    faults = Faults()
    clicked, sold = config.interaction_columns, config.item_columns
    log_file = item_file = None
    with faults.collected():
        expected = (clicked.user, clicked.item, clicked.timestamp)
        log_file = _file(config, root, config.interactions, "interactions", expected)
        log_columns = Columns(
            str(log_file.path), log_file.columns, "data.source.interaction_columns", faults
        ).log(clicked)
    with faults.collected():
        item_file = _file(config, root, config.items, "items", (sold.id,))
        uses = Columns(str(item_file.path), item_file.columns, "data.source.item_columns", faults).items(sold)
    faults.report()
    assert log_file is not None and item_file is not None  # noqa: PT018
    log, steps = read_log(
        log_file.read(list(dict.fromkeys(log_columns.values()))),
        log_columns,
        config.time_unit,
        config.decimal,
        str(log_file.path),
        "data.source.interaction_columns",
    )
    frame = item_file.read(item_file.columns)
    items, more = read_items(
        frame,
        uses,
        separator=config.category_separator,
        text_separator=config.text_separator,
        decimal=config.decimal,
        where=str(item_file.path),
        key="data.source.item_columns",
        untyped=item_file.is_text,
    )
    columns, log = with_identifiers(items, log, f"{item_file.path} and {log_file.path}")
    pictures = frame[uses.image] if uses.image is not None else None
    if pictures is not None and pictures.dtype == pl.Binary:
        columns["image_bytes"] = pictures
    else:
        ids = columns["item_id"].to_list()
        columns["image_path"] = image_paths(root, config.images, ids, pictures, config.items)
    return RawData(
        config.name or root.name,
        config.note,
        catalog(columns, (image_folder(root, config.images),)),
        Interactions(log),
        steps=(*steps, *more),
        ordinal=config.time_unit == "order",
    )


def _file(config: TableConfig, root: Path, name: str, use: str, expected: tuple[str, ...]) -> TableFile:
    key = f"data.source.{use}"
    return TableFile(root, name, key, config.delimiter, config.encoding, expected=expected)

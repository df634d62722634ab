"""Items and interactions as two tables: CSV, Parquet or JSON Lines."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import polars as pl

from crossrec.data.interactions import Interactions
from crossrec.data.sources.base import DataSource, RawData
from crossrec.data.sources.columns import (
    Columns,
    ItemUses,
    TwoTableOptions,
    catalog,
    read_items,
    read_log,
    with_identifiers,
)
from crossrec.data.sources.reading import Faults, image_folder, image_paths, require_root
from crossrec.data.sources.table_file import TableFile


class TableSource(DataSource):
    """An item table, an interaction table and an image folder; paths are relative to ``data.root``."""

    class Options(TwoTableOptions):
        """Options of two tables.

        Args:
            items: file of items: CSV (``.csv``, ``.tsv``, ``.txt``), Parquet (``.parquet``, ``.pq``) or JSON
                Lines (``.jsonl``, ``.ndjson``); CSV and JSON Lines may be packed as ``.gz``.
            interactions: file of interactions, in any of these forms.
        """

        items: str = "items.csv"
        interactions: str = "interactions.csv"

    options: Options

    def load(self) -> RawData:
        """Read the tables.

        Raises:
            SourceError: if a folder, file or column is missing or can't be read.
        """
        options = self.options
        root = require_root(self.root, "table")
        faults = Faults()
        clicked, sold = options.interaction_columns, options.item_columns
        log_file = item_file = None
        with faults.collected():
            expected = (clicked.user, clicked.item, clicked.timestamp)
            log_file = _file(options, root, options.interactions, "interactions", expected)
            log_columns = Columns(
                str(log_file.path), log_file.columns, "data.source.interaction_columns", faults
            ).log(clicked)
        with faults.collected():
            item_file = _file(options, root, options.items, "items", (sold.id,))
            uses = Columns(str(item_file.path), item_file.columns, "data.source.item_columns", faults).items(
                sold
            )
        faults.report()
        assert log_file is not None and item_file is not None  # noqa: PT018
        log = log_file.read(list(dict.fromkeys(log_columns.values())))
        items = item_file.read(item_file.columns)
        return joined_tables(
            options,
            log,
            log_columns,
            items,
            uses,
            root=root,
            name=options.name or root.name,
            where=(str(log_file.path), str(item_file.path)),
            untyped=item_file.is_text,
        )


def joined_tables(
    options: TwoTableOptions,
    log: pl.DataFrame,
    log_columns: Mapping[str, str],
    items: pl.DataFrame,
    uses: ItemUses,
    *,
    root: Path,
    name: str,
    where: tuple[str, str],
    untyped: bool,
) -> RawData:
    """Return the data set of a log and an item table.

    Args:
        options: roles and forms of the columns.
        log: the log, one row per click.
        log_columns: column of each part of the log, from :meth:`Columns.log`.
        items: the item table, one row per item.
        uses: column of each part of the catalogue, from :meth:`Columns.items`.
        root: folder that ``options.images`` and image paths are relative to.
        name: name of the data set.
        where: names of the log and of the item table in errors.
        untyped: whether the items' values are text that may hold numbers.

    Raises:
        SourceError: if a column can't be read.
    """
    of_log, of_items = where
    log, steps = read_log(
        log, log_columns, options.time_unit, options.decimal, of_log, "data.source.interaction_columns"
    )
    read, more = read_items(
        items,
        uses,
        separator=options.category_separator,
        text_separator=options.text_separator,
        decimal=options.decimal,
        where=of_items,
        key="data.source.item_columns",
        untyped=untyped,
    )
    columns, log = with_identifiers(read, log, f"{of_items} and {of_log}")
    pictures = items[uses.image] if uses.image is not None else None
    if pictures is not None and pictures.dtype == pl.Binary:
        columns["image_bytes"] = pictures
    else:
        ids = columns["item_id"].to_list()
        columns["image_path"] = image_paths(root, options.images, ids, pictures, Path(of_items).name)
    return RawData(
        name,
        options.note,
        catalog(columns, (image_folder(root, options.images),)),
        Interactions(log),
        steps=(*steps, *more),
        ordinal=options.time_unit == "order",
    )


def _file(
    options: TableSource.Options, root: Path, name: str, use: str, expected: tuple[str, ...]
) -> TableFile:
    key = f"data.source.{use}"
    return TableFile(root, name, key, options.delimiter, options.encoding, expected=expected)

"""RecBole's atomic files: ``.inter`` and ``.item`` with typed headers."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import polars as pl

from crossrec.config import ComponentOptions
from crossrec.data.cleaning_report import Step
from crossrec.data.interactions import Interactions, is_missing
from crossrec.data.sources.base import DataSource, RawData
from crossrec.data.sources.columns import (
    RESERVED,
    Columns,
    InteractionColumns,
    ItemColumns,
    TimeUnit,
    catalog,
    read_items,
    read_log,
    with_identifiers,
)
from crossrec.data.sources.lines import Lines
from crossrec.data.sources.reading import (
    Encoding,
    Faults,
    SourceError,
    image_folder,
    image_paths,
    nearest_file,
    require_root,
    suggest,
    text_lines,
)
from crossrec.data.sources.values import numbers

TYPES = ("token", "token_seq", "float", "float_seq")

QUOTES = "'\","
"""Quotation marks and commas around categories in some converted data sets: ``'Beauty', 'Makeup'``."""


class AtomicFile:
    """A table with a typed header; values stay text until they are read.

    Args:
        path: the file.
        separator: between fields.
        encoding: encoding of the file.

    Raises:
        SourceError: if the file is missing or empty, a type is unknown, or a line has too many fields.
    """

    def __init__(self, path: Path, separator: str, encoding: str) -> None:
        self.path = path
        with text_lines(path, "data.source.encoding", encoding) as lines:
            header = lines.readline().rstrip("\r\n")
        if not header:
            raise SourceError(f"{path} is empty: it must have a header line. Set data.source.dataset=NAME")
        self.types: dict[str, str | None] = {}
        for field in header.split(separator):
            name, colon, kind = field.partition(":")
            if colon and kind not in TYPES:
                raise SourceError(
                    f"{path}, header: '{field}' is of no type of RecBole; {suggest(kind, TYPES)}. "
                    "Fix the header, or set data.source.field_separator"
                )
            if name in self.types:
                raise SourceError(f"{path}, header: the field '{name}' stands twice. Rename one of them")
            self.types[name] = kind or None
        self.columns = list(self.types)
        self._separator = separator
        self._encoding = encoding

    def read(self, unit: Literal["clicks", "items"]) -> tuple[pl.DataFrame, list[Step]]:
        """Return all fields as text, and how many lines have fewer fields than the header."""
        lines = Lines(self.path, self._encoding, skip=1)
        frame = lines.fields(self._separator, self.columns, "data.source.field_separator")
        if not lines.short:
            return frame, []
        detail = f"{lines.short:,}, the first is line {lines.first_short}: what they lack counts as missing"
        return frame, [Step("line with fewer fields", unit, frame.height, 0, detail)]


class RecBoleSource(DataSource):
    """RecBole's atomic files ``<name>.inter`` and, where it is there, ``<name>.item``; ``.user`` is not read.

    Tab-separated, the first line names fields as ``user_id:token``, ``timestamp:float``,
    ``title:token_seq``; a field without a type is read as what it is used for. Without an ``.item`` file
    the items are the ids of the log.
    """

    class Options(ComponentOptions):
        """Options of RecBole's atomic files.

        Args:
            dataset: name of the files; that of the only ``.inter`` file in ``data.root`` when not set.
            interaction_columns: roles of the log's fields.
            item_columns: roles of the items' fields. An optional one that is not set uses the field of its
                own name if there is one; ``image`` contains file names relative to ``images``.
            images: folder of pictures, relative to ``data.root``; without an image field, of
                ``<item id>.jpg``.
            field_separator: between fields.
            seq_separator: between the parts of a ``token_seq`` (RecBole's own default is a blank).
            encoding: encoding of the files.
            decimal: decimal separator of prices and ratings; not set, it is found in each column.
            time_unit: unit of timestamps; ``order`` for mere positions.
        """

        dataset: str | None = None
        interaction_columns: InteractionColumns = InteractionColumns()
        item_columns: ItemColumns = ItemColumns()
        images: str | None = None
        field_separator: str = "\t"
        seq_separator: str = " "
        encoding: Encoding = "utf-8"
        decimal: Literal[".", ","] | None = None
        time_unit: TimeUnit = "s"

    options: Options

    def load(self) -> RawData:
        """Read the files.

        Raises:
            SourceError: if the root, the log or a field is missing, or a line has too many fields.
        """
        options = self.options
        root = require_root(self.root, "recbole")
        name = options.dataset or _only_log(root)
        path, described = root / f"{name}.inter", (root / f"{name}.item").is_file()
        if not path.is_file():
            hint = nearest_file(root, path.name, (".inter",))
            raise SourceError(f"{path} does not exist; {hint}. Set data.source.dataset=NAME")
        faults = Faults()
        log_file = item_file = uses = None
        with faults.collected():
            log_file = AtomicFile(path, options.field_separator, options.encoding)
            key = "data.source.interaction_columns"
            log_columns = Columns(str(path), log_file.columns, key, faults, "field").log(
                options.interaction_columns
            )
        with faults.collected():
            if described:
                item_file = AtomicFile(root / f"{name}.item", options.field_separator, options.encoding)
                columns = Columns(
                    str(item_file.path), item_file.columns, "data.source.item_columns", faults, "field"
                )
                uses = columns.items(options.item_columns)
        faults.report()
        assert log_file is not None
        frame, steps = log_file.read("clicks")
        log, more = read_log(frame, log_columns, options.time_unit, options.decimal, str(path), key)
        steps += more
        notes = []
        items: dict[str, Any] = {}
        pictures = None
        if item_file is not None and uses is not None:
            frame, short = item_file.read("items")
            steps += short
            kinds = None if uses.categories is None else item_file.types[uses.categories]
            separator = "" if kinds == "token" else options.seq_separator
            described_items, more = read_items(
                frame,
                uses,
                separator=separator,
                text_separator=" ",
                decimal=options.decimal,
                where=str(item_file.path),
                key="data.source.item_columns",
                quotes="" if kinds == "token" else QUOTES,
            )
            items, steps = dict(described_items), steps + more
            for field in [field for field, kind in item_file.types.items() if kind == "float"]:
                if field in items and field not in RESERVED:
                    found = numbers(frame[field], options.decimal)
                    items[field] = found.values
                    steps.append(found.step(field, "items"))
            pictures = None if uses.image is None else frame[uses.image]
        else:
            items["item_id"] = log["item_id"].drop_nulls().unique(maintain_order=True)
            notes.append(f"no {name}.item: items are known by id alone")
        if (root / f"{name}.user").is_file():
            notes.append(f"{name}.user is not read: users are their histories")
        items, log = with_identifiers(items, log, f"the files {name}.* in {root}")
        if item_file is None:
            items["item_id"] = _known(log["item_id"])
        items["image_path"] = image_paths(
            root, options.images, items["item_id"].to_list(), pictures, f"{name}.item"
        )
        return RawData(
            f"recbole ({name})",
            "; ".join(notes),
            catalog(items, (image_folder(root, options.images),)),
            Interactions(log),
            steps=tuple(steps),
            ordinal=options.time_unit == "order",
        )


def _known(ids: pl.Series) -> pl.Series:
    """Return each item of a log once, in the order of its first click."""
    frame = pl.DataFrame({"item_id": ids}).filter(~is_missing(pl.col("item_id")))
    return frame["item_id"].unique(maintain_order=True)


def _only_log(root: Path) -> str:
    found = sorted(path.stem for path in root.glob("*.inter"))
    if len(found) != 1:
        there = f"several logs: {', '.join(found)}" if found else "no .inter file"
        raise SourceError(f"{root} holds {there}; set data.source.dataset=NAME or data.root=FOLDER")
    return found[0]

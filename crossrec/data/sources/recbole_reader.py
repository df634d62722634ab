"""Reads RecBole's atomic files into a catalogue and a log."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl

from crossrec.data.catalog import Catalog
from crossrec.data.interactions import Interactions
from crossrec.data.sources.item_columns import (
    RESERVED,
    categories,
    image_folder,
    image_paths,
    joined,
    prices,
)
from crossrec.data.sources.raw import RawData
from crossrec.data.sources.reading import SourceError, nearest, require_root, text_lines
from crossrec.data.sources.recbole import RecBoleConfig
from crossrec.data.sources.table_times import seconds

TYPES = ("token", "token_seq", "float", "float_seq")
QUOTES = "'\","
"""What stands around the categories of some converted data sets: ``'Beauty', 'Makeup'``."""


class AtomicFile:
    """A table with a typed header; everything is text until it is asked for.

    Args:
        path: the file.
        separator: between fields.

    Raises:
        SourceError: the file is missing or empty, a type is unknown, or a line has too many fields.
    """

    def __init__(self, path: Path, separator: str) -> None:
        self.path = path
        with text_lines(path, "data.source.dataset=NAME") as lines:
            header = lines.readline().rstrip("\r\n")
        if not header:
            raise SourceError(f"{path} is empty: it must have a header line. Set data.source.dataset=NAME")
        self.types: dict[str, str | None] = {}
        for field in header.split(separator):
            name, colon, kind = field.partition(":")
            if colon and kind not in TYPES:
                raise SourceError(
                    f"{path}, header: '{field}' is of no type of RecBole; {nearest(kind, TYPES)}. "
                    "Mend the header, or set data.source.field_separator"
                )
            if name in self.types:
                raise SourceError(f"{path}, header: the field '{name}' stands twice. Mend the header")
            self.types[name] = kind or None
        self.columns = list(self.types)
        try:
            self.frame = pl.read_csv(
                path,
                separator=separator,
                has_header=False,
                skip_rows=1,
                schema=dict.fromkeys(self.columns, pl.String),
                quote_char=None,
            )
        except pl.exceptions.NoDataError:
            self.frame = pl.DataFrame(schema=dict.fromkeys(self.columns, pl.String))
        except pl.exceptions.PolarsError as error:
            raise self._fault(separator, error) from error

    def required(self, name: str, key: str) -> str:
        """A field that must be there; ``key`` is the config key that names it."""
        if name not in self.types:
            raise SourceError(
                f"{self.path} has no field '{name}'; {nearest(name, self.columns)}. Set {key}=FIELD"
            )
        return name

    def optional(self, name: str | None, default: str, key: str) -> str | None:
        """A field that must be there if it was configured, else ``default`` where the file has it."""
        if name is not None:
            return self.required(name, key)
        return default if default in self.types else None

    def _fault(self, separator: str, error: Exception) -> SourceError:
        """The first line with too many fields, else what the reader said."""
        with self.path.open(encoding="utf-8-sig", errors="replace") as handle:
            for number, line in enumerate(handle, start=1):
                found = line.count(separator) + 1
                if found > len(self.columns):
                    return SourceError(
                        f"{self.path}, line {number}: {found} fields, but the header names "
                        f"{len(self.columns)}. Mend the line, or set data.source.field_separator"
                    )
        return SourceError(f"{self.path} can't be read: {error}. Set data.source.dataset=NAME")


def read_recbole(config: RecBoleConfig, root: Path | None) -> RawData:
    """Reads one data set; see :class:`~crossrec.data.sources.recbole.RecBoleConfig`."""
    root = require_root(root, config.type)
    name = config.dataset or _only_log(root)
    for suffix in (".inter", ".item"):
        path = root / f"{name}{suffix}"
        if suffix == ".inter" and not path.is_file():
            there = nearest(path.name, sorted(found.name for found in root.iterdir())[:50])
            raise SourceError(f"{path} does not exist; {there}. Set data.source.dataset=NAME")
    log = _read_log(config, AtomicFile(root / f"{name}.inter", config.field_separator))
    notes = []
    if (root / f"{name}.item").is_file():
        catalog, unreadable = _read_catalog(
            config, root, AtomicFile(root / f"{name}.item", config.field_separator)
        )
        if unreadable:
            notes.append(f"{unreadable:,} prices that are no number")
    else:
        ids = log["item_id"].drop_nulls().unique(maintain_order=True).to_list()
        catalog = Catalog.from_columns({"item_id": ids})
        notes.append(f"no {name}.item: items are known by id alone")
    if (root / f"{name}.user").is_file():
        notes.append(f"{name}.user is not read: users are their histories")
    return RawData(f"recbole ({name})", "; ".join(notes), catalog, Interactions(log))


def _only_log(root: Path) -> str:
    found = sorted(path.stem for path in root.glob("*.inter"))
    if len(found) != 1:
        there = f"several logs: {', '.join(found)}" if found else "no .inter file"
        raise SourceError(f"{root} holds {there}; set data.source.dataset=NAME or data.root=FOLDER")
    return found[0]


def _read_log(config: RecBoleConfig, file: AtomicFile) -> pl.DataFrame:
    names, key = config.interaction_columns, "data.source.interaction_columns"
    user, item = file.required(names.user, f"{key}.user"), file.required(names.item, f"{key}.item")
    time = file.required(names.timestamp, f"{key}.timestamp")
    rating = file.optional(names.rating, "rating", f"{key}.rating")
    label = file.optional(names.label, "label", f"{key}.label")
    columns = [
        pl.col(user).str.strip_chars().alias("user_id"),
        pl.col(item).str.strip_chars().alias("item_id"),
    ]
    if rating is not None:
        columns.append(pl.col(rating).cast(pl.Float64, strict=False).alias("rating"))
    if label is not None:
        columns.append(pl.col(label).alias("label"))
    times = seconds(file.frame[time], config.time_unit, file.path, f"{key}.timestamp")
    return file.frame.select(*columns).with_columns(times.alias("timestamp"))


def _read_catalog(config: RecBoleConfig, root: Path, file: AtomicFile) -> tuple[Catalog, int]:
    names, key = config.item_columns, "data.source.item_columns"
    identifier = file.required(names.id, f"{key}.id")
    title = file.optional(names.title, "title", f"{key}.title")
    image = file.optional(names.image, "image", f"{key}.image")
    kinds = file.optional(names.categories, "categories", f"{key}.categories")
    price = file.optional(names.price, "price", f"{key}.price")
    wanted = (names.text,) if isinstance(names.text, str | None) else names.text
    texts = [found for name in wanted if (found := file.optional(name, "text", f"{key}.text")) is not None]
    frame = file.frame
    columns: dict[str, Any] = {"item_id": frame[identifier].str.strip_chars()}
    unreadable = 0
    if title is not None:
        columns["title"] = frame[title]
    if texts:
        columns["text"] = joined(frame, texts, " ")
    if kinds is not None:
        whole = file.types[kinds] == "token"
        separator = "\0" if whole else config.seq_separator
        columns["categories"] = categories(frame[kinds], separator, "" if whole else QUOTES)
    if price is not None:
        columns["price"], unreadable = prices(frame[price])
    mapped = {identifier, title, image, kinds, price, *texts}
    columns |= {name: frame[name] for name in file.columns if name not in mapped and name not in RESERVED}
    arrow = {name: column.to_arrow(compat_level=pl.CompatLevel.oldest()) for name, column in columns.items()}
    ids = columns["item_id"].to_list()
    pictures = image_paths(root, config.images, ids, None if image is None else frame[image], file.path.name)
    folders = (image_folder(root, config.images),)
    return Catalog.from_columns({**arrow, "image_path": pictures}, folders), unreadable

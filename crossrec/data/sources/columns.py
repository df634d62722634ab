"""Catalogue and log from the columns of two tables, for every source with named columns."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import polars as pl
from pydantic import Field, model_validator

from crossrec.config import ComponentOptions, Config
from crossrec.data.catalog import REQUIRED, Catalog
from crossrec.data.cleaning_report import Step
from crossrec.data.sources.reading import Encoding, Faults, SourceError, suggest
from crossrec.data.sources.table_file import other_delimiter
from crossrec.data.sources.values import categories, identifiers, joined, numbers, seconds, typed

TimeUnit = Literal["s", "ms", "us", "ns", "order"]
"""Unit of numeric times; ``order`` says that they are positions in each user's order, not points in time."""


class ItemColumns(Config):
    """Roles of the item table's columns.

    An optional entry that is not set uses the column of its own name if the table has one. All other columns
    of the table are kept in the catalogue under their names.

    Args:
        id: item ids; required.
        title: displayed title.
        text: text for encoders, one column or several to be joined; missing parts are omitted.
        image: file names relative to ``images``, or encoded pictures (a binary Parquet column).
        categories: text divided by ``category_separator``, a JSON or Python list, or a list column (Parquet).
        price: a number, with or without a currency ("$1,299.00", "1.299,00 €").
    """

    id: str = "item_id"
    title: str | None = None
    text: str | tuple[str, ...] | None = None
    image: str | None = None
    categories: str | None = None
    price: str | None = None


class InteractionColumns(Config):
    """Roles of the interaction table's columns.

    Args:
        user: user ids; required.
        item: item ids; required.
        timestamp: numbers in ``time_unit``, ISO dates or ISO datetimes; required.
        rating: a number ("4.5" or "4,5"); not set, the column ``rating`` where the table has one.
        event: type of each event ("view", "cart", "purchase"), which ``data.cleaning.events`` and
            ``data.cleaning.target_events`` refer to; not set, the column ``event`` where the table has one.
    """

    user: str = "user_id"
    item: str = "item_id"
    timestamp: str = "timestamp"
    rating: str | None = None
    event: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _read_label(cls, value: Any) -> Any:
        """Read ``label``, the key of configurations that version 0.1 stored with its runs."""
        if isinstance(value, Mapping) and "label" in value and "event" not in value:
            return {"event" if key == "label" else key: content for key, content in value.items()}
        return value


class TwoTableOptions(ComponentOptions):
    """Options of sources with one table of items and one of interactions.

    Args:
        item_columns: roles of the item table's columns.
        interaction_columns: roles of the interaction table's columns.
        images: folder of the files that the image column names, relative to ``data.root``; without an image
            column, the folder that holds ``<item id>.jpg`` (or .jpeg, .png, .webp, .gif, .bmp).
        category_separator: between the categories of an item; not set, "|", ";" or a comma is found in the
            column.
        text_separator: put between text columns that are joined.
        delimiter: column delimiter of CSV files.
        encoding: encoding of CSV files.
        decimal: decimal separator of prices and ratings that are text; not set, it is found in each column.
        time_unit: unit of numeric timestamps (``order`` for mere positions); text and the times of Parquet
            and Arrow carry theirs.
        name: name of the data set; not set, that of the folder or of the items.
        note: one line about the data that every output prints.
    """

    item_columns: ItemColumns = ItemColumns()
    interaction_columns: InteractionColumns = InteractionColumns()
    images: str | None = None
    category_separator: str | None = Field(None, min_length=1)
    text_separator: str = " "
    delimiter: str = Field(",", min_length=1, max_length=1)
    encoding: Encoding = "utf-8"
    decimal: Literal[".", ","] | None = None
    time_unit: TimeUnit = "s"
    name: str | None = None
    note: str = ""


RESERVED = {*REQUIRED.names, "image_bytes"}
"""Catalogue columns with a meaning; a further column of the same name is left out."""


@dataclass(frozen=True)
class Columns:
    """Columns of a table by their use; missing ones are collected as faults.

    Args:
        where: file, for messages.
        names: names of all columns.
        key: configuration key that maps uses to columns.
        faults: collection of missing columns.
        noun: the format's word for a column.
    """

    where: str
    names: Sequence[str]
    key: str
    faults: Faults
    noun: str = "column"

    def required(self, name: str, use: str) -> str:
        """Return a column that must exist."""
        if name not in self.names:
            if mark := other_delimiter(self.names, name):
                key = "field_separator" if self.noun == "field" else "delimiter"
                self.faults.add(
                    f"the header of {self.where} is divided by {json.dumps(mark)}: "
                    f"set data.source.{key}={json.dumps(mark)}"
                )
            else:
                hint, way_out = suggest(name, self.names), f"{self.key}.{use}={self.noun.upper()}"
                self.faults.add(f"{self.where} has no {self.noun} '{name}'; {hint}. Set {way_out}")
        return name

    def optional(self, name: str | None, use: str) -> str | None:
        """Return a column that must exist if configured, else the column named after its use, if any."""
        if name is not None:
            return self.required(name, use)
        return use if use in self.names else None

    def log(self, names: InteractionColumns) -> dict[str, str]:
        """Return the column of each part of the log."""
        found = {
            "user_id": self.required(names.user, "user"),
            "item_id": self.required(names.item, "item"),
            "timestamp": self.required(names.timestamp, "timestamp"),
            "rating": self.optional(names.rating, "rating"),
            "event": self.optional(names.event, "event"),
        }
        return {part: name for part, name in found.items() if name is not None}

    def items(self, names: ItemColumns) -> ItemUses:
        """Return the columns of each part of the catalogue."""
        wanted = (names.text,) if isinstance(names.text, str | None) else names.text
        texts = [found for name in wanted if (found := self.optional(name, "text")) is not None]
        return ItemUses(
            self.required(names.id, "id"),
            self.optional(names.title, "title"),
            tuple(texts),
            self.optional(names.image, "image"),
            self.optional(names.categories, "categories"),
            self.optional(names.price, "price"),
        )


@dataclass(frozen=True)
class ItemUses:
    """Use of each column of an item table."""

    identifier: str
    title: str | None
    texts: tuple[str, ...]
    image: str | None
    categories: str | None
    price: str | None

    @property
    def mapped(self) -> list[str]:
        """All columns with a use but the picture's, each once."""
        names = (self.identifier, self.title, *self.texts, self.categories, self.price)
        return list(dict.fromkeys(name for name in names if name is not None))


def refuse_nested(frame: pl.DataFrame, names: Sequence[str], where: str, key: str) -> None:
    """Reject columns that hold lists or structures where one value per row is needed.

    Raises:
        SourceError: if a column holds lists.
    """
    nested = next((name for name in names if frame.schema[name].is_nested()), None)
    if nested is not None:
        raise SourceError(
            f"{where}: column '{nested}' holds {frame.schema[nested]}, not one value per row. "
            f"Choose another in {key}"
        )


def read_log(
    frame: pl.DataFrame, columns: Mapping[str, str], unit: str, decimal: str | None, where: str, key: str
) -> tuple[pl.DataFrame, list[Step]]:
    """Return the log with item ids as stored (:func:`data_set` reads them with the catalogue's).

    Args:
        frame: the table.
        columns: the column of each part of the log.
        unit: unit of numeric times.
        decimal: decimal separator; found in the columns when None.
        where: the file, for messages.
        key: the config key of the columns, for messages.

    Raises:
        SourceError: if a column holds lists, or no time at all can be read.
    """
    refuse_nested(frame, list(columns.values()), where, key)
    times = seconds(frame[columns["timestamp"]], unit, where, f"{key}.timestamp")
    steps = [times.step("time", "clicks")]
    parts = [
        identifiers(frame[columns["user_id"]], where=where)[0].alias("user_id"),
        frame[columns["item_id"]].alias("item_id"),
        times.values.alias("timestamp"),
    ]
    if "rating" in columns:
        ratings = numbers(frame[columns["rating"]], decimal)
        steps.append(ratings.step("rating", "clicks"))
        parts.append(ratings.values.alias("rating"))
    if "event" in columns:
        parts.append(frame[columns["event"]].cast(pl.String).alias("event"))
    return pl.DataFrame(parts), steps


def read_items(
    frame: pl.DataFrame,
    uses: ItemUses,
    *,
    separator: str | None,
    text_separator: str,
    decimal: str | None,
    where: str,
    key: str,
    quotes: str = "",
    untyped: bool = False,
) -> tuple[dict[str, pl.Series], list[Step]]:
    """Return the catalogue's columns without pictures, and the ids still as they are stored.

    Args:
        frame: the table; columns without a use are kept as they are.
        uses: use of each column.
        separator: separator of categories; found in the column when None.
        text_separator: separator of joined texts.
        decimal: decimal separator; found in the column when None.
        where: the file, for messages.
        key: the config key of the columns, for messages.
        quotes: characters that may surround a category.
        untyped: whether the file has text only, so that numbers in further columns must be found.

    Raises:
        SourceError: if the column of ids or prices holds lists.
    """
    refuse_nested(frame, [name for name in (uses.identifier, uses.price) if name is not None], where, key)
    series, steps = {"item_id": frame[uses.identifier]}, []
    if uses.title is not None:
        series["title"] = joined(frame, [uses.title], " ")
    if uses.texts:
        series["text"] = joined(frame, uses.texts, text_separator)
    if uses.categories is not None:
        series["categories"], guess = categories(frame[uses.categories], separator, quotes)
        if guess:
            steps.append(Step("categories", "items", frame.height, 0, guess))
    if uses.price is not None:
        found = numbers(frame[uses.price], decimal)
        series["price"] = found.values
        steps.append(found.step("price", "items"))
    rest = [name for name in frame.columns if name not in {*uses.mapped, uses.image} and name not in RESERVED]
    return series | {name: typed(frame[name]) if untyped else frame[name] for name in rest}, steps


def with_identifiers(
    items: Mapping[str, Any], log: pl.DataFrame, where: str
) -> tuple[dict[str, Any], pl.DataFrame]:
    """Return the catalogue columns and the log with the ids of items as text, read by one rule for both.

    Raises:
        SourceError: if ids are floating-point numbers that lost digits.
    """
    known, clicked = identifiers(items["item_id"], log["item_id"], where=where)
    return {**items, "item_id": known}, log.with_columns(clicked.alias("item_id"))


def catalog(columns: Mapping[str, Any], image_roots: tuple[Path, ...]) -> Catalog:
    """Return a catalogue of polars series and Arrow-compatible columns, with pictures in some folders."""
    oldest = pl.CompatLevel.oldest()
    return Catalog.from_columns(
        {
            name: values.to_arrow(compat_level=oldest) if isinstance(values, pl.Series) else values
            for name, values in columns.items()
        },
        image_roots,
    )

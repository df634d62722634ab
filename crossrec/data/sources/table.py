"""Items and interactions as two tables of one's own, CSV or Parquet."""

from __future__ import annotations

import codecs
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, Field

from crossrec.config import Config

if TYPE_CHECKING:
    from crossrec.data.sources.raw import RawData


def _known(encoding: str) -> str:
    try:
        codecs.lookup(encoding)
    except LookupError:
        examples = "utf-8, cp1252, latin-1, utf-16, cp1251, gbk, shift_jis"
        raise ValueError(f"unknown encoding '{encoding}'; encodings are called {examples}, …") from None
    return encoding


Encoding = Annotated[str, AfterValidator(_known)]
"""A config field that names the encoding of text files."""

TimeUnit = Literal["s", "ms", "us", "ns", "order"]
"""Unit of numeric times; ``order`` says that they are positions in each user's order, not points in time."""


class ItemColumns(Config):
    """Which column of the item table is what.

    An optional entry that is not set takes the column of its own name where the table has one. All
    other columns of the table are kept in the catalogue under their own names.

    Args:
        id: item ids; required.
        title: what is displayed.
        text: what text encoders read, one column or several to be joined; missing parts are left out.
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
    """Which column of the interaction table is what.

    Args:
        user: user ids; required.
        item: item ids; required.
        timestamp: numbers in ``time_unit``, ISO dates or ISO datetimes; required.
        rating: a number ("4.5" or "4,5"); not set, the column ``rating`` where the table has one.
        label: "click", "purchase", …; not set, the column ``label`` where the table has one.
    """

    user: str = "user_id"
    item: str = "item_id"
    timestamp: str = "timestamp"
    rating: str | None = None
    label: str | None = None


class TableConfig(Config):
    """An item table, an interaction table and an image folder; paths are relative to ``data.root``.

    Args:
        items: CSV (``.csv``, ``.tsv``, ``.txt``) or Parquet (``.parquet``, ``.pq``) file of items.
        interactions: file of interactions, in either form.
        item_columns: what the columns of the item table are.
        interaction_columns: what the columns of the interaction table are.
        images: folder of the files that the image column names; without an image column, the folder
            that holds ``<item id>.jpg`` (or .jpeg, .png, .webp, .gif, .bmp).
        category_separator: between the categories of an item; not set, "|", ";" or a comma is found in
            the column.
        text_separator: put between text columns that are joined.
        delimiter: of CSV files.
        encoding: of CSV files.
        decimal: what separates decimals in prices and ratings; not set, it is found in each column.
        time_unit: unit of numeric timestamps (``order`` for mere positions); text and Parquet's own times
            carry theirs.
        name: what the data set is called; the folder's name when not set.
        note: one line about the data that every output prints.
    """

    type: Literal["table"] = "table"
    items: str = "items.csv"
    interactions: str = "interactions.csv"
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

    def load(self, root: Path | None, cache_dir: Path) -> RawData:
        """Reads the tables.

        Args:
            root: the folder that the paths are relative to.
            cache_dir: not used, nothing is generated.

        Raises:
            SourceError: a folder, file or column is missing or can't be read.
        """
        from crossrec.data.sources.table_reader import read_tables

        return read_tables(self, root)

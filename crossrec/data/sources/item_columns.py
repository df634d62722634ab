"""Columns of items in the forms that files have them: joined texts, divided categories, HTML, prices."""

from __future__ import annotations

import html
import os
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from crossrec.data.catalog import REQUIRED
from crossrec.data.sources.reading import SourceError, pictures_in

RESERVED = {*REQUIRED.names, "image_bytes"}
"""Catalogue columns with a meaning; a further column of the same name is left out."""

MARKUP = r"</?[A-Za-z][^<>]*>|<!--[\s\S]*?-->"
"""HTML tags and comments; "5 < 7 > 3" is none."""


def identifiers(column: pl.Series) -> pl.Series:
    """Ids as text; a number that a reader made a fraction, for another row had none, is whole again ("7")."""
    if column.dtype.is_float() and (column.drop_nulls().drop_nans() % 1 == 0).all():
        column = column.fill_nan(None).cast(pl.Int64)
    return column.cast(pl.String).str.strip_chars()


def joined(frame: pl.DataFrame, names: Sequence[str], separator: str) -> pl.Series:
    """One text of several columns (text or lists of texts), missing parts left out; null where all are."""
    parts = []
    for name in names:
        text = pl.col(name)
        if isinstance(frame.schema[name], pl.List):
            text = text.cast(pl.List(pl.String)).list.drop_nulls().list.join(" ")
        text = text.cast(pl.String).str.strip_chars()
        parts.append(pl.when(text != "").then(text))
    text = pl.concat_str(parts, separator=separator, ignore_nulls=True)
    return frame.select(text=pl.when(text != "").then(text))["text"]


def categories(column: pl.Series, separator: str, quotes: str = "") -> pl.Series:
    """Lists of texts, null where there is none.

    Args:
        column: lists, or text that ``separator`` divides.
        separator: between the categories of an item.
        quotes: characters that may stand around a category besides blanks.
    """
    values = pl.col(column.name)
    if not isinstance(column.dtype, pl.List):
        values = values.cast(pl.String).str.split(separator)
    values = values.cast(pl.List(pl.String))
    cleaned = values.list.eval(pl.element().str.strip_chars(f" \t\r\n{quotes}" if quotes else None))
    named = cleaned.list.eval(pl.element().filter(pl.element() != ""))
    return pl.DataFrame({column.name: column}).select(categories=pl.when(named.list.len() > 0).then(named))[
        "categories"
    ]


def without_html(column: pl.Series) -> pl.Series:
    """Text without tags and with entities as characters ("&amp;" becomes "&"), blanks made single."""
    text = column.cast(pl.String)
    marked = text.str.contains(r"[<&]").fill_null(False)
    if marked.any():
        bare = text.filter(marked).str.replace_all(MARKUP, " ")
        mended = pl.Series([html.unescape(value) for value in bare.to_list()], dtype=pl.String)
        text = text.scatter(marked.arg_true(), mended)
    return text.str.replace_all(r"\s+", " ").str.strip_chars()


def prices(column: pl.Series) -> tuple[pl.Series, int]:
    """Numbers of prices as shops write them ("$1,299.00"), and how many written ones are no single number.

    Returns:
        Float64, null where there is no price or it can't be read ("from 5.99"); the number of the latter.
    """
    written = column.cast(pl.String).str.strip_chars()
    missing = written.is_null() | written.is_in(["", "None", "null", "—", "-"])
    number = written.str.extract(r"^\$?\s*(-?\d[\d,]*(?:\.\d+)?(?:[eE][+-]?\d+)?)$", 1)
    found = number.str.replace_all(",", "").cast(pl.Float64, strict=False)
    return found, int((found.is_null() & ~missing.fill_null(True)).sum())


def image_folder(root: Path, images: str | None) -> Path:
    """The folder of the pictures: ``images``, relative to the folder of the data, or that folder itself."""
    return root if images is None else root / images


def image_paths(
    root: Path, images: str | None, ids: Sequence[str], column: pl.Series | None, table: str
) -> list[str | None]:
    """The picture file of each item, null where it has none.

    Args:
        root: the folder of the data.
        images: the folder of the pictures, relative to ``root``; ``root`` itself when None.
        ids: of the items.
        column: file names; None to look for ``<item id>.jpg`` and the like in ``images``, if that is set.
        table: what holds the column, for messages.

    Raises:
        SourceError: the folder does not exist, a picture is named by its address, or lies outside the folder.
    """
    folder = image_folder(root, images)
    if not folder.is_dir():
        raise SourceError(f"the image folder {folder} does not exist: set data.source.images=FOLDER")
    if column is None:
        found = {} if images is None else pictures_in(folder)
        return [found.get(item_id) for item_id in ids]
    files = [name.strip() if name else None for name in column.cast(pl.String).to_list()]
    inside = os.path.join(os.path.abspath(folder), "")
    for row, name in enumerate(files):
        if name and name.startswith(("http://", "https://")):
            raise SourceError(
                f"row {row} of {table} names a picture by its address ({name}): download the pictures "
                "into a folder, set data.source.images=FOLDER and let the column hold file names"
            )
        if name and not os.path.abspath(folder / name).startswith(inside):
            raise SourceError(
                f"row {row} of {table} names a picture outside the image folder {folder} ({name}): set "
                "data.source.images=FOLDER to the folder that holds them all"
            )
    return [str(folder / name) if name else None for name in files]

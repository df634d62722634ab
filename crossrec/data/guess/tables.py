"""Tables of a folder: their delimiters and encodings, and which are the items and the interactions."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path

import polars as pl

from crossrec.data.guess.facts import ColumnFacts, named
from crossrec.data.sources.reading import SourceError, codec, guessed_encoding, open_binary
from crossrec.data.sources.table_file import (
    CSV_SUFFIXES,
    DELIMITERS,
    PARQUET_SUFFIXES,
    TABLE_SUFFIXES,
    TableFile,
    table_suffix,
)
from crossrec.data.sources.values import identifiers

ROWS = 1_000_000
"""Number of rows of a table that are looked at."""

FILES = 200
"""Number of files of a folder that are looked at."""

HEAD_BYTES = 1 << 20


@dataclass(frozen=True)
class Table:
    """A table of the folder.

    Args:
        name: path relative to the folder.
        columns: facts about each column.
        n: rows that were read.
        whole: whether these are all.
        delimiter: delimiter of a CSV file; None for others.
        encoding: encoding of a CSV file; None for others.
        is_ascii: whether the first part of a CSV file is the same in all encodings.
        pictures: binary columns that hold pictures.
    """

    name: str
    columns: dict[str, ColumnFacts]
    n: int
    whole: bool
    delimiter: str | None = None
    encoding: str | None = None
    is_ascii: bool = True
    pictures: tuple[str, ...] = ()

    @property
    def rows(self) -> str:
        """The number of rows, for people."""
        return f"{self.n:,} rows" if self.whole else f"more than {self.n:,} rows"

    def describe(self) -> str:
        """Return the name with the columns, for messages."""
        return f"{self.name} ({', '.join([*self.columns, *self.pictures]) or 'no columns'})"


def table_files(root: Path) -> Iterator[str]:
    """Yield the tables of a folder and of the folders in it, relative to it."""
    found = [path for pattern in ("*", "*/*") for path in sorted(root.glob(pattern))]
    tables = [path for path in found if table_suffix(path) in TABLE_SUFFIXES and path.is_file()]
    for path in tables[:FILES]:
        yield path.relative_to(root).as_posix()


def table_of(name: str, frame: pl.DataFrame, *, whole: bool = True, **more: object) -> Table:
    """Return a table of a frame."""
    columns = {column: ColumnFacts(frame[column]) for column in frame.columns}
    return Table(name, columns, frame.height, whole, **more)  # type: ignore[arg-type]


def read_table(root: Path, name: str) -> Table:
    """Read a table, of a long one the first rows.

    Raises:
        SourceError: if it can't be read.
    """
    path, key = root / name, "data.source.items"
    suffix = table_suffix(path)
    if suffix in PARQUET_SUFFIXES:
        return _read_parquet(TableFile(root, name, key), name)
    if suffix not in CSV_SUFFIXES:
        frame = TableFile(root, name, key).read_head(ROWS)
        return table_of(name, frame, whole=frame.height < ROWS)
    encoding = guessed_encoding(path)
    if encoding is None:
        raise SourceError(f"{path} is no text")
    with open_binary(path) as handle:
        head = handle.read(HEAD_BYTES)
    delimiter = guessed_delimiter(head.decode(codec(encoding), errors="replace"))
    frame = TableFile(root, name, key, delimiter, encoding).read_head(ROWS)
    return table_of(
        name,
        frame,
        whole=frame.height < ROWS,
        delimiter=delimiter,
        encoding=encoding,
        is_ascii=encoding == "utf-8" and head.isascii(),
    )


def _read_parquet(file: TableFile, name: str) -> Table:
    schema = pl.read_parquet_schema(file.path)
    binary = [column for column, kind in schema.items() if kind == pl.Binary]
    frame = file.read_head(ROWS, [column for column in schema if column not in binary])
    first = file.read_head(10, binary) if binary else pl.DataFrame()
    pictures = tuple(column for column in binary if _holds_pictures(first[column]))
    return table_of(name, frame, whole=frame.height < ROWS, pictures=pictures)


def _holds_pictures(column: pl.Series) -> bool:
    starts = (b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"RIFF", b"BM")
    return any(value.startswith(starts) for value in column.drop_nulls().to_list())


def guessed_delimiter(text: str) -> str:
    """Return the delimiter that divides most lines into as many fields as the header, and the most fields."""
    lines = text.splitlines(keepends=True)[:200]
    if len(lines) > 1 and len(text) >= HEAD_BYTES - 4:
        lines = lines[:-1]  # it may be cut

    def fit(mark: str) -> tuple[bool, float, int]:
        with suppress(csv.Error):
            widths = [len(row) for row in csv.reader(io.StringIO("".join(lines)), delimiter=mark) if row]
            if widths and widths[0] > 1:
                share = sum(width == widths[0] for width in widths) / len(widths)
                return share > 0.9, share if share <= 0.9 else 1.0, widths[0]
        return False, 0.0, 0

    best = max(DELIMITERS, key=fit)
    return best if fit(best)[2] else ","


@dataclass(frozen=True)
class TablePair:
    """Item table and interaction table, joined by the item id.

    Args:
        items: table with one row per item.
        item_id: its column of ids.
        log: table with one row per interaction.
        log_item: its column of item ids.
        match: share of the interactions whose item is in the item table.
        score: how well the pair fits, to choose among several.
    """

    items: Table
    item_id: str
    log: Table
    log_item: str
    match: float
    score: float


def find_pairs(tables: Sequence[Table]) -> list[TablePair]:
    """Return the pairs of tables that share item ids, the best first."""
    found = [
        pair
        for items, log in permutations(tables, 2)
        if has_time(log)
        for key in items.columns.values()
        if is_id(key)
        for column in log.columns.values()
        if column.usable
        and not column.is_list
        and not column.is_fraction
        and (pair := _pair(items, key, log, column))
    ]
    return sorted(found, key=lambda pair: pair.score, reverse=True)


def is_id(facts: ColumnFacts) -> bool:
    """Return whether a column can be the id of each row."""
    if not facts.usable or not facts.is_key or facts.is_fraction or facts.n_words >= 3:
        return False
    return facts.times is None or (facts.times.unit is not None and not named(facts.name, "time"))


def has_time(log: Table) -> bool:
    """Return whether a column can be the time."""
    return any(facts.times is not None for facts in log.columns.values())


def _pair(items: Table, key: ColumnFacts, log: Table, column: ColumnFacts) -> TablePair | None:
    match = match_share(key, column)
    if match < 0.5:
        return None
    to_item, to_user = named(column.name, "item"), named(column.name, "user")
    score = match + 0.4 * to_item - 0.8 * (to_user > to_item) - 0.6 * (named(column.name, "time") > to_item)
    score += 0.3 * named(key.name, "item") + 0.1 * named(key.name, "id") + 0.4 * (key.name == column.name)
    score += 0.3 * (log.n > items.n) + 0.2 * named(Path(items.name).stem, "item")
    score += 0.3 * (not column.is_key) + 0.2 * (Path(items.name).parent == Path(log.name).parent)
    roles = {"title": 0.2, "text": 0.2, "categories": 0.1, "price": 0.1, "image": 0.1}
    for role, weight in roles.items():
        names = [f.name for f in items.columns.values() if f is not key and f.filled > 0]
        score += weight * any(named(name, role) for name in names)  # type: ignore[arg-type]
    return TablePair(items, key.name, log, column.name, match, score)


def match_share(key: ColumnFacts, column: ColumnFacts) -> float:
    """Return the share of a column's values that are among the ids of another."""
    counts = column.present.value_counts()
    if not counts.height:
        return 0.0
    known, asked = identifiers(key.present, counts[column.present.name], where="")
    among = pl.DataFrame({"id": asked, "n": counts["count"]}).join(
        pl.DataFrame({"id": known}).unique(), on="id", how="semi"
    )
    return float(among["n"].sum()) / len(column.present)

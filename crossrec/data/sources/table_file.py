"""One CSV, Parquet or JSON Lines file: its columns, and reading some of them."""

from __future__ import annotations

import csv
import gzip
import io
import sys
import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TextIO

import numpy as np
import polars as pl
import pyarrow as pa
from pyarrow import csv as arrow_csv

from crossrec.data.sources.lines import read_objects
from crossrec.data.sources.reading import SourceError, codec, nearest_file, open_binary, require_encoding


def table_suffix(path: Path) -> str:
    """Return the suffix that names the kind of a table, such as ``.csv`` of ``items.csv.gz``."""
    return Path(path.stem if path.suffix.lower() == ".gz" else path.name).suffix.lower()


def _open_text(path: Path, encoding: str, errors: str = "strict") -> TextIO:
    return io.TextIOWrapper(open_binary(path), encoding=encoding, errors=errors, newline="")


def twin_columns(path: Path, delimiter: str = ",", encoding: str = "utf-8-sig") -> str | None:
    """Return the error for a header with two columns of one name, None for other headers.

    Polars would silently rename the second one, so the caller has to reject it.

    Raises:
        csv.Error: if this is not a CSV file.
    """
    with _open_text(path, encoding, "replace") as lines:
        header = next((names for names in csv.reader(lines, delimiter=delimiter) if names), [])
    for name in dict.fromkeys(header):
        places = [str(place) for place, other in enumerate(header, start=1) if other == name]
        if name and len(places) > 1:
            return (
                f"{path} has {len(places)} columns called '{name}', in the places {', '.join(places)} of its "
                "header: rename all but one"
            )
    return None


CSV_SUFFIXES = (".csv", ".tsv", ".txt")

PARQUET_SUFFIXES = (".parquet", ".pq")

JSON_SUFFIXES = (".jsonl", ".ndjson")

TABLE_SUFFIXES = CSV_SUFFIXES + PARQUET_SUFFIXES + JSON_SUFFIXES
"""Suffixes of tables; of all but Parquet, ``.gz`` may follow."""

DELIMITERS = (";", "\t", "|", ",")

_BLOCK_BYTES = 16 << 20


class TableFile:
    """Table on disk, of which only the header is read at first (JSON Lines: all of it).

    CSV and JSON Lines may be packed as ``.gz``.

    Args:
        root: folder that ``name`` is relative to.
        name: file name.
        key: the config key that names the file, for messages.
        delimiter: delimiter of CSV files.
        encoding: encoding of CSV files.
        encoding_key: the config key that names the encoding, for messages.
        expected: columns that will be read: of other files, one that has them is the likeliest.

    Raises:
        SourceError: if the file is missing, of another kind, or broken, or two of its columns have one name.
    """

    def __init__(
        self,
        root: Path,
        name: str,
        key: str,
        delimiter: str = ",",
        encoding: str = "utf-8",
        encoding_key: str = "data.source.encoding",
        expected: Sequence[str] = (),
    ) -> None:
        self.path = root / name
        self.delimiter = delimiter
        self._encoding = codec(encoding)
        if not self.path.is_file():
            likely = _holding(root, expected, delimiter)
            hint = nearest_file(root, name, (*TABLE_SUFFIXES, ".gz"), likely)
            raise SourceError(f"{self.path} does not exist; {hint}. Set {key}=FILE")
        suffix = table_suffix(self.path)
        if suffix not in TABLE_SUFFIXES or (self.path.suffix.lower() == ".gz" and suffix in PARQUET_SUFFIXES):
            known = ", ".join(TABLE_SUFFIXES)
            raise SourceError(
                f"{self.path} must end in one of {known}, or in .csv.gz or .jsonl.gz: convert it and set "
                f"{key}=FILE"
            )
        self.is_text = suffix in CSV_SUFFIXES
        self._objects: pl.DataFrame | None = None
        if suffix in JSON_SUFFIXES:
            self._objects = read_objects(self.path, key)
            self.columns = self._objects.columns
        elif self.is_text:
            try:
                require_encoding(self.path, encoding, encoding_key)
            except (EOFError, zlib.error, gzip.BadGzipFile) as error:
                raise SourceError(
                    f"{self.path} can't be unpacked ({error}): fetch it again, or set {key}=FILE"
                ) from error
            if twins := twin_columns(self.path, delimiter, self._encoding):
                raise SourceError(twins)
            self._header = csv_header(self.path, delimiter, self._encoding)
            self.columns = [name for name in self._header if name]
            if not self.columns:
                raise SourceError(f"{self.path} is empty: it must have a header line. Set {key}=FILE")
        else:
            try:
                self.columns = list(pl.read_parquet_schema(self.path))
            except (pl.exceptions.PolarsError, OSError) as error:
                raise self._no_parquet() from error

    def read(self, columns: Sequence[str]) -> pl.DataFrame:
        """Read columns in file order; those of CSV files as text, null where nothing is written.

        Raises:
            SourceError: if a line has too few or too many fields, or a quotation mark is not closed.
        """
        if self.is_text:
            parts = [pl.DataFrame(table) for table in self.batches(columns)]
            return pl.concat(parts) if parts else pl.DataFrame(schema=dict.fromkeys(columns, pl.String))
        if self._objects is not None:
            return self._objects.select(columns)
        try:
            return pl.read_parquet(self.path, columns=list(columns))
        except (pl.exceptions.PolarsError, OSError) as error:
            raise self._no_parquet() from error

    def read_head(self, n: int, columns: Sequence[str] | None = None) -> pl.DataFrame:
        """Read the first rows, of some columns or all.

        Raises:
            SourceError: as :meth:`read` does.
        """
        wanted = self.columns if columns is None else list(columns)
        if self.is_text:
            frames: list[pl.DataFrame] = []
            for table in self.batches(wanted):
                frames.append(pl.DataFrame(table))
                if sum(frame.height for frame in frames) >= n:
                    break
            return (
                pl.concat(frames).head(n) if frames else pl.DataFrame(schema=dict.fromkeys(wanted, pl.String))
            )
        if self._objects is not None:
            return self._objects.select(wanted).head(n)
        try:
            return pl.scan_parquet(self.path).select(wanted).head(n).collect()
        except (pl.exceptions.PolarsError, OSError) as error:
            raise self._no_parquet() from error

    def batches(self, columns: Sequence[str]) -> Iterator[pa.Table]:
        """Yield the columns of a CSV file as text, some megabytes at a time."""
        if self._has_odd_quotes():
            self._require_whole_rows()
        try:
            reader = arrow_csv.open_csv(
                self.path,
                arrow_csv.ReadOptions(
                    block_size=_BLOCK_BYTES,
                    encoding="utf-8" if self._encoding == "utf-8-sig" else self._encoding,
                ),
                arrow_csv.ParseOptions(delimiter=self.delimiter, newlines_in_values=True),
                arrow_csv.ConvertOptions(
                    column_types=dict.fromkeys(self.columns, pa.string()),
                    include_columns=list(columns),
                    strings_can_be_null=True,
                    quoted_strings_can_be_null=True,
                    null_values=[""],
                ),
            )
            for batch in reader:
                yield pa.Table.from_batches([batch])
        except pa.ArrowInvalid as error:
            self._require_whole_rows()
            raise SourceError(f"{self.path} can't be read as CSV: write it again as plain CSV") from error

    def _no_parquet(self) -> SourceError:
        return SourceError(f"{self.path} can't be read: it is damaged, or no Parquet file. Write it again")

    def _has_odd_quotes(self) -> bool:
        """Return whether a quotation mark is invalid CSV: not at the edge of a field, or not closed."""
        if self._encoding.startswith(("utf-16", "utf_16", "utf-32")):
            return True
        if self.path.suffix.lower() == ".gz":
            with open_binary(self.path) as handle:
                data = np.frombuffer(handle.read(), np.uint8)
        else:
            data = np.memmap(self.path, np.uint8, "r")
        edges = np.zeros(256, dtype=bool)
        edges[[ord(character) for character in ('"', "\n", "\r", self.delimiter) if ord(character) < 256]] = (
            True
        )
        first = 3 if bytes(data[:3]) == b"\xef\xbb\xbf" else 0
        seen = 0
        for start in range(first, len(data), _BLOCK_BYTES):
            places = start + np.flatnonzero(data[start : start + _BLOCK_BYTES] == ord('"'))
            opening = (seen + np.arange(len(places))) % 2 == 0
            seen += len(places)
            before, after = places[opening] - 1, places[~opening] + 1
            if (
                not edges[data[before[before >= first]]].all()
                or not edges[data[after[after < len(data)]]].all()
            ):
                return True
        return seen % 2 == 1

    def _require_whole_rows(self) -> None:
        """Find the first row that is broken, line by line."""
        width, start = len(self._header), 1
        limit = csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
        try:
            with _open_text(self.path, self._encoding) as handle:
                reader = csv.reader(handle, delimiter=self.delimiter, strict=True)
                for row in reader:
                    if len(row) not in (0, width):
                        raise SourceError(self._broken(start, reader.line_num, len(row)))
                    start = reader.line_num + 1
        except csv.Error as error:
            raise SourceError(
                f"{self.path}, line {start}: a quotation mark is not closed, or text follows the closing "
                'one. Write a quotation mark within a field as ""'
            ) from error
        finally:
            csv.field_size_limit(limit)

    def _broken(self, first: int, last: int, n_fields: int) -> str:
        if last > first:
            return (
                f"{self.path}, line {first}: a quotation mark that opens there runs on to line {last}. "
                'Close it, or write a quotation mark within a field as ""'
            )
        fewer = n_fields < len(self._header)
        way_out = (
            "Complete or remove it"
            if fewer
            else 'Put "quotation marks" around fields that hold the delimiter'
        )
        names = len(self._header)
        return f"{self.path}, line {first}: {n_fields} fields, but the header names {names}. {way_out}"


def csv_header(path: Path, delimiter: str, encoding: str) -> list[str]:
    """Return the names in the first line that is not blank; none in an empty file."""
    with _open_text(path, encoding, "replace") as lines:
        try:
            return next((names for names in csv.reader(lines, delimiter=delimiter) if names), [])
        except csv.Error as error:
            raise SourceError(f"{path} can't be read as CSV: its first line is none") from error


def other_delimiter(columns: Sequence[str], wanted: str) -> str | None:
    """Return the delimiter that would divide a header of one column into the wanted columns."""
    for mark in DELIMITERS if len(columns) == 1 else ():
        if wanted in [part.strip().strip('"') for part in columns[0].split(mark)] and mark in columns[0]:
            return mark
    return None


def _holding(root: Path, columns: Sequence[str], delimiter: str) -> list[str]:
    """Return files of a folder that have all of some columns."""
    found: list[str] = []
    for path in sorted(root.iterdir())[:200] if columns else []:
        with suppress(SourceError, OSError, UnicodeError, pl.exceptions.PolarsError, csv.Error):
            if table_suffix(path) in CSV_SUFFIXES:
                there = csv_header(path, delimiter, "utf-8-sig")
            elif path.suffix.lower() in PARQUET_SUFFIXES:
                there = list(pl.read_parquet_schema(path))
            else:
                continue
            if set(columns) <= set(there):
                found.append(path.name)
    return found

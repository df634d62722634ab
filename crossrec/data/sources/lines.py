"""Text files with one record per line: fields between separators, or JSON objects, plain or gzipped."""

from __future__ import annotations

import codecs
import gzip
import io
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from crossrec.data.sources.reading import (
    Faults,
    SourceError,
    codec,
    guessed_encoding,
    open_binary,
    require_encoding,
    suggest,
)

_NEVER = "\x01"
"""A character that no text contains, so that a line is not divided."""


class Lines:
    """Lines of a text file; blank ones count, but are omitted.

    Args:
        path: the file.
        encoding: encoding of the file.
        skip: lines before the first record.
        encoding_key: the config key that names the encoding, for messages.

    Raises:
        SourceError: if the file is in another encoding.
    """

    def __init__(
        self, path: Path, encoding: str, skip: int = 0, encoding_key: str = "data.source.encoding"
    ) -> None:
        self.path = path
        self._expected = "the header names" if skip else "there are to be"
        require_encoding(path, encoding, encoding_key)
        source: Path | io.BytesIO = path
        if codec(encoding) != "utf-8-sig":
            source = io.BytesIO(path.read_bytes().decode(codec(encoding)).encode("utf-8"))
        try:
            frame = pl.read_csv(
                source,
                separator=_NEVER,
                has_header=False,
                skip_rows=skip,
                quote_char=None,
                schema={"line": pl.String},
                truncate_ragged_lines=True,
            )
        except pl.exceptions.NoDataError:
            frame = pl.DataFrame(schema={"line": pl.String})
        numbered = frame.with_row_index("number", offset=skip + 1)
        self._lines = numbered.with_columns(pl.col("line").str.strip_chars_end("\r")).filter(
            pl.col("line").fill_null("") != ""
        )
        self.short = 0
        """Lines with too few fields, once :meth:`fields` was called."""
        self.first_short = 0
        """The first of them, counted from 1."""

    def fields(self, separator: str, names: Sequence[str], key: str, whole: bool = False) -> pl.DataFrame:
        """Return the fields of each line as text, null where empty or absent.

        Args:
            separator: separator of fields.
            names: names of the fields.
            key: remedy for an invalid line, for the message.
            whole: whether a line with too few fields is a fault too.

        Raises:
            SourceError: if a line has too many fields; the message names it.
        """
        count = pl.col("line").str.count_matches(separator, literal=True) + 1
        wrong = self._lines.select("number", count=count).filter(pl.col("count") != len(names))
        faulty = wrong if whole else wrong.filter(pl.col("count") > len(names))
        if faulty.height:
            number, found = faulty.row(0)
            raise SourceError(
                f"{self.path}, line {number}: {found} fields, but {self._expected} {len(names)} "
                f"({', '.join(names)}). Fix the line, or set {key}"
            )
        self.short = wrong.height
        self.first_short = int(wrong["number"][0]) if wrong.height else 0
        parts = (
            self._lines["line"]
            .str.splitn(separator, len(names))
            .struct.rename_fields(list(names))
            .struct.unnest()
        )
        return parts.with_columns(
            pl.when(pl.col(name) != "").then(pl.col(name)).alias(name) for name in names
        )


BLOCK_BYTES = 32 << 20
"""Approximate size of text parsed at once, bytes."""


def read_jsonl(path: Path, schema: Mapping[str, pl.DataType], key: str) -> Iterator[pl.DataFrame]:
    """Yield frames of some lines each, in file order; fields outside the schema are not read.

    Args:
        path: file with one JSON object per line; ``.gz`` is unpacked on the fly.
        schema: fields and their types; numbers are read as text where the type is text.
        key: what to set to read another file, such as ``data.root=FOLDER``, for messages.

    Raises:
        SourceError: if a line is no JSON object, or a field is of another kind; the message names the line.
    """
    number = 1
    try:
        with open_binary(path) as handle:
            while lines := handle.readlines(BLOCK_BYTES):
                if number == 1:
                    lines[0] = lines[0].removeprefix(codecs.BOM_UTF8)
                yield _parse(path, schema, key, lines, number)
                number += len(lines)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise SourceError(
            f"{path} breaks off or is damaged after line {number - 1} ({error}): fetch it again, or set {key}"
        ) from error


def first_object(path: Path, required: Sequence[str], key: str) -> dict[str, Any]:
    """Return the first object of a file, if it has the fields that must be there.

    Raises:
        SourceError: if the file is empty, its first line is no object, or it lacks a field.
    """
    try:
        with open_binary(path) as handle:
            line = next((line for line in handle if line.strip()), b"")
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise SourceError(f"{path} can't be unpacked ({error}): fetch it again, or set {key}") from error
    if not line:
        raise SourceError(f"{path} is empty: it must hold one JSON object a line. Set {key}")
    try:
        found = json.loads(line)
    except ValueError as error:
        reason = _why_no_json(path, line.removeprefix(codecs.BOM_UTF8)) or "it can't be read"
        raise SourceError(f"{path}, first line: {reason}. Set {key}") from error
    if not isinstance(found, dict):
        raise SourceError(f"{path}, first line: not a JSON object. Set {key}")
    faults = Faults()
    for name in required:
        if name not in found:
            faults.add(f"{path}, first line: no field '{name}'; {suggest(name, list(found))}. Set {key}")
    faults.report()
    return found


def read_objects(path: Path, key: str) -> pl.DataFrame:
    """Return all fields of a file with one JSON object per line, each with the narrowest type that fits.

    Args:
        path: the file; ``.gz`` is unpacked.
        key: the config key that names the file, for messages.

    Raises:
        SourceError: if a line is no JSON object; the message names the line.
    """
    try:
        with open_binary(path) as handle:
            data = handle.read().removeprefix(codecs.BOM_UTF8)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise SourceError(f"{path} can't be unpacked ({error}): fetch it again, or set {key}=FILE") from error
    if not data.strip():
        raise SourceError(f"{path} is empty: it must hold one JSON object a line. Set {key}=FILE")
    try:
        return pl.read_ndjson(io.BytesIO(data), infer_schema_length=None)
    except pl.exceptions.PolarsError as error:
        for number, line in enumerate(data.splitlines(), start=1):
            if line.strip() and (reason := _why_no_json(path, line)):
                raise SourceError(f"{path}, line {number}: {reason}. Fix or remove the line") from error
        raise SourceError(f"{path} can't be read: a field has values of several kinds ({error})") from error


def _parse(
    path: Path, schema: Mapping[str, pl.DataType], key: str, lines: Sequence[bytes], number: int
) -> pl.DataFrame:
    if not any(line.strip() for line in lines):
        return pl.DataFrame(schema=dict(schema))
    try:
        return pl.read_ndjson(io.BytesIO(b"".join(lines)), schema=dict(schema))
    except pl.exceptions.PolarsError as error:
        raise _fault(path, schema, key, lines, number, error) from error


def _fault(
    path: Path,
    schema: Mapping[str, pl.DataType],
    key: str,
    lines: Sequence[bytes],
    number: int,
    error: Exception,
) -> SourceError:
    """Return the error of the first unreadable line, without the line's content."""
    for place, line in enumerate(lines, start=number):
        if not line.strip():
            continue
        try:
            pl.read_ndjson(io.BytesIO(line), schema=dict(schema))
        except pl.exceptions.PolarsError:
            reason = _why_no_json(path, line) or _misfit(line, schema) or "it can't be read"
            return SourceError(f"{path}, line {place}: {reason}. Fix or remove the line, or set {key}")
    return SourceError(
        f"{path}, lines {number} to {number + len(lines) - 1}: they can't be read. "
        f"Fetch it again, or set {key}"
    )


def _why_no_json(path: Path, line: bytes) -> str:
    """Return the reason why a line of a file is not a JSON object; "" if it is one."""
    try:
        found = json.loads(line.decode("utf-8"))
    except UnicodeDecodeError:
        guess = None if path.suffix == ".gz" else guessed_encoding(path)
        return f"not in UTF-8{f' (it may be {guess})' if guess else ''}, as JSON must be; convert the file"
    except json.JSONDecodeError as error:
        return f"not JSON ({error.msg} at character {error.pos + 1})"
    return "" if isinstance(found, dict) else "not a JSON object"


def _misfit(line: bytes, schema: Mapping[str, pl.DataType]) -> str:
    """Return the field of a line that doesn't fit its type."""
    found = json.loads(line)
    for name, kind in schema.items():
        one = json.dumps({name: found.get(name)}).encode()
        try:
            pl.read_ndjson(io.BytesIO(one), schema={name: kind})
        except pl.exceptions.PolarsError:
            return f"the field '{name}' is of another kind than its type, {kind}"
    return ""

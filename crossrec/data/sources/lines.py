"""Text files without quoting: one record per line, fields between separators."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from crossrec.data.sources.reading import SourceError, codec, require_encoding

_NEVER = "\x01"
"""A character of no text, so that a line stays whole."""


class Lines:
    """The lines of a text file; blank ones count, but are left out.

    Args:
        path: the file.
        encoding: of the file.
        skip: lines before the first record.
        encoding_key: the config key that names the encoding, for messages.

    Raises:
        SourceError: the file is in another encoding.
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
        """The fields of each line as text, null where empty or absent.

        Args:
            separator: between fields.
            names: of the fields.
            key: what to set or to do where a line doesn't fit, for the message.
            whole: whether a line with too few fields is a fault, too.

        Raises:
            SourceError: a line has too many fields; the message names it.
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

"""One CSV or Parquet file: which columns it has, and reading some of them."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from crossrec.data.csv_header import twin_columns
from crossrec.data.sources.reading import SourceError, nearest

CSV_SUFFIXES = (".csv", ".tsv", ".txt")
PARQUET_SUFFIXES = (".parquet", ".pq")


class TableFile:
    """A table on disk, of which only the header is read at first.

    Args:
        root: folder that ``name`` is relative to.
        name: file name.
        key: the config key that names the file, for messages.
        delimiter: of CSV files.

    Raises:
        SourceError: the file is missing, of another kind, or broken, or two of its columns have one name.
    """

    def __init__(self, root: Path, name: str, key: str, delimiter: str) -> None:
        self.path = root / name
        self._delimiter = delimiter
        if not self.path.is_file():
            hint = nearest(name, sorted(path.name for path in root.iterdir())[:50])
            raise SourceError(f"{self.path} does not exist; {hint}. Set {key}=FILE")
        suffix = self.path.suffix.lower()
        if suffix not in CSV_SUFFIXES + PARQUET_SUFFIXES:
            known = ", ".join(CSV_SUFFIXES + PARQUET_SUFFIXES)
            raise SourceError(f"{self.path} must end in one of {known}: convert it and set {key}=FILE")
        self._parquet = suffix in PARQUET_SUFFIXES
        try:
            if self._parquet:
                self.columns = list(pl.read_parquet_schema(self.path))
            else:
                if twins := twin_columns(self.path, delimiter):
                    raise SourceError(twins)
                self.columns = pl.read_csv(self.path, n_rows=0, separator=delimiter).columns
        except pl.exceptions.NoDataError as error:
            raise SourceError(f"{self.path} is empty: it must have a header line. Set {key}=FILE") from error
        except (pl.exceptions.PolarsError, csv.Error) as error:
            raise SourceError(f"{self.path} can't be read: {error}") from error

    def required(self, name: str, key: str) -> str:
        """A column that must be there; ``key`` is the config key that names it."""
        if name not in self.columns:
            raise SourceError(
                f"{self.path} has no column '{name}'; {nearest(name, self.columns)}. Set {key}=COLUMN"
            )
        return name

    def optional(self, name: str | None, default: str, key: str) -> str | None:
        """A column that must be there if it was configured, else ``default`` where the file has it."""
        if name is not None:
            return self.required(name, key)
        return default if default in self.columns else None

    def read(self, columns: Sequence[str], as_text: Sequence[str]) -> pl.DataFrame:
        """Reads columns in file order.

        Args:
            columns: which.
            as_text: those whose CSV text must not be guessed to be a number ("007" is an id).
        """
        try:
            if self._parquet:
                return pl.read_parquet(self.path, columns=list(columns))
            return pl.read_csv(
                self.path,
                columns=list(columns),
                schema_overrides=dict.fromkeys(as_text, pl.String),
                separator=self._delimiter,
                infer_schema_length=None,
            )
        except pl.exceptions.PolarsError as error:
            raise SourceError(f"{self.path} can't be read: {error}") from error

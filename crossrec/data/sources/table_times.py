"""Timestamps in whatever form a table has them, as seconds."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from crossrec.data.sources.reading import SourceError

UNITS_PER_SECOND = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}


def seconds(column: pl.Series, unit: str, path: Path, key: str) -> pl.Series:
    """Seconds since 1970 (UTC where no zone is given), null where a value can't be read.

    Args:
        column: numbers, text (numbers, ISO dates or datetimes, also mixed), dates or datetimes.
        unit: of numbers; one of ``UNITS_PER_SECOND``.
        path: the file, for the message.
        key: the config key that names the column, for the message.

    Raises:
        SourceError: no value at all can be read.
    """
    if column.dtype == pl.Date:
        column = column.cast(pl.Datetime("us"))
    if isinstance(column.dtype, pl.Datetime):
        return column.dt.epoch("us").cast(pl.Float64) / 1e6
    if column.dtype.is_numeric():
        return column.cast(pl.Float64) / UNITS_PER_SECOND[unit]
    text = column.cast(pl.String).str.strip_chars()
    parsed = text.cast(pl.Float64, strict=False) / UNITS_PER_SECOND[unit]
    if parsed.null_count() > column.null_count():
        iso = pl.DataFrame({"text": text}).select(_from_iso(pl.col("text")))["text"]
        parsed = parsed.zip_with(parsed.is_not_null(), iso)
    written = column.drop_nulls()
    if len(written) and parsed.null_count() == len(parsed):
        raise SourceError(
            f"{path}: no value of column '{column.name}' is a number, an ISO date or an ISO datetime "
            f"(the first is '{written[0]}'). Convert the column or set {key}=COLUMN"
        )
    return parsed


def _from_iso(text: pl.Expr) -> pl.Expr:
    iso = text.str.replace(r"^(\d{4}-\d\d-\d\d) ", "${1}T").str.replace(r"[Zz]$", "+00:00")
    forms = [
        iso.str.to_datetime("%Y-%m-%dT%H:%M:%S%.f%:z", strict=False, time_unit="us"),
        iso.str.to_datetime("%Y-%m-%dT%H:%M:%S%.f", strict=False, time_unit="us"),
        iso.str.to_datetime("%Y-%m-%dT%H:%M", strict=False, time_unit="us"),
        iso.str.to_date("%Y-%m-%d", strict=False).cast(pl.Datetime("us")),
    ]
    return pl.coalesce([form.dt.epoch("us").cast(pl.Float64) / 1e6 for form in forms])

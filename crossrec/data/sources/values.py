"""Parsing of values in files: numbers, prices, times, ids, categories, texts; one reader for all sources.

Missing values become null; unreadable values become null too, and are counted.
"""

from __future__ import annotations

import ast
import html
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import polars as pl

from crossrec.data.cleaning_report import Step
from crossrec.data.interactions import is_missing
from crossrec.data.sources.reading import SourceError

UNITS_PER_SECOND = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9, "order": 1.0}
"""Units of numeric times; "order" means positions, which are unchanged."""

_MARKUP = r"</?[A-Za-z][^<>]*>|<!--[\s\S]*?-->"
"""HTML tags and comments; "5 < 7 > 3" is none."""

_LARGEST_EXACT = 2**53
"""Largest integer up to which all integers are exact floating-point numbers."""

_CODES = (
    "USD|EUR|GBP|JPY|CNY|RMB|INR|AUD|CAD|NZD|CHF|SEK|NOK|DKK|ISK|PLN|CZK|HUF|RON|BGN|TRY|RUB|UAH|BRL|MXN|"
    "ARS|CLP|COP|ZAR|KRW|SGD|HKD|TWD|THB|IDR|MYR|PHP|VND|ILS|AED|SAR|EGP|NGN|KES|PKR"
)
_CURRENCY = rf"(?:[A-Z]{{0,3}}\p{{Sc}}|{_CODES}|(?:kr|Kr|Rs|zł|Kč|Ft|Fr|SFr|lei|TL|руб|р)\.?)"
_SAME_CURRENCY = {
    **{"USD": "$", "US$": "$", "EUR": "€", "GBP": "£", "JPY": "¥", "CNY": "¥", "RMB": "¥", "INR": "₹"},
    **{"Rs": "₹", "Rs.": "₹", "PLN": "zł", "CZK": "Kč", "HUF": "Ft", "kr.": "kr", "Kr": "kr", "Kr.": "kr"},
}
_NO_PRICE = ("-", "–", "—")


@dataclass(frozen=True)
class Reading:
    """A column that was read.

    Args:
        values: the column, null where a value is missing or can't be read.
        unreadable: number of unreadable values.
        example: one of them.
        notes: guesses and doubts, for the printed report.
    """

    values: pl.Series
    unreadable: int = 0
    example: str = ""
    notes: tuple[str, ...] = field(default=())

    def step(self, what: str, unit: Literal["clicks", "items"]) -> Step:
        """Return a report entry with the number of unreadable values; nothing is dropped."""
        return counted(what, unit, len(self.values), self.unreadable, self.example, self.notes)


def counted(
    what: str,
    unit: Literal["clicks", "items"],
    n: int,
    unreadable: int,
    example: str,
    notes: Sequence[str] = (),
) -> Step:
    """Return a report entry for a column of ``n`` rows, ``unreadable`` of which can't be read."""
    detail = f"{unreadable:,} can't be read"
    if unreadable:
        detail += f", such as '{example}': set to none"
    return Step(f"unreadable {what}", unit, n, 0, "; ".join([detail, *notes]))


def numbers(column: pl.Series, decimal: str | None = None) -> Reading:
    """Read numbers as files and spreadsheets write them: "$1,299.00", "1.299,00 €", "4,5", "1 299", "12,-".

    A point or comma with exactly three digits behind it may be either; the other values of the column decide.
    Where both kinds of decimal separator occur, such a value can't be read; where neither does, the point
    is decimal and the comma divides thousands, and a note says so.

    Args:
        column: numbers or text.
        decimal: "." or ","; found in the column when None.
    """
    if column.dtype.is_numeric() or column.dtype in (pl.Boolean, pl.Null):
        return Reading(column.cast(pl.Float64))
    text = column.cast(pl.String).str.strip_chars()
    frame = pl.DataFrame({"text": text.unique(maintain_order=True).drop_nulls()})
    frame = frame.filter(~is_missing(pl.col("text")) & ~pl.col("text").is_in(_NO_PRICE))
    forms = frame.select("text", **_parts(pl.col("text"))).with_columns(_kind(pl.col("core")))
    by_point, by_comma = (bool((forms["kind"] == mark).any()) for mark in ("point", "comma"))
    guessed = decimal is None and not by_point and not by_comma
    if decimal is None:
        decimal = "," if by_comma and not by_point else None if by_comma else "."
    forms = forms.with_columns(value=_value(decimal))
    values = text.replace_strict(forms["text"], forms["value"], default=None, return_dtype=pl.Float64)
    bad = forms.filter(pl.col("value").is_null())["text"]
    unreadable = int(text.is_in(bad.implode()).sum()) if len(bad) else 0
    return Reading(values, unreadable, str(bad[0])[:40] if len(bad) else "", _doubts(forms, guessed))


def _parts(text: pl.Expr) -> dict[str, pl.Expr]:
    """Split a written number into sign, currency and the rest."""
    plain = text.str.replace_all("[\u00a0\u2007\u2009\u202f]", " ").str.replace("−", "-")
    whole = rf"^([+-]?)\s*(?:({_CURRENCY})\s*)?([+-]?)\s*([\d.,][\d.,'’ ]*?(?:[eE][+-]?\d+)?)(?:[.,][-–—]+)?\s*({_CURRENCY})?$"  # noqa: E501
    found = plain.str.extract_groups(whole)
    before, after = found.struct.field("2"), found.struct.field("5")
    sign = found.struct.field("1") + found.struct.field("3")
    return {
        "core": found.struct.field("4"),
        "negative": sign == "-",
        "currency": pl.coalesce(before, after).replace(_SAME_CURRENCY),
        "word": plain.str.contains(r"(?i)^[+-]?inf(?:inity)?$"),
    }


def _kind(core: pl.Expr) -> pl.Expr:
    """Return how a number is written, named by what its separators mean; null where it is no number."""
    forms = {
        "whole": r"^\d+[.,]?$",
        "power": r"^\d+(?:\.\d+)?[eE][+-]?\d+$",
        "spaced": r"^\d{1,3}(?:[ '’]\d{3})+(?:[.,]\d+)?$",
        "either point": r"^[1-9]\d{0,2}\.\d{3}$",
        "either comma": r"^[1-9]\d{0,2},\d{3}$",
        "point": r"^(?:\d*\.\d+|\d{1,3}(?:,\d{2,3})*,\d{3}\.\d+|\d{1,3}(?:,\d{2,3})+,\d{3})$",
        "comma": r"^(?:\d*,\d+|\d{1,3}(?:\.\d{3})+,\d+|\d{1,3}(?:\.\d{3}){2,})$",
    }
    kind = pl.lit(None, pl.String)
    for name, pattern in reversed(forms.items()):
        kind = pl.when(core.str.contains(pattern)).then(pl.lit(name)).otherwise(kind)
    return kind.alias("kind")


def _value(decimal: str | None) -> pl.Expr:
    kind, core = pl.col("kind"), pl.col("core")
    points = core.str.replace_all(",", "")
    commas = core.str.replace_all(".", "", literal=True).str.replace(",", ".", literal=True)
    spaced = core.str.replace_all("[ '’]", "").str.replace(",", ".", literal=True)
    whole = core.str.strip_chars_end(".,")
    either = {".": points, ",": commas, None: pl.lit(None, pl.String)}[decimal]
    plain = (
        pl.when(kind == "whole")
        .then(whole)
        .when(kind == "power")
        .then(core)
        .when(kind == "spaced")
        .then(spaced)
        .when(kind == "point")
        .then(points)
        .when(kind == "comma")
        .then(commas)
        .when(kind.is_in(["either point", "either comma"]))
        .then(either)
    )
    found = plain.cast(pl.Float64, strict=False)
    signed = pl.when(pl.col("negative")).then(-found).otherwise(found)
    endless = pl.when(pl.col("text").str.starts_with("-")).then(float("-inf")).otherwise(float("inf"))
    return pl.when(pl.col("word")).then(endless).otherwise(signed)


def _doubts(forms: pl.DataFrame, guessed: bool) -> tuple[str, ...]:
    notes = []
    either = forms.filter(
        pl.col("kind").is_in(["either point", "either comma"]) & pl.col("value").is_not_null()
    )
    if either.height and guessed:
        text, value = either.row(0, named=True)["text"], either["value"][0]
        notes.append(
            f"'{text[:40]}' is read as {value:g} (data.source.decimal says what its separator means)"
        )
    currencies = forms["currency"].drop_nulls().unique(maintain_order=True).to_list()
    if len(currencies) > 1:
        notes.append(f"{len(currencies)} currencies ({', '.join(currencies[:5])}) are read as plain numbers")
    return tuple(notes)


def seconds(column: pl.Series, unit: str, where: str, key: str | None) -> Reading:
    """Return seconds since 1970 (UTC where no zone is given).

    Args:
        column: numbers, text (numbers, ISO dates or datetimes, also mixed), dates or datetimes.
        unit: unit of numbers; one of ``UNITS_PER_SECOND``.
        where: the file, for the message.
        key: the config key that names the column, for the message; None for a part of a column.

    Raises:
        SourceError: if no value of a whole column can be read.
    """
    if column.dtype == pl.Date:
        column = column.cast(pl.Datetime("us"))
    if isinstance(column.dtype, pl.Datetime):
        return Reading(column.dt.epoch("us").cast(pl.Float64) / 1e6)
    if column.dtype.is_numeric() or column.dtype == pl.Null:
        return Reading(column.cast(pl.Float64) / UNITS_PER_SECOND[unit])
    text = column.cast(pl.String).str.strip_chars()
    missing = pl.DataFrame({"text": text}).select(is_missing(pl.col("text")))["text"]
    parsed = text.set(missing, None).cast(pl.Float64, strict=False) / UNITS_PER_SECOND[unit]
    written = text.filter(parsed.is_null() & ~missing)
    unreadable, example = 0, ""
    if len(written):
        distinct = pl.DataFrame({"text": written.unique(maintain_order=True)})
        distinct = distinct.with_columns(value=_from_iso(pl.col("text")))
        rest = distinct.filter(pl.col("value").is_null())["text"]
        grouped = numbers(rest).values / UNITS_PER_SECOND[unit]  # "1,669,899,116", "1669899116,5"
        known = pl.concat(
            [distinct.drop_nulls(), pl.DataFrame({"text": rest, "value": grouped}).drop_nulls()]
        )
        found = text.replace_strict(known["text"], known["value"], default=None, return_dtype=pl.Float64)
        bad = rest.filter(grouped.is_null())
        unreadable = int(written.is_in(bad.implode()).sum())
        example = str(bad[0])[:40] if len(bad) else ""
        parsed = parsed.zip_with(parsed.is_not_null(), found)
    if key is not None and unreadable and parsed.null_count() == len(parsed):
        raise SourceError(
            f"{where}: no value of column '{column.name}' is a number, an ISO date or an ISO datetime "
            f"(the first is '{example}'). Convert the column or set {key}=COLUMN"
        )
    return Reading(parsed, unreadable, example)


def _from_iso(text: pl.Expr) -> pl.Expr:
    iso = text.str.replace(r"^(\d{4}-\d\d-\d\d) +", "${1}T").str.replace(r" ?(?:[Zz]|UTC|GMT)$", "+00:00")
    iso = iso.str.replace(r"(T\d\d:\d\d\S*?) ?([+-]\d\d)$", "${1}${2}:00")
    iso = iso.str.replace(r"(T\d\d:\d\d\S*?) ?([+-]\d\d):?(\d\d)$", "${1}${2}:${3}")
    iso = iso.str.replace(r"(:\d\d),(\d+)", "${1}.${2}")  # the comma of ISO 8601
    forms = [
        iso.str.to_datetime("%Y-%m-%dT%H:%M:%S%.f%:z", strict=False, time_unit="us"),
        iso.str.to_datetime("%Y-%m-%dT%H:%M%:z", strict=False, time_unit="us"),
        iso.str.to_datetime("%Y-%m-%dT%H:%M:%S%.f", strict=False, time_unit="us"),
        iso.str.to_datetime("%Y-%m-%dT%H:%M", strict=False, time_unit="us"),
        iso.str.to_date("%Y-%m-%d", strict=False).cast(pl.Datetime("us")),
    ]
    return pl.coalesce([form.dt.epoch("us").cast(pl.Float64) / 1e6 for form in forms])


def identifiers(*columns: pl.Series, where: str) -> tuple[pl.Series, ...]:
    """Return ids as text, null where missing; "101.0" is "101" unless a column holds real fractions ("1.5").

    Args:
        columns: ids of one kind, of which the same rule holds for all: those of the items, and of the log.
        where: the file or files, for the message.

    Raises:
        SourceError: if ids were kept as floating-point numbers too large to tell one from the next.
    """
    texts = [_as_text(column, where) for column in columns]
    if any(_has(text, r"^-?\d+\.\d*[1-9]\d*$", ".") for text in texts):
        return tuple(texts)
    return tuple(
        text.str.replace(r"^(-?\d+)\.0+$", "${1}") if _has(text, r"\.0+$", ".0") else text for text in texts
    )


def _as_text(column: pl.Series, where: str) -> pl.Series:
    if column.dtype.is_float():
        column = column.fill_nan(None)
        if (column.abs() >= _LARGEST_EXACT).any():
            raise SourceError(
                f"{where}: column '{column.name}' holds ids as floating-point numbers too large to be "
                "exact: their last digits are lost. Write them as text or whole numbers"
            )
        if (column.drop_nulls() % 1 == 0).all():
            column = column.cast(pl.Int64)
    text = column.cast(pl.String).str.strip_chars()
    return text.set(text == "", None) if (text == "").any() else text


def _has(text: pl.Series, pattern: str, literal: str) -> bool:
    """Return whether a pattern occurs; the literal in it is looked for first, which is quicker."""
    found = text.str.contains(literal, literal=True).fill_null(False)
    return bool(found.any()) and bool(text.filter(found).str.contains(pattern).any())


def joined(frame: pl.DataFrame, names: Sequence[str], separator: str) -> pl.Series:
    """Join several columns (text or lists of texts) into one text without missing parts; null if all are."""
    parts = []
    for name in names:
        text = pl.col(name)
        if isinstance(frame.schema[name], pl.List):
            text = text.cast(pl.List(pl.String)).list.drop_nulls().list.join(" ")
        text = text.cast(pl.String).str.strip_chars()
        parts.append(pl.when(text != "").then(text))
    text = pl.concat_str(parts, separator=separator, ignore_nulls=True)
    return frame.select(text=pl.when(text != "").then(text))["text"]


def categories(column: pl.Series, separator: str | None, quotes: str = "") -> tuple[pl.Series, str]:
    """Return lists of texts, null where there is none, and a note on guesses (may be empty).

    Args:
        column: lists, text that is a JSON or Python list, or text that a separator divides.
        separator: between the categories of an item. When None: "|" or ";" where one occurs, or a comma where
            most texts with commas share a part with another text ("Clothing, Shoes & Jewelry" stays whole).
        quotes: characters that may surround a category besides blanks.
    """
    said = ""
    if isinstance(column.dtype, pl.List | pl.Array):
        lists = column.cast(pl.List(pl.String))
    else:
        text = column.cast(pl.String).str.strip_chars()
        distinct = text.drop_nulls().unique(maintain_order=True)
        literal = {value: found for value in distinct if (found := _literal_list(value)) is not None}
        plain = distinct.filter(~distinct.is_in(list(literal)))
        if separator is None:
            separator, said = _separator(plain)
        divided = plain.str.split(separator) if separator else plain.reshape((-1, 1)).cast(pl.List(pl.String))
        forms = pl.DataFrame(
            {
                "text": pl.concat([plain, pl.Series(list(literal), dtype=pl.String)]),
                "parts": pl.concat([divided, pl.Series(list(literal.values()), dtype=pl.List(pl.String))]),
            }
        )
        lists = pl.DataFrame({"text": text}).join(forms, on="text", how="left", maintain_order="left")[
            "parts"
        ]
    part = pl.element().str.strip_chars(f" \t\r\n{quotes}" if quotes else None)
    named = pl.col("parts").list.eval(part).list.eval(pl.element().filter(pl.element() != ""))
    kept = pl.when(named.list.len() > 0).then(named)
    return pl.DataFrame({"parts": lists}).select(categories=kept)["categories"], said


def _literal_list(text: str) -> list[str] | None:
    """Return the texts of a JSON or Python list such as ``["a", "b"]``; None where it is none."""
    if not (text.startswith("[") and text.endswith("]")):
        return None
    try:
        found = json.loads(text)
    except ValueError:
        try:
            found = ast.literal_eval(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            return None
    if not isinstance(found, list) or any(isinstance(part, list | dict | tuple | set) for part in found):
        return None
    return [str(part) for part in found if part is not None]


def _separator(texts: pl.Series) -> tuple[str, str]:
    """Return the separator within these distinct texts, and a note on it; "" where nothing does."""
    for mark in "|;":
        if texts.str.contains(mark, literal=True).any():
            return mark, f"divided at '{mark}'" if mark != "|" else ""
    several = texts.filter(texts.str.contains(",", literal=True))
    if not len(several):
        return "", ""
    parts = pl.DataFrame({"text": texts, "part": texts.str.split(",")}).explode("part")
    parts = parts.with_columns(pl.col("part").str.strip_chars()).unique()
    shared = parts.filter((pl.len().over("part") > 1) & pl.col("text").is_in(several.implode()))[
        "text"
    ].n_unique()
    if 2 * shared >= len(several):
        return ",", "divided at ',' (data.source.category_separator)"
    return "", f"{len(several):,} with commas stay whole (data.source.category_separator divides them)"


def without_html(column: pl.Series) -> pl.Series:
    """Return text without tags and with entities as characters ("&amp;" becomes "&"), blanks made single."""
    text = column.cast(pl.String)
    marked = text.str.contains(r"[<&]").fill_null(False)
    if marked.any():
        bare = text.filter(marked).str.replace_all(_MARKUP, " ")
        plain = pl.Series([html.unescape(value) for value in bare.to_list()], dtype=pl.String)
        text = text.scatter(marked.arg_true(), plain)
    return text.str.replace_all(r"\s+", " ").str.strip_chars()


def typed(column: pl.Series) -> pl.Series:
    """Return a further column of a text file as integers, floats or booleans where all its values are such.

    A code keeps its zeros: one value such as "003" makes a column text. Missing values don't count.
    """
    if column.dtype != pl.String:
        return column
    written = column.drop_nulls()
    if not len(written):
        return column
    if written.str.contains(r"^-?(?:0|[1-9]\d{0,17})$").all():
        return column.cast(pl.Int64)
    if written.str.contains(r"^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$").all():
        values = column.cast(pl.Float64, strict=False)
        exact = (values.drop_nulls().abs() < _LARGEST_EXACT).all()
        return values if exact and values.null_count() == column.null_count() else column
    if written.str.contains(r"^(?:true|false)$").all():
        return column == "true"
    return column

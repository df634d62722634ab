"""Facts about one column of a table: its values, and what its name suggests."""

from __future__ import annotations

import re
from functools import cached_property
from typing import Literal, NamedTuple

import polars as pl

from crossrec.data.checks import PLAUSIBLE, UNITS
from crossrec.data.interactions import is_missing, show_time
from crossrec.data.sources.reading import PICTURE_SUFFIXES
from crossrec.data.sources.values import joined, numbers, seconds

SAMPLE = 2000
"""Number of distinct values that are parsed to tell the kind of a column."""

Role = Literal[
    "item", "user", "time", "rating", "event", "title", "text", "categories", "price", "image", "id"
]

WORDS: dict[Role, str] = {
    "item": "item items sku product products prod article artikel art asin movie movies film films book "
    "books isbn track song video videos news produkt produkte ware pid iid gtin ean producto "
    "articulo produit game recipe listing",
    "user": "user users usr customer customers cust kunde kunden kd client clients member buyer visitor "
    "shopper uid cid account reviewer person utilisateur cliente usuario nutzer besucher "
    "session sid",
    "time": "time timestamp date datetime datum zeit zeitpunkt ts created at when unix epoch fecha hora "
    "clicked day tag heure position pos seq sequence",
    "rating": "rating ratings stars score bewertung sterne note rate grade punkte vote valoracion overall",
    "event": "event events action type aktion ereignis behavior behaviour label kind interaction vorgang "
    "activity aktivitaet verb",
    "title": "title name titel bezeichnung bez bezeichn headline produktname titulo nombre titre nom",
    "text": "description desc descr text beschreibung beschr overview plot summary abstract features "
    "body details blurb inhalt content review caption descripcion",
    "categories": "category categories cat cats genre genres kategorie kategorien kat class department tags "
    "warengruppe wgr group gruppe categoria categorie section kind kinds",
    "price": "price preis cost vk uvp prix precio brutto amount msrp",
    "image": "image images img photo picture pic bild foto cover poster thumbnail thumb filename datei "
    "imagen",
    "id": "id ids nr no num number nummer code key",
}
"""Words, in several languages, by which columns are named."""


def words_of(name: str) -> list[str]:
    """Return the lower-case words of a name, such as ``["product", "id"]`` of "productID" or "product_id"."""
    divided = re.sub(r"(?<=[a-zß-ÿ])(?=[A-Z])", " ", name)
    return re.findall(r"[^\W\d_]+", divided.lower())


def named(name: str, role: Role) -> int:
    """Return how well a name fits a role: 2 for a word of it, 1 for a longer word within another, else 0."""
    known, found = WORDS[role].split(), words_of(name)
    if any(word in known for word in found):
        return 2
    return int(any(part in word for word in found for part in known if len(part) >= 4))


class Times(NamedTuple):
    """Form of a column of times.

    Args:
        unit: "s", "ms", "us", "ns" of numbers, "order" of positions; None for dates as text or by type.
        share: share of the values of that form.
        span: first and last of them, as text.
    """

    unit: str | None
    share: float
    span: str


class ColumnFacts:
    """A column's values, as far as a guess depends on them.

    Args:
        values: the column, or its first part.
    """

    def __init__(self, values: pl.Series) -> None:
        self.name = values.name
        self.dtype = values.dtype
        self.is_list = isinstance(values.dtype, pl.List)
        self.usable = _is_flat(values.dtype)
        self.n = len(values)
        text = joined(values.to_frame(), [values.name], " ") if self.usable else pl.Series(dtype=pl.String)
        frame = pl.DataFrame({"text": text.str.strip_chars()})
        self.present: pl.Series = frame.filter(~is_missing(pl.col("text")))["text"]
        """Values that are not missing, as text."""

    @property
    def filled(self) -> float:
        """Share of the rows with a value."""
        return len(self.present) / max(self.n, 1)

    @cached_property
    def distinct(self) -> int:
        """Number of different values."""
        return self.present.n_unique()

    @property
    def is_key(self) -> bool:
        """Whether the column has another value in (almost) every row."""
        return self.filled > 0.99 and self.distinct > 0.99 * self.n and not self.is_list

    @cached_property
    def sample(self) -> pl.Series:
        """The first different values."""
        return self.present.unique(maintain_order=True).head(SAMPLE)

    @cached_property
    def number_share(self) -> float:
        """Share of different values that are numbers, prices included."""
        return _share(numbers(self.sample).values.is_not_null())

    @cached_property
    def plain_numbers(self) -> pl.Series:
        """Different values that are plain numbers, as floats; null for others."""
        return self.sample.cast(pl.Float64, strict=False)

    @cached_property
    def is_fraction(self) -> bool:
        """Whether numbers have fractions, so that the column holds no ids."""
        found = self.plain_numbers.drop_nulls()
        return len(found) > 0.9 * len(self.sample) and bool((found % 1 != 0).any())

    @cached_property
    def n_words(self) -> float:
        """Mean number of words."""
        mean = self.sample.str.count_matches(r"\S+").mean()
        return float(mean) if isinstance(mean, int | float) else 0.0

    @cached_property
    def letter_share(self) -> float:
        """Share of different values with a word of letters."""
        return _share(self.sample.str.contains(r"[^\W\d_]{3}"))

    @cached_property
    def picture_share(self) -> float:
        """Share of different values that end like the file of a picture."""
        ends = "|".join(suffix[1:] for suffix in PICTURE_SUFFIXES)
        return _share(self.sample.str.to_lowercase().str.contains(rf"\.(?:{ends})$"))

    @cached_property
    def address_share(self) -> float:
        """Share of different values that are addresses on the web."""
        return _share(self.sample.str.contains(r"^https?://"))

    @cached_property
    def times(self) -> Times | None:
        """Form of the values as times; None if they are none."""
        if isinstance(self.dtype, pl.Datetime | pl.Date):
            return Times(None, 1.0, f"{self.present.min()!s} to {self.present.max()!s}")
        if self.is_list or not len(self.sample):
            return None
        found = self.plain_numbers.drop_nulls()
        if len(found) > 0.9 * len(self.sample):
            return _numeric_times(found)
        read = seconds(self.sample, "s", "", None).values.drop_nulls()
        share = len(read) / len(self.sample)
        return Times(None, share, _span(read, 1.0)) if share > 0.9 and self.letter_or_dash else None

    @cached_property
    def letter_or_dash(self) -> bool:
        """Whether values look like ISO dates rather than like grouped numbers."""
        return _share(self.sample.str.contains(r"\d{4}-\d\d-\d\d")) > 0.5


def _is_flat(dtype: pl.DataType) -> bool:
    """Return whether values, or the members of lists, are no structures."""
    inner = dtype.inner if isinstance(dtype, pl.List) else dtype
    return not inner.is_nested()


def _share(found: pl.Series) -> float:
    mean = found.mean()
    return float(mean) if isinstance(mean, int | float) else 0.0


def _numeric_times(found: pl.Series) -> Times | None:
    low, high = PLAUSIBLE
    shares = {unit: _share(found.is_between(low * factor, high * factor)) for unit, factor in UNITS}
    unit = max(shares, key=lambda name: shares[name])
    if shares[unit] > 0.5:
        factor = dict(UNITS)[unit]
        inside = found.filter(found.is_between(low * factor, high * factor))
        return Times(unit, shares[unit], _span(inside, factor))
    if bool((found % 1 == 0).all()) and bool((found >= 0).all()):
        whole = found.cast(pl.Int64)
        return Times("order", 1.0, f"{whole.min()!s} to {whole.max()!s}")
    return None


def _span(times: pl.Series, factor: float) -> str:
    ends = [show_time(float(end) / factor) for end in (times.min(), times.max())]  # type: ignore[arg-type]
    return " to ".join(end.split(" ")[0] for end in ends)

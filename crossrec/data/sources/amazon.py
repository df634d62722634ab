"""Amazon Reviews 2023: reviews and item metadata of one category, as published by the McAuley Lab."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field

from crossrec.config import ComponentOptions
from crossrec.data.catalog import Catalog
from crossrec.data.cleaning_report import Step
from crossrec.data.interactions import Interactions
from crossrec.data.sources.base import DataSource, RawData
from crossrec.data.sources.lines import first_object, read_jsonl
from crossrec.data.sources.reading import (
    Faults,
    SourceError,
    nearest_file,
    pictures_in,
    require_root,
    suggest,
)
from crossrec.data.sources.values import (
    Reading,
    categories,
    counted,
    identifiers,
    joined,
    numbers,
    seconds,
    without_html,
)

MetaText = Literal["title", "features", "description", "categories", "store", "main_category"]

KEY = "data.source.category=NAME"

SIZES = ("large", "hi_res", "thumb")
"""Addresses of one picture, the preferred first."""

_REVIEW = {
    "user_id": pl.String(),
    "parent_asin": pl.String(),
    "rating": pl.String(),
    "timestamp": pl.String(),
    "verified_purchase": pl.Boolean(),
}

_META: dict[str, pl.DataType] = {
    "parent_asin": pl.String(),
    "title": pl.String(),
    "features": pl.List(pl.String()),
    "description": pl.List(pl.String()),
    "categories": pl.List(pl.String()),
    "store": pl.String(),
    "main_category": pl.String(),
    "price": pl.String(),
}

_ADDRESSES: dict[str, pl.DataType] = {size: pl.String() for size in SIZES}

_LISTED: dict[str, pl.DataType] = {size: pl.List(pl.String()) for size in SIZES}


@dataclass
class _Count:
    """Counts for the data set's note."""

    unverified: int = 0
    twice: int = 0

    def note(self) -> str:
        said = {
            "reviews without a verified purchase left out": self.unverified,
            "items twice in the metadata (the first counts)": self.twice,
        }
        return "; ".join(f"{count:,} {what}" for what, count in said.items() if count)


class AmazonReviews2023Source(DataSource):
    """One category of Amazon Reviews 2023.

    ``<Category>.jsonl`` and ``meta_<Category>.jsonl``, plain or ``.gz``, lie in ``data.root``, or as in the
    lab's repository on the Hugging Face hub, of which ``data.root`` is a copy: ``raw/review_categories/``,
    ``raw/meta_categories/``, ``raw_review_*/*.parquet``, ``raw_meta_*/*.parquet``. An item is a
    ``parent_asin``; a review is a click with a rating. Pictures are addresses there: they are never fetched,
    but read from ``<images>/<parent_asin>.jpg`` where they are, and the address stays in the catalogue's
    column ``image_url``.

    Source:
        Hou et al. 2024, "Bridging language and items for retrieval and recommendation".
    """

    class Options(ComponentOptions):
        """Options of Amazon Reviews 2023.

        Args:
            category: name such as ``All_Beauty``; the only one in the folder when not set.
            images: folder of pictures, relative to ``data.root``; used if it exists.
            text: fields of the text, joined in this order, without HTML.
            max_characters: longer texts are cut; encoders read fewer tokens than that.
            items: whether to keep only items with a review in the file, or all of the metadata.
            verified_only: whether to drop reviews that Amazon does not mark as verified purchases.
        """

        category: str | None = None
        images: str = "images"
        text: tuple[MetaText, ...] = Field(("title", "features", "description"), min_length=1)
        max_characters: int = Field(2000, ge=1)
        items: Literal["reviewed", "all"] = "reviewed"
        verified_only: bool = False

    options: Options

    def load(self) -> RawData:
        """Read both files, some megabytes at a time.

        Raises:
            SourceError: if the root, a file or a field is missing, or a line can't be read.
        """
        options = self.options
        root = require_root(self.root, "amazon_reviews_2023")
        category = options.category or _only_category(root)
        faults = Faults()
        reviews = meta = None
        with faults.collected():
            reviews = _files(root, category, "review", category)
        with faults.collected():
            meta = _files(root, category, "meta", f"meta_{category}")
        faults.report()
        assert reviews is not None
        assert meta is not None
        count = _Count()
        log, steps = _read_log(options, reviews, count)
        wanted = log["item_id"].unique() if options.items == "reviewed" else None
        catalog, more = _read_catalog(options, root, meta, wanted, count)
        name = f"amazon_reviews_2023 ({category})"
        return RawData(name, count.note(), catalog, Interactions(log), steps=(*steps, more))


def _only_category(root: Path) -> str:
    files = [p.name for folder in (root, root / "raw" / "meta_categories") for p in folder.glob("meta_*")]
    matches = [re.match(r"meta_(\w+)\.jsonl(\.gz)?$", name) for name in files]
    names = [match[1] for match in matches if match is not None]
    names += [p.name.removeprefix("raw_meta_") for p in root.glob("raw_meta_*") if p.is_dir()]
    found = sorted(set(names))
    if len(found) != 1:
        there = f"several: {', '.join(found)}" if found else "no meta_<Category>.jsonl"
        raise SourceError(f"{root} holds {there}; set {KEY} or data.root=FOLDER")
    return found[0]


def _files(root: Path, category: str, kind: str, stem: str) -> list[Path]:
    for folder in (root, root / "raw" / f"{kind}_categories"):
        for suffix in (".jsonl", ".jsonl.gz"):
            if (folder / (stem + suffix)).is_file():
                return [folder / (stem + suffix)]
    parts = sorted((root / f"raw_{kind}_{category}").glob("*.parquet"))
    if not parts:
        hint = nearest_file(root, f"{stem}.jsonl", (".jsonl", ".gz"))
        raise SourceError(f"{root} holds no {stem}.jsonl or {stem}.jsonl.gz; {hint}. Set {KEY}")
    return parts


def _frames(
    files: list[Path], schema: Mapping[str, pl.DataType], required: tuple[str, ...]
) -> Iterator[pl.DataFrame]:
    for path in files:
        if path.suffix != ".parquet":
            first_object(path, required, KEY)
            yield from read_jsonl(path, schema, KEY)
            continue
        try:
            yield from _parquet_frames(path, schema, required)
        except pa.ArrowException as error:
            raise SourceError(f"{path} can't be read: it is damaged. Fetch it again, or set {KEY}") from error


def _parquet_frames(
    path: Path, schema: Mapping[str, pl.DataType], required: tuple[str, ...]
) -> Iterator[pl.DataFrame]:
    file = pq.ParquetFile(path)
    faults = Faults()
    for name in required:
        if name not in file.schema_arrow.names:
            faults.add(f"{path} has no column '{name}'; {suggest(name, file.schema_arrow.names)}. Set {KEY}")
    faults.report()
    present = [name for name in schema if name in file.schema_arrow.names]
    for batch in file.iter_batches(columns=present):
        frame = pl.from_arrow(batch)
        assert isinstance(frame, pl.DataFrame)
        absent = [pl.lit(None, kind).alias(name) for name, kind in schema.items() if name not in present]
        yield frame.with_columns(*absent)


def _read_log(
    options: AmazonReviews2023Source.Options, files: list[Path], count: _Count
) -> tuple[pl.DataFrame, list[Step]]:
    parts: list[pl.DataFrame] = []
    read: dict[str, list[Reading]] = {"time": [], "rating": []}
    verified = ("verified_purchase",) if options.verified_only else ()
    for frame in _frames(files, _REVIEW, ("user_id", "parent_asin", "timestamp", *verified)):
        if options.verified_only:
            kept = frame.filter(pl.col("verified_purchase"))
            count.unverified += frame.height - kept.height
            frame = kept
        read["time"].append(seconds(frame["timestamp"], "ms", str(files[0]), None))
        read["rating"].append(numbers(frame["rating"], "."))
        (user,), (item,) = (
            identifiers(frame[name], where=str(files[0])) for name in ("user_id", "parent_asin")
        )
        parts.append(
            pl.DataFrame(
                {
                    "user_id": user,
                    "item_id": item,
                    "timestamp": read["time"][-1].values,
                    "rating": read["rating"][-1].values,
                }
            )
        )
    if not parts:
        raise SourceError(f"{files[0]} holds no review: fetch it again, or set {KEY}")
    log = pl.concat(parts)
    steps = [
        counted(
            what,
            "clicks",
            log.height,
            sum(reading.unreadable for reading in readings),
            next((reading.example for reading in readings if reading.example), ""),
        )
        for what, readings in read.items()
    ]
    return log, steps


def _read_catalog(
    options: AmazonReviews2023Source.Options,
    root: Path,
    files: list[Path],
    wanted: pl.Series | None,
    count: _Count,
) -> tuple[Catalog, Step]:
    schema = {**_META, "images": _images_type(files[0])}
    parts = []
    for frame in _frames(files, schema, ("parent_asin",)):
        frame = frame.with_columns(*identifiers(frame["parent_asin"], where=str(files[0])))
        frame = frame.filter(pl.col("parent_asin").is_not_null())
        if wanted is not None:
            frame = frame.filter(pl.col("parent_asin").is_in(wanted.implode()))
        if frame.height:
            parts.append(_items(options, frame))
    if not parts:
        raise SourceError(f"{files[0]} describes none of the items that are reviewed: set {KEY}")
    everything = pl.concat(parts)
    items = everything.unique("item_id", keep="first", maintain_order=True)
    count.twice = everything.height - items.height
    price = numbers(items["price"], ".")
    items = items.with_columns(price.values.alias("price"))
    folder = root / options.images
    pictures = pictures_in(folder) if folder.is_dir() else {}
    columns: dict[str, Any] = {
        name: items[name].to_arrow(compat_level=pl.CompatLevel.oldest()) for name in items.columns
    }
    columns["image_path"] = [pictures.get(item_id) for item_id in items["item_id"].to_list()]
    return Catalog.from_columns(columns, (folder,)), price.step("price", "items")


def _images_type(path: Path) -> pl.DataType:
    """Return the list of pictures of the lab's JSON, or the lists by size of a copy from the hub."""
    if path.suffix != ".parquet" and isinstance(first_object(path, (), KEY).get("images"), dict):
        return pl.Struct(_LISTED)
    return pl.List(pl.Struct(_ADDRESSES))


def _items(options: AmazonReviews2023Source.Options, frame: pl.DataFrame) -> pl.DataFrame:
    text = without_html(joined(frame, options.text, " ")).str.slice(0, options.max_characters)
    return pl.DataFrame(
        {
            "item_id": frame["parent_asin"],
            "title": without_html(frame["title"]),
            "text": text,
            "categories": categories(frame["categories"], "|")[0],
            "price": frame["price"],
            "store": frame["store"],
            "main_category": frame["main_category"],
            "image_url": _address(frame["images"]),
        }
    )


def _address(images: pl.Series) -> pl.Series:
    """Return the address of each item's first picture."""
    column = pl.col(images.name)
    if isinstance(images.dtype, pl.List):
        first = column.list.first()
        found = [first.struct.field(size) for size in SIZES]
    else:
        found = [column.struct.field(size).list.first() for size in SIZES]
    return pl.DataFrame({images.name: images}).select(image_url=pl.coalesce(found))["image_url"]

"""Reads Hugging Face tables into a catalogue and a log."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from crossrec.data.catalog import Catalog
from crossrec.data.interactions import Interactions
from crossrec.data.sources.hf_dataset import HFDatasetConfig
from crossrec.data.sources.hf_table import arrow_columns, is_picture, open_table
from crossrec.data.sources.item_columns import (
    RESERVED,
    categories,
    identifiers,
    image_folder,
    image_paths,
    joined,
    prices,
)
from crossrec.data.sources.raw import RawData
from crossrec.data.sources.reading import SourceError, nearest, require_root
from crossrec.data.sources.table_times import seconds

if TYPE_CHECKING:
    from datasets import Dataset


def read_hf(config: HFDatasetConfig, root: Path | None, cache_dir: Path) -> RawData:
    """Reads both tables; see :class:`~crossrec.data.sources.hf_dataset.HFDatasetConfig`."""
    if root is not None:
        require_root(root, config.type)
    clicked = (config.interaction_columns.user, config.interaction_columns.item)
    clicks = open_table(config.interactions, "data.source.interactions", root, cache_dir, clicked)
    log = _read_log(config, clicks)
    items = open_table(config.items, "data.source.items", root, cache_dir, (config.item_columns.id,))
    catalog, unreadable = _read_catalog(config, items, root, cache_dir)
    notes = [config.note] if config.note else []
    if unreadable:
        notes.append(f"{unreadable:,} prices that are no number")
    return RawData(config.name or config.items.path, "; ".join(notes), catalog, Interactions(log))


class _Columns:
    """The columns of a table, by their use."""

    def __init__(self, dataset: Dataset, path: str, key: str) -> None:
        self.names = list(dataset.column_names)
        self.path = path
        self.key = key

    def required(self, name: str, use: str) -> str:
        if name not in self.names:
            raise SourceError(
                f"{self.path} has no column '{name}'; {nearest(name, self.names)}. "
                f"Set {self.key}.{use}=COLUMN"
            )
        return name

    def optional(self, name: str | None, use: str) -> str | None:
        if name is not None:
            return self.required(name, use)
        return use if use in self.names else None

    def refuse_nested(self, frame: pl.DataFrame, names: Sequence[str]) -> None:
        nested = next((name for name in names if frame.schema[name].is_nested()), None)
        if nested is not None:
            raise SourceError(
                f"{self.path}: column '{nested}' holds {frame.schema[nested]}, not one value a row. "
                f"Choose another in {self.key}"
            )


def _read_log(config: HFDatasetConfig, dataset: Dataset) -> pl.DataFrame:
    names = config.interaction_columns
    columns = _Columns(dataset, config.interactions.path, "data.source.interaction_columns")
    used = {
        "user_id": columns.required(names.user, "user"),
        "item_id": columns.required(names.item, "item"),
        "timestamp": columns.required(names.timestamp, "timestamp"),
        "rating": columns.optional(names.rating, "rating"),
        "label": columns.optional(names.label, "label"),
    }
    present = {role: name for role, name in used.items() if name is not None}
    frame = pl.DataFrame(arrow_columns(dataset, list(dict.fromkeys(present.values()))))
    columns.refuse_nested(frame, [present[role] for role in ("user_id", "item_id", "timestamp")])
    parts: list[pl.Series | pl.Expr] = [
        identifiers(frame[present[role]]).alias(role) for role in ("user_id", "item_id")
    ]
    if "rating" in present:
        parts.append(pl.col(present["rating"]).cast(pl.Float64, strict=False).alias("rating"))
    if "label" in present:
        parts.append(pl.col(present["label"]).cast(pl.String).alias("label"))
    key = f"{columns.key}.timestamp"
    times = seconds(frame[present["timestamp"]], config.time_unit, Path(columns.path), key)
    return frame.select(*parts).with_columns(times.alias("timestamp"))


def _read_catalog(
    config: HFDatasetConfig, dataset: Dataset, root: Path | None, cache_dir: Path
) -> tuple[Catalog, int]:
    names = config.item_columns
    columns = _Columns(dataset, config.items.path, "data.source.item_columns")
    identifier = columns.required(names.id, "id")
    title, image = columns.optional(names.title, "title"), columns.optional(names.image, "image")
    kinds, price = columns.optional(names.categories, "categories"), columns.optional(names.price, "price")
    wanted = (names.text,) if isinstance(names.text, str | None) else names.text
    texts = [found for name in wanted if (found := columns.optional(name, "text")) is not None]
    mapped = {name for name in (identifier, title, kinds, price, *texts) if name is not None}
    frame = pl.DataFrame(arrow_columns(dataset, sorted(mapped)))
    columns.refuse_nested(frame, [name for name in (identifier, price) if name is not None])
    series = {"item_id": identifiers(frame[identifier])}
    unreadable = 0
    if title is not None:
        series["title"] = joined(frame, [title], " ")
    if texts:
        series["text"] = joined(frame, texts, config.text_separator)
    if kinds is not None:
        series["categories"] = categories(frame[kinds], config.category_separator)
    if price is not None:
        series["price"], unreadable = prices(frame[price])
    arrays: dict[str, Any] = {
        name: column.to_arrow(compat_level=pl.CompatLevel.oldest()) for name, column in series.items()
    }
    rest = [name for name in columns.names if name not in {*mapped, image} and name not in RESERVED]
    plain = [name for name in rest if not is_picture(dataset, name)]
    if plain:
        extra = arrow_columns(dataset, plain)
        arrays |= {name: extra[name] for name in plain}
    arrays |= _pictures(config, dataset, image, root, series["item_id"])
    return Catalog.from_columns(arrays, _image_roots(config, root, cache_dir)), unreadable


def _pictures(
    config: HFDatasetConfig, dataset: Dataset, image: str | None, root: Path | None, ids: pl.Series
) -> dict[str, Any]:
    folder = Path() if root is None else root
    if image is not None:
        stored = arrow_columns(dataset, [image])[image]
        if is_picture(dataset, image):
            return {"image_bytes": pc.struct_field(stored, "bytes"), "image_path": _paths(stored)}
        if pa.types.is_binary(stored.type) or pa.types.is_large_binary(stored.type):
            return {"image_bytes": stored}
        column = pl.Series(stored).cast(pl.String)
        return {"image_path": image_paths(folder, config.images, ids.to_list(), column, config.items.path)}
    return {"image_path": image_paths(folder, config.images, ids.to_list(), None, config.items.path)}


def _image_roots(config: HFDatasetConfig, root: Path | None, cache_dir: Path) -> tuple[Path, ...]:
    """Where pictures may lie: beside the data, in the image folder, or where fetched data sets are kept."""
    from datasets.config import HF_DATASETS_CACHE
    from huggingface_hub.constants import HF_HUB_CACHE

    own = Path() if root is None else root
    table = own / config.items.path
    beside = [table if table.is_dir() else table.parent] if table.exists() else []
    fetched = (cache_dir / "huggingface", Path(HF_DATASETS_CACHE), Path(HF_HUB_CACHE))
    return (image_folder(own, config.images), *beside, *fetched)


def _paths(stored: pa.ChunkedArray) -> pa.ChunkedArray:
    """Where a picture has no bytes, the file that it is in; null beside bytes, whose path is a mere name."""
    paths, data = pc.struct_field(stored, "path"), pc.struct_field(stored, "bytes")
    return pc.if_else(pc.is_null(data), paths, pa.scalar(None, paths.type))

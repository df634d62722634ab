"""Reads Hugging Face tables into a catalogue and a log."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from crossrec.data.interactions import Interactions
from crossrec.data.sources.columns import RESERVED, Columns, catalog, read_items, read_log, with_identifiers
from crossrec.data.sources.hf_dataset import HFDatasetConfig
from crossrec.data.sources.hf_table import HFData, arrow_columns, is_picture, open_table
from crossrec.data.sources.raw import RawData
from crossrec.data.sources.reading import Faults, image_folder, image_paths, require_root

if TYPE_CHECKING:
    from datasets import Dataset


def read_hf(config: HFDatasetConfig, root: Path | None, cache_dir: Path) -> RawData:
    """Reads both tables; see :class:`~crossrec.data.sources.hf_dataset.HFDatasetConfig`."""
    if root is not None:
        require_root(root, config.type)
    faults = Faults()
    clicks = shop = uses = None
    log_key, item_key = "data.source.interaction_columns", "data.source.item_columns"
    with faults.collected():
        clicks = open_table(config, config.interactions, "data.source.interactions", root, cache_dir)
        names = clicks.dataset.column_names
        log_columns = Columns(config.interactions.path, names, log_key, faults).log(
            config.interaction_columns
        )
    with faults.collected():
        shop = open_table(config, config.items, "data.source.items", root, cache_dir)
        uses = Columns(config.items.path, shop.dataset.column_names, item_key, faults).items(
            config.item_columns
        )
    faults.report()
    assert clicks is not None
    assert shop is not None
    assert uses is not None
    frame = _frame(clicks, list(dict.fromkeys(log_columns.values())))
    log, steps = read_log(
        frame, log_columns, config.time_unit, config.decimal, config.interactions.path, log_key
    )
    plain = [
        name
        for name in shop.dataset.column_names
        if name in uses.mapped
        or (name != uses.image and name not in RESERVED and not is_picture(shop.dataset, name))
    ]
    # Further columns of typed tables stay in their Arrow files.
    further = [] if shop.untyped else [name for name in plain if name not in uses.mapped]
    series, more = read_items(
        _frame(shop, [name for name in plain if name not in further]),
        uses,
        separator=config.category_separator,
        text_separator=config.text_separator,
        decimal=config.decimal,
        where=config.items.path,
        key=item_key,
        untyped=shop.untyped,
    )
    columns: dict[str, Any] = dict(series)
    if further:
        stored = arrow_columns(shop.dataset, further)
        columns |= {name: stored[name] for name in further}
    columns, log = with_identifiers(columns, log, f"{config.items.path} and {config.interactions.path}")
    columns |= _pictures(config, shop.dataset, uses.image, root, columns["item_id"])
    return RawData(
        config.name or config.items.path,
        config.note,
        catalog(columns, _image_roots(config, root, cache_dir)),
        Interactions(log),
        steps=(*steps, *more),
        ordinal=config.time_unit == "order",
    )


def _frame(data: HFData, names: list[str]) -> pl.DataFrame:
    return pl.DataFrame(arrow_columns(data.dataset, names))


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

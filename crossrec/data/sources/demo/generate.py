"""Makes a storefront once, keeps it in a folder, and reads it from there."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa

from crossrec.data.catalog import REQUIRED, Catalog
from crossrec.data.interactions import Interactions
from crossrec.data.sources.demo.config import DemoConfig
from crossrec.data.sources.demo.descriptions import write_title_and_text
from crossrec.data.sources.demo.pictures import Painter
from crossrec.data.sources.demo.products import Products, draw_products
from crossrec.data.sources.demo.shoppers import DAY, FIRST_SECOND, Visits, draw_tastes, draw_visits
from crossrec.data.sources.demo.simulate import SimulatedClicks, simulate
from crossrec.data.sources.demo.truth import DemoTruth
from crossrec.data.sources.demo.vocabulary import CATEGORIES
from crossrec.data.sources.raw import RawData
from crossrec.runtime import distributed
from crossrec.runtime.checksums import CHECKSUMS, damage, write_checksums
from crossrec.runtime.files import atomic_path

logger = logging.getLogger(__name__)

NOTE = "generated storefront, not real shoppers"
ITEMS, INTERACTIONS = "items.arrow", "interactions.arrow"
ITEM_SCHEMA = REQUIRED.append(pa.field("image_bytes", pa.binary())).append(
    pa.field("launched_at", pa.float64())
)
STREAMS = ("products", "texts", "pictures", "tastes", "visits", "clicks")
"""Independent random streams: another picture size leaves the clicks as they are."""


def ensure(config: DemoConfig, folder: Path) -> Path:
    """Generates the storefront into ``folder`` where it does not stand yet.

    The folder appears whole or not at all; of two processes that generate it together, the one that
    comes second drops its own copy, which holds the same bytes.

    Returns:
        ``folder``.
    """
    if folder.is_dir():
        if not distributed.is_main():
            return folder
        fault = damage(folder) if (folder / CHECKSUMS).exists() else f"{folder} has no checksums"
        if fault is None:
            return folder
        logger.warning("%s: the demo storefront is generated again", fault)
        shutil.rmtree(folder)
    logger.info("generating the demo storefront into %s", folder)
    try:
        with atomic_path(folder) as temporary:
            temporary.mkdir()
            _write(config, temporary)
            write_checksums(temporary)
    except OSError:
        if not folder.is_dir():
            raise
        logger.info("another process has put %s there first", folder)
    return folder


def read(folder: Path) -> RawData:
    """Reads a storefront that :func:`ensure` made; the items stay on disk, memory-mapped."""
    import polars as pl
    from datasets import Dataset

    with pa.ipc.open_stream(folder / INTERACTIONS) as reader:
        log = reader.read_all()
    frame = pl.from_arrow(log)
    assert isinstance(frame, pl.DataFrame)
    catalog = Catalog(Dataset.from_file(str(folder / ITEMS)))
    return RawData("demo", NOTE, catalog, Interactions(frame))


def _write(config: DemoConfig, folder: Path) -> None:
    streams = np.random.SeedSequence(config.seed).spawn(len(STREAMS))
    rngs = dict(zip(STREAMS, map(np.random.default_rng, streams), strict=True))
    products = draw_products(config, rngs["products"])
    truth = DemoTruth.from_products(products, draw_tastes(config, rngs["tastes"]), config.days)
    visits = draw_visits(config, rngs["visits"])
    clicks = simulate(truth, visits, rngs["clicks"])
    truth.save(folder)
    _write_stream(folder / ITEMS, _item_table(config, products, rngs["texts"], rngs["pictures"]))
    _write_stream(folder / INTERACTIONS, _click_table(config, visits, clicks))
    (folder / "config.json").write_text(config.model_dump_json(indent=2), encoding="utf-8")


def _item_table(
    config: DemoConfig, products: Products, text_rng: np.random.Generator, picture_rng: np.random.Generator
) -> pa.Table:
    painter, levels = Painter(config.image_size), products.levels
    columns: dict[str, list[object]] = {name: [] for name in ITEM_SCHEMA.names}
    seeds = picture_rng.integers(2**63, size=len(products))
    for i in range(len(products)):
        category = CATEGORIES[levels["category"][i]]
        title, text = write_title_and_text(
            levels["category"][i], levels["material"][i], levels["occasion"][i], text_rng
        )
        picture = None
        if products.has_image[i]:
            look = (levels["category"][i], levels["colour"][i], levels["pattern"][i])
            picture = painter.draw(*look, np.random.default_rng(seeds[i]))
        columns["item_id"].append(item_id(i))
        columns["title"].append(title)
        columns["text"].append(text if products.has_text[i] else None)
        columns["image_path"].append(None)
        columns["categories"].append([category.department, category.name])
        columns["price"].append(products.price[i])
        columns["image_bytes"].append(picture)
        columns["launched_at"].append(float(FIRST_SECOND + DAY * products.launch_day[i]))
    return pa.table(columns, schema=ITEM_SCHEMA)


def _click_table(config: DemoConfig, visits: Visits, clicks: SimulatedClicks) -> pa.Table:
    """One row a click, in order of time as a shop's log would be."""
    shoppers = np.repeat(np.arange(config.n_shoppers), np.diff(visits.offsets))
    order = np.lexsort((shoppers, visits.times))
    return pa.table(
        {
            "user_id": pa.array([shopper_id(u) for u in shoppers[order]], pa.string()),
            "item_id": pa.array([item_id(i) for i in clicks.items[order]], pa.string()),
            "timestamp": pa.array(visits.times[order].astype(np.float64)),
            "label": pa.array(np.where(clicks.bought[order], "purchase", "click").tolist(), pa.string()),
        }
    )


def item_id(index: int) -> str:
    """Original id of a product, whose number is its index in the truth."""
    return f"P{index:05d}"


def shopper_id(index: int) -> str:
    """Original id of a shopper, whose number is its index in the truth."""
    return f"S{index:05d}"


def _write_stream(path: Path, table: pa.Table) -> None:
    with pa.ipc.new_stream(path, table.schema) as writer:
        writer.write_table(table, max_chunksize=1024)

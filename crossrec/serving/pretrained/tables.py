"""Catalogue and users of a shared recommender as Parquet, a part at a time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from crossrec.data.catalog import Catalog
from crossrec.data.interactions import ClickLog
from crossrec.runtime.pictures import UnreadablePicture
from crossrec.serving.cards import thumbnail
from crossrec.serving.results import PICTURES
from crossrec.types import InputError, Sequences

if TYPE_CHECKING:
    import pyarrow as pa

Pictures = Literal["none", "thumbnails", "full"]
"""What becomes of the catalogue's pictures in a shared folder."""

ROWS = 4096
"""Written at a time."""
THUMBNAIL_SIDE = 224
"""Pixels; enough for the usual encoders."""
USER_ID, ITEMS, TIMES = "user_id", "items", "times"


def write_items(catalog: Catalog, pictures: Pictures, path: Path) -> None:
    """Writes the catalogue; of pictures only what is asked for, and never the path of a file.

    Args:
        catalog: N items.
        pictures: none, small ones, or the encoded pictures as they are.
        path: of the file.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = [name for name in catalog.dataset.column_names if name not in PICTURES]
    writer: pq.ParquetWriter | None = None
    try:
        for start in range(0, max(len(catalog), 1), ROWS):
            rows = range(start, min(start + ROWS, len(catalog)))
            table = catalog.dataset.select_columns(names).with_format("arrow")[rows.start : rows.stop]
            table = table.append_column("image_path", pa.nulls(len(rows), pa.string()))
            if pictures != "none":
                data = [_picture(catalog, row, pictures) for row in rows]
                table = table.append_column("image_bytes", pa.array(data, pa.binary()))
            writer = writer or pq.ParquetWriter(path, table.schema)
            writer.write_table(table)
    finally:
        if writer is not None:
            writer.close()


def read_items(path: Path) -> Catalog:
    """The catalogue that :func:`write_items` wrote.

    Files that it names are not read: a folder from elsewhere must not have files of this machine shown.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq
    from datasets import Dataset

    table = pq.read_table(path)
    if "image_path" in table.column_names:
        nothing = pa.nulls(len(table), pa.string())
        table = table.set_column(table.column_names.index("image_path"), "image_path", nothing)
    return Catalog(Dataset(table), image_roots=())


def write_users(clicks: ClickLog, path: Path) -> None:
    """Writes users and their clicks, by catalogue index."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    writer: pq.ParquetWriter | None = None
    try:
        for rows in _blocks(len(clicks.user_ids)):
            some = clicks.sequences.take(rows)
            offsets = pa.array(some.offsets.astype(np.int32))
            columns: dict[str, pa.Array] = {
                USER_ID: pa.array([str(user_id) for user_id in clicks.user_ids[rows]], pa.string()),
                ITEMS: pa.ListArray.from_arrays(offsets, pa.array(some.items.astype(np.int32))),
            }
            if some.times is not None:
                columns[TIMES] = pa.ListArray.from_arrays(offsets, pa.array(some.times.astype(np.int64)))
            table = pa.table(columns)
            writer = writer or pq.ParquetWriter(path, table.schema)
            writer.write_table(table)
    finally:
        if writer is not None:
            writer.close()


def read_users(path: Path, n_items: int) -> ClickLog:
    """The users that :func:`write_users` wrote.

    Raises:
        InputError: a click is on an item that the catalogue doesn't have.
    """
    import pyarrow.parquet as pq

    table = pq.read_table(path).combine_chunks()
    lengths = table[ITEMS].combine_chunks().value_lengths().to_numpy()
    items = _flat(table, ITEMS).astype(np.int32)
    if len(items) and not 0 <= items.min() <= items.max() < n_items:
        raise InputError(f"{path}: clicks on items outside the catalogue of {n_items}")
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    times = _flat(table, TIMES) if TIMES in table.column_names else None
    return ClickLog(Sequences(offsets, items, times), np.asarray(table[USER_ID].to_pylist(), dtype=object))


def _flat(table: pa.Table, name: str) -> np.ndarray:
    import pyarrow as pa

    column = table[name]
    values = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    return np.asarray(values.flatten().to_numpy())


def _blocks(n_rows: int) -> Iterator[np.ndarray]:
    for start in range(0, max(n_rows, 1), ROWS):
        yield np.arange(start, min(start + ROWS, n_rows))


def _picture(catalog: Catalog, row: int, pictures: Pictures) -> bytes | None:
    if pictures == "thumbnails":
        return thumbnail(catalog, row, THUMBNAIL_SIDE)
    try:
        return catalog.image_bytes(row) if catalog.has_image[row] else None
    except UnreadablePicture:
        # Masked in training, and there is nothing to share.
        return None

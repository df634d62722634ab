"""Any Hugging Face data set: a name on the hub, a saved folder, or local files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from crossrec.config import Config
from crossrec.data.interactions import Interactions
from crossrec.data.sources.base import DataSource, RawData
from crossrec.data.sources.columns import (
    RESERVED,
    Columns,
    TwoTableOptions,
    catalog,
    read_items,
    read_log,
    with_identifiers,
)
from crossrec.data.sources.reading import (
    Faults,
    SourceError,
    image_folder,
    image_paths,
    nearest_file,
    require_root,
    suggest,
)
from crossrec.data.sources.table_file import TableFile

if TYPE_CHECKING:
    from datasets import Dataset, DatasetBuilder


class HFTable(Config):
    """A Hugging Face table.

    Args:
        path: relative to ``data.root`` where that is set: a folder written by ``save_to_disk``, a folder of
            data files, or one ``.parquet``, ``.csv``, ``.json`` or ``.jsonl`` file. A path that does not
            exist is treated as a name on the hub, ``user/name``, and fetched.
            subset: configuration of a data set on the hub, if it has several.
            split: name of the split; the only one when not set.
        revision: revision of a data set on the hub.
    """

    path: str
    subset: str | None = None
    split: str | None = None
    revision: str | None = None


class HFDatasetSource(DataSource):
    """Items and interactions as two Hugging Face tables.

    The tables are two splits or subsets of one data set, or two data sets. Paths are relative to
    ``data.root`` where that is set.
    """

    class Options(TwoTableOptions):
        """Options of a Hugging Face data set.

        ``image`` of the item columns may be a ``datasets.Image`` (bytes stay in Arrow files, never all in
        memory), encoded bytes, or file names relative to ``images``.

        Args:
            items: the table of items.
            interactions: the table of clicks.
        """

        items: HFTable
        interactions: HFTable

    options: Options

    def load(self) -> RawData:
        """Read both tables.

        Raises:
            SourceError: if a table, split or column is missing or can't be read.
        """
        options, root, cache_dir = self.options, self.root, self.cache_dir
        if root is not None:
            require_root(root, "hf_dataset")
        faults = Faults()
        clicks = shop = uses = None
        log_key, item_key = "data.source.interaction_columns", "data.source.item_columns"
        with faults.collected():
            clicks = open_table(options, options.interactions, "data.source.interactions", root, cache_dir)
            names = clicks.dataset.column_names
            log_columns = Columns(options.interactions.path, names, log_key, faults).log(
                options.interaction_columns
            )
        with faults.collected():
            shop = open_table(options, options.items, "data.source.items", root, cache_dir)
            uses = Columns(options.items.path, shop.dataset.column_names, item_key, faults).items(
                options.item_columns
            )
        faults.report()
        assert clicks is not None
        assert shop is not None
        assert uses is not None
        frame = _frame(clicks, list(dict.fromkeys(log_columns.values())))
        log, steps = read_log(
            frame, log_columns, options.time_unit, options.decimal, options.interactions.path, log_key
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
            separator=options.category_separator,
            text_separator=options.text_separator,
            decimal=options.decimal,
            where=options.items.path,
            key=item_key,
            untyped=shop.untyped,
        )
        columns: dict[str, Any] = dict(series)
        if further:
            stored = arrow_columns(shop.dataset, further)
            columns |= {name: stored[name] for name in further}
        columns, log = with_identifiers(columns, log, f"{options.items.path} and {options.interactions.path}")
        columns |= _pictures(options, shop.dataset, uses.image, root, columns["item_id"])
        return RawData(
            options.name or options.items.path,
            options.note,
            catalog(columns, _image_roots(options, root, cache_dir)),
            Interactions(log),
            steps=(*steps, *more),
            ordinal=options.time_unit == "order",
        )


def _frame(data: HFData, names: list[str]) -> pl.DataFrame:
    return pl.DataFrame(arrow_columns(data.dataset, names))


def _pictures(
    options: HFDatasetSource.Options, dataset: Dataset, image: str | None, root: Path | None, ids: pl.Series
) -> dict[str, Any]:
    folder = Path() if root is None else root
    if image is not None:
        stored = arrow_columns(dataset, [image])[image]
        if is_picture(dataset, image):
            return {"image_bytes": pc.struct_field(stored, "bytes"), "image_path": _paths(stored)}
        if pa.types.is_binary(stored.type) or pa.types.is_large_binary(stored.type):
            return {"image_bytes": stored}
        column = pl.Series(stored).cast(pl.String)
        return {"image_path": image_paths(folder, options.images, ids.to_list(), column, options.items.path)}
    return {"image_path": image_paths(folder, options.images, ids.to_list(), None, options.items.path)}


def _image_roots(options: HFDatasetSource.Options, root: Path | None, cache_dir: Path) -> tuple[Path, ...]:
    """Return the folders that may hold pictures: data, image folder, cache of fetched data sets."""
    from datasets.config import HF_DATASETS_CACHE
    from huggingface_hub.constants import HF_HUB_CACHE

    own = Path() if root is None else root
    table = own / options.items.path
    beside = [table if table.is_dir() else table.parent] if table.exists() else []
    fetched = (cache_dir / "huggingface", Path(HF_DATASETS_CACHE), Path(HF_HUB_CACHE))
    return (image_folder(own, options.images), *beside, *fetched)


def _paths(stored: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return the file of each picture without bytes; null beside bytes, whose path is only a name."""
    paths, data = pc.struct_field(stored, "path"), pc.struct_field(stored, "bytes")
    return pc.if_else(pc.is_null(data), paths, pa.scalar(None, paths.type))


BUILDERS = {".parquet": "parquet", ".csv": "csv", ".json": "json", ".jsonl": "json"}

SAVED = ("dataset_info.json", "dataset_dict.json")
"""Files by which a folder written by ``save_to_disk`` is recognized."""


@dataclass(frozen=True)
class HFData:
    """A table that was opened.

    Args:
        dataset: its rows.
        untyped: whether it comes from CSV, where everything is text.
    """

    dataset: Dataset
    untyped: bool


def open_table(
    options: HFDatasetSource.Options, table: HFTable, key: str, root: Path | None, cache_dir: Path
) -> HFData:
    """Load the data set and take its split; CSV files are read as text, by our own reader.

    Args:
        options: format of CSV files.
        table: table to open.
        key: its configuration key, for messages.
        root: base folder of the path.
        cache_dir: folder of data sets fetched or converted by ``datasets``.

    Raises:
        SourceError: if it can't be found or read, or there is no such split.
    """
    from datasets import Dataset
    from datasets.exceptions import DatasetsError

    path = Path(table.path) if root is None else root / table.path
    try:
        found, untyped = _load(options, table, path, cache_dir / "huggingface")
    except SourceError:
        raise
    except (DatasetsError, OSError, ValueError, ConnectionError) as error:
        cause = error.__cause__ or error  # "an error occurred" says nothing
        if isinstance(cause, SourceError):
            raise cause from error
        if path.exists():
            what = f"{path} can't be read"
        else:
            hint = f"; {nearest_file(root, table.path, tuple(BUILDERS))}" if root is not None else ""
            what = f"{path} does not exist, and the hub gave nothing for '{table.path}'{hint}"
        raise SourceError(
            f"{what} ({type(cause).__name__}: {str(cause).splitlines()[0] if str(cause) else 'no message'}). "
            f"Set {key}.path=FILE, FOLDER or user/name on the hub"
        ) from error
    if isinstance(found, Dataset):
        return HFData(found, untyped)
    splits = list(found)
    split = table.split or (splits[0] if len(splits) == 1 else None)
    if split not in splits:
        wanted = "several splits" if split is None else f"no split '{split}'"
        raise SourceError(f"{table.path} has {wanted}; {suggest(split or '', splits)}. Set {key}.split=NAME")
    return HFData(found[split], untyped)


def _load(options: HFDatasetSource.Options, table: HFTable, path: Path, cache_dir: Path) -> tuple[Any, bool]:
    from datasets import load_dataset, load_dataset_builder, load_from_disk

    if path.is_dir() and any((path / name).is_file() for name in SAVED):
        return load_from_disk(str(path)), False
    named: dict[str, Any]
    if path.is_dir():
        named = {"path": str(path)}
    elif path.is_file():
        kind = BUILDERS.get(path.suffix.lower())
        if kind is None:
            raise ValueError(f"it must end in one of {', '.join(BUILDERS)}")
        named = {"path": kind, "data_files": str(path)}
    else:
        named = {"path": table.path, "name": table.subset, "revision": table.revision}
    builder = load_dataset_builder(**named, cache_dir=str(cache_dir))
    if not _reads_csv(builder):
        return load_dataset(**named, cache_dir=str(cache_dir)), False
    # Another folder, since the conversion by datasets itself has other types.
    builder = load_dataset_builder(
        **named, cache_dir=str(cache_dir / f"text-{options.encoding}-{ord(options.delimiter)}")
    )
    _read_as_text(builder, options)
    builder.download_and_prepare()
    return builder.as_dataset(), True


def _reads_csv(builder: DatasetBuilder) -> bool:
    """Return whether the builder would guess types from CSV, of tables or of a folder of pictures."""
    from datasets.packaged_modules.csv.csv import Csv
    from datasets.packaged_modules.folder_based_builder.folder_based_builder import FolderBasedBuilder

    if isinstance(builder, Csv):
        return True
    files = [str(file) for split in (builder.config.data_files or {}).values() for file in split]
    return isinstance(builder, FolderBasedBuilder) and any(file.endswith("metadata.csv") for file in files)


def _read_as_text(builder: DatasetBuilder, options: HFDatasetSource.Options) -> None:
    """Replace one builder's CSV reader by ours, as pandas reads "007" as 7 and "NA" as missing."""
    from datasets.builder import Key

    def tables(path: str) -> Iterator[pa.Table]:
        file = TableFile(
            Path(path).parent, Path(path).name, "data.source", options.delimiter, options.encoding
        )
        yield from file.batches(file.columns)

    def generate_tables(
        _: Any, base_files: Any, files_iterables: Any, **__: Any
    ) -> Iterator[tuple[Any, pa.Table]]:
        for number, files in enumerate(files_iterables):
            for path in files:
                for part, table in enumerate(tables(path)):
                    yield Key(number, part), table

    def read_metadata(_: Any, metadata_file: str, metadata_ext: str = "") -> Iterator[pa.Table]:
        yield from tables(metadata_file)

    ours = {"_generate_tables": generate_tables, "_read_metadata": read_metadata}
    known = {name: method for name, method in ours.items() if hasattr(builder, name)}
    builder.__class__ = type(type(builder).__name__, (type(builder),), known)


def arrow_columns(dataset: Dataset, names: list[str]) -> pa.Table:
    """Return columns as stored (pictures as bytes and path, not decoded), backed by the data set's files."""
    return dataset.select_columns(names).with_format("arrow")[:]


def is_picture(dataset: Dataset, name: str) -> bool:
    """Return whether a column is a ``datasets.Image``."""
    from datasets import Image

    return isinstance(dataset.features[name], Image)

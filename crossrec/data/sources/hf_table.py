"""One Hugging Face table, local or from the hub, and its columns as Arrow."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crossrec.data.sources.hf_dataset import HFDatasetConfig, HFTable
from crossrec.data.sources.reading import SourceError, nearest, nearest_file
from crossrec.data.sources.table_file import TableFile

if TYPE_CHECKING:
    import pyarrow as pa
    from datasets import Dataset, DatasetBuilder

BUILDERS = {".parquet": "parquet", ".csv": "csv", ".json": "json", ".jsonl": "json"}
SAVED = ("dataset_info.json", "dataset_dict.json")
"""What ``save_to_disk`` leaves in a folder."""


@dataclass(frozen=True)
class HFData:
    """A table.

    Args:
        dataset: its rows.
        untyped: whether it comes from CSV, where everything is text.
    """

    dataset: Dataset
    untyped: bool


def open_table(
    config: HFDatasetConfig, table: HFTable, key: str, root: Path | None, cache_dir: Path
) -> HFData:
    """Loads the data set and takes its split; CSV files are read as text, by our own reader.

    Args:
        config: how CSV files are written.
        table: which.
        key: the config key that holds it, for messages.
        root: the folder that the path is relative to.
        cache_dir: where ``datasets`` keeps what it fetched or converted.

    Raises:
        SourceError: it can't be found or read, or there is no such split.
    """
    from datasets import Dataset
    from datasets.exceptions import DatasetsError

    path = Path(table.path) if root is None else root / table.path
    try:
        found, untyped = _load(config, table, path, cache_dir / "huggingface")
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
        raise SourceError(f"{table.path} has {wanted}; {nearest(split or '', splits)}. Set {key}.split=NAME")
    return HFData(found[split], untyped)


def _load(config: HFDatasetConfig, table: HFTable, path: Path, cache_dir: Path) -> tuple[Any, bool]:
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
    # Another folder, for what datasets itself made of the same file has other types.
    builder = load_dataset_builder(
        **named, cache_dir=str(cache_dir / f"text-{config.encoding}-{ord(config.delimiter)}")
    )
    _read_as_text(builder, config)
    builder.download_and_prepare()
    return builder.as_dataset(), True


def _reads_csv(builder: DatasetBuilder) -> bool:
    """Whether the builder would guess types from CSV, of tables or of a folder of pictures."""
    from datasets.packaged_modules.csv.csv import Csv
    from datasets.packaged_modules.folder_based_builder.folder_based_builder import FolderBasedBuilder

    if isinstance(builder, Csv):
        return True
    files = [str(file) for split in (builder.config.data_files or {}).values() for file in split]
    return isinstance(builder, FolderBasedBuilder) and any(file.endswith("metadata.csv") for file in files)


def _read_as_text(builder: DatasetBuilder, config: HFDatasetConfig) -> None:
    """Gives one builder our CSV reader in place of pandas, which takes "007" for 7 and "NA" for nothing."""
    from datasets.builder import Key

    def tables(path: str) -> Iterator[pa.Table]:
        file = TableFile(Path(path).parent, Path(path).name, "data.source", config.delimiter, config.encoding)
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
    """Some columns as stored (pictures as bytes and path, not decoded), backed by the data set's files."""
    return dataset.select_columns(names).with_format("arrow")[:]


def is_picture(dataset: Dataset, name: str) -> bool:
    """Whether a column is a ``datasets.Image``."""
    from datasets import Image

    return isinstance(dataset.features[name], Image)

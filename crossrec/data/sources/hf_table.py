"""One Hugging Face table, local or from the hub, and its columns as Arrow."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crossrec.data.sources.hf_dataset import HFTable
from crossrec.data.sources.reading import SourceError, nearest

if TYPE_CHECKING:
    import pyarrow as pa
    from datasets import Dataset

BUILDERS = {".parquet": "parquet", ".csv": "csv", ".json": "json", ".jsonl": "json"}
SAVED = ("dataset_info.json", "dataset_dict.json")
"""What ``save_to_disk`` leaves in a folder."""


def open_table(
    config: HFTable, key: str, root: Path | None, cache_dir: Path, as_text: Sequence[str]
) -> Dataset:
    """Loads the data set and takes its split.

    Args:
        config: which.
        key: the config key that holds it, for messages.
        root: the folder that the path is relative to.
        cache_dir: where ``datasets`` keeps what it fetched or converted.
        as_text: columns whose CSV text must not be guessed to be a number ("007" is an id).

    Raises:
        SourceError: it can't be found or read, or there is no such split.
    """
    from datasets import Dataset
    from datasets.exceptions import DatasetsError

    path = Path(config.path) if root is None else root / config.path
    try:
        found = _load(config, path, cache_dir / "huggingface", as_text)
    except (DatasetsError, OSError, ValueError, ConnectionError) as error:
        what = (
            f"{path} can't be read"
            if path.exists()
            else f"{path} does not exist, and the hub gave nothing for '{config.path}'"
        )
        cause = error.__cause__ or error  # "an error occurred" says nothing
        raise SourceError(
            f"{what} ({type(cause).__name__}: {str(cause).splitlines()[0] if str(cause) else 'no message'}). "
            f"Set {key}.path=FILE, FOLDER or user/name on the hub"
        ) from error
    if isinstance(found, Dataset):
        return found
    splits = list(found)
    split = config.split or (splits[0] if len(splits) == 1 else None)
    if split not in splits:
        wanted = "several splits" if split is None else f"no split '{split}'"
        raise SourceError(f"{config.path} has {wanted}; {nearest(split or '', splits)}. Set {key}.split=NAME")
    return found[split]


def _load(config: HFTable, path: Path, cache_dir: Path, as_text: Sequence[str]) -> Any:
    from datasets import load_dataset, load_from_disk

    if path.is_dir() and any((path / name).is_file() for name in SAVED):
        return load_from_disk(str(path))
    if path.is_dir():
        return load_dataset(str(path), cache_dir=str(cache_dir))
    if path.is_file():
        builder = BUILDERS.get(path.suffix.lower())
        if builder is None:
            raise ValueError(f"it must end in one of {', '.join(BUILDERS)}")
        options = {"converters": dict.fromkeys(as_text, _text)} if builder == "csv" else {}
        return load_dataset(builder, data_files=str(path), cache_dir=str(cache_dir), **options)
    return load_dataset(config.path, config.subset, revision=config.revision, cache_dir=str(cache_dir))


def _text(field: str) -> str | None:
    return field.strip() or None


def arrow_columns(dataset: Dataset, names: list[str]) -> pa.Table:
    """Some columns as stored (pictures as bytes and path, not decoded), backed by the data set's files."""
    return dataset.select_columns(names).with_format("arrow")[:]


def is_picture(dataset: Dataset, name: str) -> bool:
    """Whether a column is a ``datasets.Image``."""
    from datasets import Image

    return isinstance(dataset.features[name], Image)

"""Files of a shared recommender: configuration, catalogue, users and encoder output."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from crossrec.config import validate
from crossrec.data.catalog import Catalog
from crossrec.data.interactions import ClickLog
from crossrec.data.item_table import BEHAVIOUR, VectorSpace
from crossrec.encoders.cache import Features
from crossrec.experiment.config import ExperimentConfig, SpacesConfig
from crossrec.experiment.text_scorer import SCORER_FILE
from crossrec.model.encoded_catalog import TEXT_COLUMN, EncodedCatalog, feature_key
from crossrec.model.modalities.base import ItemModality
from crossrec.model.modalities.layers import TrainableEncoder
from crossrec.runtime.pictures import UnreadablePicture
from crossrec.serving.items import IMAGE, TEXT, ServedItems, space_encoder, space_features
from crossrec.serving.model import ServedModel
from crossrec.serving.results import PICTURES, thumbnail
from crossrec.serving.state import ModelInfo
from crossrec.training.checkpoint import WEIGHTS
from crossrec.types import InputError, Sequences

REPO_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
LIBRARY = "crossrec"
FORMAT = 1
CONFIG_FILE = "config.json"
FEATURES_FILE = "features.safetensors"
ITEMS_FILE = "items.parquet"
USERS_FILE = "users.parquet"
CARD_FILE = "README.md"
CHECKED = (WEIGHTS, FEATURES_FILE, ITEMS_FILE, USERS_FILE, SCORER_FILE)
"""Files with checksums: those not edited by hand."""


@dataclass(frozen=True)
class PretrainedConfig:
    """Content of ``config.json``.

    Args:
        experiment: configuration of the run, without the folders of its machine.
        about: origin and test metrics.
        n_trained: number of items in training; the following ones were added later.
        spaces: subset of ``text`` and ``image`` in which items can be compared.
        version: version of the package that wrote it.
    """

    experiment: ExperimentConfig
    about: ModelInfo
    n_trained: int
    spaces: tuple[str, ...]
    version: str

    def to_json(self) -> str:
        """Return the JSON text."""
        content = {
            "library_name": LIBRARY,
            "format": FORMAT,
            "version": self.version,
            "n_trained": self.n_trained,
            "spaces": list(self.spaces),
            "about": self.about.to_dict(),
            "experiment": self.experiment.model_dump(mode="json"),
        }
        return json.dumps(content, indent=2, allow_nan=False, ensure_ascii=False) + "\n"

    @classmethod
    def read(cls, folder: Path, *, trust_code: bool = False) -> PretrainedConfig:
        """Read a folder, which may be untrusted.

        Args:
            folder: folder of the recommender.
            trust_code: whether to import classes outside the project that it names.

        Raises:
            InputError: if the file is invalid or has a newer format.
        """
        path = folder / CONFIG_FILE
        try:
            content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            found = content["format"]
            if found != FORMAT:
                raise InputError(
                    f"{path}: format {found}, this version of crossrec reads {FORMAT}: update it"
                )
            return cls(
                # Nor may it choose where files are read and written on this machine.
                anonymous(
                    validate(ExperimentConfig, content["experiment"], str(path), trust_code=trust_code)
                ),
                ModelInfo(**content["about"]),
                int(content["n_trained"]),
                tuple(content["spaces"]),
                str(content["version"]),
            )
        except (KeyError, TypeError, json.JSONDecodeError) as error:
            raise InputError(f"{path}: describes no crossrec recommender ({error!r})") from error


def is_pretrained(folder: Path) -> bool:
    """Return whether a folder holds a shared recommender."""
    path = folder / CONFIG_FILE
    return (folder / ITEMS_FILE).exists() and path.exists()


def anonymous(config: ExperimentConfig) -> ExperimentConfig:
    """Return the configuration without the folders of the machine that it ran on."""
    content = config.model_dump(mode="json")
    default = ExperimentConfig()
    content["data"] |= {"root": None, "cache_dir": str(default.data.cache_dir)}
    content["runs_dir"] = str(default.runs_dir)
    for modality in content["model"]["modalities"].values():
        for key in ("file", "ids"):
            if modality.get(key) is not None:
                modality[key] = Path(modality[key]).name
    return ExperimentConfig.model_validate(content)


Pictures = Literal["none", "thumbnails", "full"]
"""Form of the catalogue's pictures in a shared folder."""
ROWS_AT_A_TIME = 4096
"""Number of rows written at a time."""
THUMBNAIL_SIDE = 224
"""Side in pixels; enough for the usual encoders."""
USER_ID, ITEMS, TIMES = "user_id", "items", "times"


def write_items(
    catalog: Catalog, pictures: Pictures, path: Path, picture_columns: Collection[str] = ()
) -> None:
    """Write the catalogue, with pictures in the given form and never their paths.

    Args:
        catalog: catalogue of N items.
        pictures: no pictures, thumbnails, or the encoded pictures unchanged.
        path: path of the file.
        picture_columns: further columns of pictures, which are left empty: the model has their features.
    """
    names = [name for name in catalog.dataset.column_names if name not in PICTURES]
    writer: pq.ParquetWriter | None = None
    try:
        for start in range(0, max(len(catalog), 1), ROWS_AT_A_TIME):
            rows = range(start, min(start + ROWS_AT_A_TIME, len(catalog)))
            table = catalog.dataset.select_columns(names).with_format("arrow")[rows.start : rows.stop]
            table = table.append_column("image_path", pa.nulls(len(rows), pa.string()))
            for name in picture_columns:
                place = table.column_names.index(name)
                table = table.set_column(place, name, pa.nulls(len(rows), table.schema.field(name).type))
            if pictures != "none":
                data = [_picture(catalog, row, pictures) for row in rows]
                table = table.append_column("image_bytes", pa.array(data, pa.binary()))
            writer = writer or pq.ParquetWriter(path, table.schema)
            writer.write_table(table)
    finally:
        if writer is not None:
            writer.close()


def read_items(path: Path) -> Catalog:
    """Return the catalogue that :func:`write_items` wrote.

    Files that it names are not read: a foreign folder must not make files of this machine visible.
    """
    from datasets import Dataset

    table = pq.read_table(path)
    if "image_path" in table.column_names:
        nothing = pa.nulls(len(table), pa.string())
        table = table.set_column(table.column_names.index("image_path"), "image_path", nothing)
    return Catalog(Dataset(table), image_roots=())


def write_users(clicks: ClickLog, path: Path) -> None:
    """Write users and their clicks, by catalogue index."""
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
    """Return the users that :func:`write_users` wrote.

    Raises:
        InputError: if a click is on an item outside the catalogue.
    """
    table = pq.read_table(path).combine_chunks()
    lengths = table[ITEMS].combine_chunks().value_lengths().to_numpy()
    items = _flat(table, ITEMS).astype(np.int32)
    if len(items) and not 0 <= items.min() <= items.max() < n_items:
        raise InputError(f"{path}: clicks on items outside the catalogue of {n_items}")
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    times = _flat(table, TIMES) if TIMES in table.column_names else None
    return ClickLog(Sequences(offsets, items, times), np.asarray(table[USER_ID].to_pylist(), dtype=object))


def _flat(table: pa.Table, name: str) -> np.ndarray:
    column = table[name]
    values = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    return np.asarray(values.flatten().to_numpy())


def _blocks(n_rows: int) -> Iterator[np.ndarray]:
    for start in range(0, max(n_rows, 1), ROWS_AT_A_TIME):
        yield np.arange(start, min(start + ROWS_AT_A_TIME, n_rows))


def _picture(catalog: Catalog, row: int, pictures: Pictures) -> bytes | None:
    if pictures == "thumbnails":
        return thumbnail(catalog, row, THUMBNAIL_SIDE)
    try:
        return catalog.image_bytes(row) if catalog.has_image[row] else None
    except UnreadablePicture:
        # Masked in training, and there is nothing to share.
        return None


COUNTS = "train_counts"
MODEL, SPACE = "model", "space"


def gather_features(model: ServedModel, items: ServedItems) -> dict[str, np.ndarray]:
    """Return tensors of all items: training clicks, the model's inputs, and vectors of the spaces.

    Args:
        model: served network.
        items: served items.
    """
    tensors = {COUNTS: np.asarray(items.train_counts, dtype=np.int64)}
    parts = model.config.build_modalities()
    for name, modality in model.recommender.network.items.modalities.items():
        if isinstance(modality, TrainableEncoder):
            vectors = modality.get_buffer("remembered").cpu().numpy()
            found = Features(vectors, modality.present.cpu().numpy(), [])
        else:
            stored = [parts[name].stored(content) for content in model.contents]
            if any(part is None for part in stored):
                continue
            found = _joined(stored)
        _put(tensors, f"{MODEL}.{name}", found)
    config = items.spaces.config
    for name in items.spaces.single:
        if not _model_reads(name, config, parts):
            own = _joined(space_features(name, config, content) for content in model.contents)
            _put(tensors, f"{SPACE}.{name}", own)
    if BEHAVIOUR in items.spaces.names:
        table = items.spaces.table(BEHAVIOUR)
        _put(tensors, f"{SPACE}.{BEHAVIOUR}", Features(table.vectors_ND, table.present_N, []))
    return tensors


def saved_behaviour(tensors: Mapping[str, np.ndarray]) -> Callable[[], VectorSpace] | None:
    """Return a function that gives the items' co-clicks, from :func:`gather_features`; None without any."""
    key = f"{SPACE}.{BEHAVIOUR}"
    if f"{key}.vectors" not in tensors:
        return None
    return lambda: VectorSpace(tensors[f"{key}.vectors"], tensors[f"{key}.present"])


def restore_features(
    tensors: Mapping[str, np.ndarray], config: ExperimentConfig, content: EncodedCatalog, rows: slice
) -> None:
    """Set the encoders' outputs in an encoded catalogue.

    Args:
        tensors: tensors from :func:`gather_features`.
        config: configuration of the experiment.
        content: content of some items.
        rows: their indices among all items.
    """
    for name, part in config.model.build_modalities().items():
        if f"{MODEL}.{name}.vectors" in tensors:
            part.set_features(content, features_at(tensors, f"{MODEL}.{name}", rows))
    # The spaces last: if only they have their own features, an equal configuration refers to them.
    for name, encoder, column in (
        (TEXT, config.spaces.text, TEXT_COLUMN),
        (IMAGE, config.spaces.image, None),
    ):
        if encoder is not None and f"{SPACE}.{name}.vectors" in tensors:
            content.set_features(feature_key(encoder, column), features_at(tensors, f"{SPACE}.{name}", rows))


def features_at(tensors: Mapping[str, np.ndarray], key: str, rows: slice) -> Features:
    """Return the features under a key for some items."""
    return Features(tensors[f"{key}.vectors"][rows], tensors[f"{key}.present"][rows], [])


def write_features(tensors: Mapping[str, np.ndarray], path: Path) -> None:
    """Write the tensors."""
    from safetensors.numpy import save_file

    save_file({name: np.ascontiguousarray(values) for name, values in tensors.items()}, path)


def read_features(path: Path) -> dict[str, np.ndarray]:
    """Read tensors that :func:`write_features` wrote."""
    from safetensors.numpy import load_file

    found: dict[str, np.ndarray] = load_file(path)
    return found


def _put(tensors: dict[str, np.ndarray], key: str, features: Features) -> None:
    tensors[f"{key}.vectors"], tensors[f"{key}.present"] = features.vectors_ND, features.present_N


def _joined(features: Iterable[Features | None]) -> Features:
    parts = [part for part in features if part is not None]
    return Features(
        np.concatenate([part.vectors_ND for part in parts]),
        np.concatenate([part.present_N for part in parts]),
        [],
    )


def _model_reads(name: str, config: SpacesConfig, parts: Mapping[str, ItemModality]) -> bool:
    """Return whether a frozen modality of the model has the same features as a space."""
    encoder = space_encoder(name, config)
    column = TEXT_COLUMN if name == TEXT else None
    return any(
        getattr(part, "encoder", None) == encoder and getattr(part, "column", name) == column
        for part in parts.values()
    )

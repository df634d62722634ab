"""A data set for use from Python: from data frames, or from files in any format that crossrec reads."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from crossrec.config import ComponentOptions, validate
from crossrec.data.cleaning import clean
from crossrec.data.prepare import DataConfig, PreparedData, divide, read_raw
from crossrec.data.sources import SOURCES
from crossrec.data.sources.base import RawData
from crossrec.data.sources.frames import FrameSource
from crossrec.data.splits import SPLITS


class Dataset:
    """Items and clicks, cleaned and ready to be split.

    Args:
        items: one row per item: a polars or pandas data frame, an Arrow table, or a mapping of columns.
        clicks: one row per click, in the same forms.
        images: folder of the pictures: of the files that the image column names, or of ``<item id>.jpg`` and
            the like.
        cleaning: conditions on clicks, by the names of ``data.cleaning`` in YAML, such as ``{"k_users": 5}``.
        cache_dir: folder of computed features.
        options: further options of the source ``table`` in YAML, such as ``item_columns={"title": "name"}``,
            ``interaction_columns={"user": "customer"}``, ``time_unit="ms"``, ``name="shop"``.

    Raises:
        ConfigError: if there is no such option; the message names the closest one.
        SourceError: if a column is missing or can't be read.
        InteractionDataError: if no click is left after cleaning.

    Example:
        ``data = Dataset(items, clicks, images="photos/").split("temporal")``
    """

    def __init__(
        self,
        items: Any,
        clicks: Any,
        *,
        images: str | Path | None = None,
        cleaning: Mapping[str, Any] | None = None,
        cache_dir: str | Path = "cache",
        **options: Any,
    ) -> None:
        folder = None if images is None else Path(images).expanduser().resolve()
        given = {**options, "images": None if folder is None else "."}
        config = _config({"type": "frames", **given}, folder, cleaning, cache_dir)
        source = FrameSource(config.source, folder, config.cache_dir)
        self._clean(config, source.read(items, clicks))

    @classmethod
    def read(
        cls,
        source: str | ComponentOptions,
        root: str | Path | None = None,
        *,
        cleaning: Mapping[str, Any] | None = None,
        cache_dir: str | Path = "cache",
        **options: Any,
    ) -> Self:
        """Read a data set from files.

        Args:
            source: name of a format, such as ``"movielens"``, ``"table"`` or ``"demo"``, or its options.
            root: folder of the files; the demo needs none.
            cleaning: as in the constructor.
            cache_dir: as in the constructor.
            options: options of the format, by their names in YAML.
        """
        given = {"type": source, **options} if isinstance(source, str) else source
        return cls.from_config(_config(given, root, cleaning, cache_dir))

    @classmethod
    def from_config(cls, config: DataConfig) -> Self:
        """Read the data set that the section ``data`` of a YAML file describes.

        Raises:
            SourceError: if a root, file or column is missing or can't be read.
            CatalogError: if the items can't be used.
            InteractionDataError: if no click is left after cleaning.
        """
        found = cls.__new__(cls)
        found._clean(config, read_raw(config))
        return found

    def _clean(self, config: DataConfig, raw: RawData) -> None:
        self.config = config
        self.name, self.note = raw.name, raw.note
        self.catalog, self.clicks, self.report = clean(raw, config.cleaning)

    def split(
        self, split: str | ComponentOptions | None = None, *, repeats: bool = False, **options: Any
    ) -> PreparedData:
        """Return the data divided into training, validation and test.

        Args:
            split: ``"temporal"``, ``"leave_one_out"``, or the options of a split; that of the configuration,
                temporal by default, when None.
            repeats: whether an item that a user clicked before can be a target, as needed for lists with seen
                items.
            options: options of the split, by their names in YAML, such as ``valid_from=0.8``.

        Raises:
            SplitError: if a part stays empty.
        """
        given: Any = self.config.split if split is None else split
        if isinstance(given, str):
            given = {"type": given, **options}
        elif options:
            given = {**SPLITS.dump(given), **options}
        content = {**dict(self.config), "split": given}
        config = validate(DataConfig, content, "Dataset.split", trust_code=True)
        split_log = divide(self.clicks, len(self.catalog), config, repeats=repeats)
        return PreparedData(self.name, self.note, self.catalog, self.clicks, split_log, self.report, config)

    def __repr__(self) -> str:
        return (
            f"{self.name}: {len(self.clicks.sequences):,} users, {len(self.catalog):,} items, "
            f"{len(self.clicks.sequences.items):,} clicks; source {SOURCES.name_of(self.config.source)}"
        )


def _config(
    source: Any,
    root: str | Path | None,
    cleaning: Mapping[str, Any] | None,
    cache_dir: str | Path,
) -> DataConfig:
    content = {"source": source, "cleaning": dict(cleaning or {}), "cache_dir": Path(cache_dir)}
    if root is not None:
        content["root"] = Path(root).expanduser()
    return validate(DataConfig, content, "Dataset", trust_code=True)

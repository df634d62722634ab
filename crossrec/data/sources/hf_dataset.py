"""Any Hugging Face data set: a name on the hub, a saved folder, or local files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from crossrec.config import Config
from crossrec.data.sources.table import Encoding, InteractionColumns, ItemColumns, TimeUnit

if TYPE_CHECKING:
    from crossrec.data.sources.raw import RawData


class HFTable(Config):
    """One table.

    Args:
        path: relative to ``data.root`` where that is set: a folder written by ``save_to_disk``, a folder of
            data files, or one ``.parquet``, ``.csv``, ``.json`` or ``.jsonl`` file. What is not there is
            taken for a name on the hub, ``user/name``, and fetched.
        subset: the configuration of a data set on the hub, where it has several.
        split: which split; the only one when not set.
        revision: of a data set on the hub.
    """

    path: str
    subset: str | None = None
    split: str | None = None
    revision: str | None = None


class HFDatasetConfig(Config):
    """Items and interactions as two tables (two splits or subsets of one data set, or two data sets).

    Args:
        items: the table of items.
        interactions: the table of clicks.
        item_columns: which column is what; ``image`` may be a ``datasets.Image`` (bytes stay in Arrow
            files, never all in memory), encoded bytes, or file names relative to ``images``.
        interaction_columns: which column is what.
        images: folder of pictures, relative to ``data.root``; without an image column, of ``<item id>.jpg``.
        category_separator: between categories, where they are one text; not set, it is found in the column.
        text_separator: put between text columns that are joined.
        delimiter: of CSV files.
        encoding: of CSV files.
        decimal: what separates decimals in prices and ratings that are text; not set, it is found
            in each column.
        time_unit: unit of numeric timestamps (``order`` for mere positions); text and Arrow's own times carry
            theirs.
        name: what the data set is called; the items' path when not set.
        note: one line about the data that every output prints.
    """

    type: Literal["hf_dataset"] = "hf_dataset"
    items: HFTable
    interactions: HFTable
    item_columns: ItemColumns = ItemColumns()
    interaction_columns: InteractionColumns = InteractionColumns()
    images: str | None = None
    category_separator: str | None = Field(None, min_length=1)
    text_separator: str = " "
    delimiter: str = Field(",", min_length=1, max_length=1)
    encoding: Encoding = "utf-8"
    decimal: Literal[".", ","] | None = None
    time_unit: TimeUnit = "s"
    name: str | None = None
    note: str = ""

    def load(self, root: Path | None, cache_dir: Path) -> RawData:
        """Reads both tables.

        Args:
            root: the folder that paths are relative to; None for the hub, or paths as they are.
            cache_dir: where ``datasets`` keeps what it fetched or converted.

        Raises:
            SourceError: a table, split or column is missing or can't be read.
        """
        from crossrec.data.sources.hf_reader import read_hf

        return read_hf(self, root, cache_dir)

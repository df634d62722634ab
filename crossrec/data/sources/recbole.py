"""RecBole's atomic files: ``.inter`` and ``.item`` with typed headers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from crossrec.config import Config
from crossrec.data.sources.table import Encoding, InteractionColumns, ItemColumns, TimeUnit

if TYPE_CHECKING:
    from crossrec.data.sources.raw import RawData


class RecBoleConfig(Config):
    """``<name>.inter`` and, where it is there, ``<name>.item``; ``.user`` is not read.

    Tab-separated, the first line names fields as ``user_id:token``, ``timestamp:float``,
    ``title:token_seq``; a field without a type is read as what it is used for. Without an ``.item`` file
    the items are the ids of the log.

    Args:
        dataset: name of the files; that of the only ``.inter`` file in ``data.root`` when not set.
        interaction_columns: which field of the log is what.
        item_columns: which field of the items is what. An optional one that is not set takes the field of
            its own name where there is one; ``image`` holds file names relative to ``images``.
        images: folder of pictures, relative to ``data.root``; without an image field, of ``<item id>.jpg``.
        field_separator: between fields.
        seq_separator: between the parts of a ``token_seq`` (RecBole's own default is a blank).
        encoding: of the files.
        decimal: what separates decimals in prices and ratings; not set, it is found in each column.
        time_unit: of timestamps; ``order`` for mere positions.
    """

    type: Literal["recbole"] = "recbole"
    dataset: str | None = None
    interaction_columns: InteractionColumns = InteractionColumns()
    item_columns: ItemColumns = ItemColumns()
    images: str | None = None
    field_separator: str = "\t"
    seq_separator: str = " "
    encoding: Encoding = "utf-8"
    decimal: Literal[".", ","] | None = None
    time_unit: TimeUnit = "s"

    def load(self, root: Path | None, cache_dir: Path) -> RawData:
        """Reads the files.

        Args:
            root: the folder of the files.
            cache_dir: not used, nothing is generated.

        Raises:
            SourceError: the root, the log or a field is missing, or a line has too many fields.
        """
        from crossrec.data.sources.recbole_reader import read_recbole

        return read_recbole(self, root)

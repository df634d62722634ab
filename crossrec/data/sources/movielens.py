"""GroupLens's MovieLens files: latest-small, 25m and 32m (CSV), 1m and 10m (``::``)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from crossrec.config import Config
from crossrec.data.sources.table import Encoding

if TYPE_CHECKING:
    from crossrec.data.sources.raw import RawData


class MovieLensConfig(Config):
    """Films and ratings as GroupLens lays them out, recognised by the files in ``data.root``.

    Optional ``posters/<movieId>.jpg`` and ``overviews.csv`` (movieId, overview) are used where they
    are. Tags are never read: few users write them, so they give away whose history it is.

    Args:
        min_rating: ratings below it are no clicks; what is left out is counted in the data's note.
        encoding: of the files; not set, UTF-8, or Latin-1 for a ``.dat`` file that is not in UTF-8 (1m).
    """

    type: Literal["movielens"] = "movielens"
    min_rating: float | None = None
    encoding: Encoding | None = None

    def load(self, root: Path | None, cache_dir: Path) -> RawData:
        """Reads the files.

        Args:
            root: the folder of GroupLens's files.
            cache_dir: not used, nothing is generated.

        Raises:
            SourceError: the root or a file in it is missing or has other columns.
        """
        from crossrec.data.sources.movielens_reader import read_movielens

        return read_movielens(self, root)

"""MicroLens: clicks on micro-videos with titles and covers, as Westlake University publishes them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from crossrec.config import Config
from crossrec.data.sources.table import Encoding

if TYPE_CHECKING:
    from crossrec.data.sources.raw import RawData


class MicroLensConfig(Config):
    """MicroLens-50k, -100k and larger, recognised by the files in ``data.root``.

    ``*_pairs.csv`` (user, item, timestamp in milliseconds), or ``*_pairs.tsv`` (a user, a tab, the user's
    videos in order) where there is no CSV; titles in ``*_title_en.csv`` or ``*_titles.csv``, covers as
    ``<item>.jpg``, categories in ``tags_to_summary.csv``. All but the clicks may be missing. Comments are
    never read: they are the clicks themselves.

    Args:
        pairs: the click file; found by its name when not set.
        titles: the title file; found by its name when not set.
        covers: folder of the covers; the folder whose name ends in ``covers`` when not set.
        encoding: of the files.
        likes_and_views: also keep ``*_likes_and_views.txt`` as the columns ``likes`` and ``views``. They were
            counted after the last click, so nothing that learns may see them; off by default.

    Source: Ni et al., "A Content-Driven Micro-Video Recommendation Dataset at Scale", 2023.
    """

    type: Literal["microlens"] = "microlens"
    pairs: str | None = None
    titles: str | None = None
    covers: str | None = None
    encoding: Encoding = "utf-8"
    likes_and_views: bool = False

    def load(self, root: Path | None, cache_dir: Path) -> RawData:
        """Reads the files.

        Args:
            root: the folder of the files.
            cache_dir: not used, nothing is generated.

        Raises:
            SourceError: the root or the clicks are missing, or a file has another layout.
        """
        from crossrec.data.sources.microlens_reader import read_microlens

        return read_microlens(self, root)

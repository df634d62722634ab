"""Amazon Reviews 2023: reviews and item metadata of one category, as the McAuley Lab publishes them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from crossrec.config import Config

if TYPE_CHECKING:
    from crossrec.data.sources.raw import RawData

MetaText = Literal["title", "features", "description", "categories", "store", "main_category"]


class AmazonReviews2023Config(Config):
    """One category: ``<Category>.jsonl`` and ``meta_<Category>.jsonl``, plain or ``.gz``.

    They lie in ``data.root``, or as in the lab's repository on the Hugging Face hub, of which
    ``data.root`` is a copy: ``raw/review_categories/``, ``raw/meta_categories/``, ``raw_review_*/*.parquet``,
    ``raw_meta_*/*.parquet``. An item is a ``parent_asin``; a review is a click with a rating. Pictures are
    addresses there: they are never fetched, but read from ``<images>/<parent_asin>.jpg`` where they are, and
    the address stays in the catalogue's column ``image_url``.

    Args:
        category: such as ``All_Beauty``; the only one there when not set.
        images: folder of pictures, relative to ``data.root``; used where it exists.
        text: what text encoders read, joined in this order, without HTML.
        max_characters: longer texts are cut; encoders read fewer tokens than that.
        items: only items with a review in the file, or all of the metadata.
        verified_only: leave out reviews that Amazon does not mark as verified purchases.

    Source: Hou et al., "Bridging Language and Items for Retrieval and Recommendation", 2024.
    """

    type: Literal["amazon_reviews_2023"] = "amazon_reviews_2023"
    category: str | None = None
    images: str = "images"
    text: tuple[MetaText, ...] = Field(("title", "features", "description"), min_length=1)
    max_characters: int = Field(2000, ge=1)
    items: Literal["reviewed", "all"] = "reviewed"
    verified_only: bool = False

    def load(self, root: Path | None, cache_dir: Path) -> RawData:
        """Reads both files, some megabytes at a time.

        Args:
            root: the folder of the files.
            cache_dir: not used, nothing is generated.

        Raises:
            SourceError: the root, a file or a field is missing, or a line can't be read.
        """
        from crossrec.data.sources.amazon_reader import read_amazon

        return read_amazon(self, root)

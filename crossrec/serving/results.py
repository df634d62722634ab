"""Results of a loaded recommender: ranked items with details and cards, and item vectors."""

from __future__ import annotations

import base64
import html
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from crossrec.data.catalog import Catalog
from crossrec.runtime.files import atomic_path
from crossrec.runtime.pictures import UnreadablePicture, jpeg
from crossrec.types import ABSENT

if TYPE_CHECKING:
    import polars as pl


DETAILS = ("title", "text", "categories", "price")
"""Columns of the catalogue shown first in details; its other columns follow, without the pictures."""
OWN = ("rank", "item_id", "score")
"""Columns of a list; catalogue columns with these names are renamed."""
PICTURES = ("image_path", "image_bytes")


@dataclass(frozen=True)
class Recommendation:
    """One item of a list.

    Args:
        item_id: original id.
        score: score of the model, or of the last reranker; comparable within a list.
        rank: rank, from 1.
        row: catalogue index.
    """

    item_id: str
    score: float
    rank: int
    row: int


class Recommendations(Sequence[Recommendation]):
    """A ranked list, best first.

    Args:
        places: items of the list.
        catalog: catalogue of the items.
    """

    def __init__(self, places: Sequence[Recommendation], catalog: Catalog) -> None:
        self._places = tuple(places)
        self._catalog = catalog

    @classmethod
    def of(cls, ids_K: np.ndarray, scores_K: np.ndarray, catalog: Catalog) -> Recommendations:
        """Return a list from catalogue indices (K,), ``ABSENT`` after the last item, and scores (K,)."""
        item_ids = catalog.item_ids
        pairs = [(int(i), float(s)) for i, s in zip(ids_K, scores_K, strict=True) if i != ABSENT]
        return cls(
            [Recommendation(str(item_ids[i]), s, rank, i) for rank, (i, s) in enumerate(pairs, 1)], catalog
        )

    @overload
    def __getitem__(self, index: int) -> Recommendation: ...

    @overload
    def __getitem__(self, index: slice) -> Recommendations: ...

    def __getitem__(self, index: int | slice) -> Recommendation | Recommendations:
        if isinstance(index, slice):
            return Recommendations(self._places[index], self._catalog)
        return self._places[index]

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[Recommendation]:
        return iter(self._places)

    def __repr__(self) -> str:
        places = "\n".join(f"{p.rank:>4}  {p.score:>10.4f}  {p.item_id}" for p in self)
        return f"{len(self)} recommendations\n{places}"

    @property
    def item_ids(self) -> list[str]:
        """Original ids, best first."""
        return [place.item_id for place in self]

    @property
    def scores(self) -> list[float]:
        """Scores in the same order."""
        return [place.score for place in self]

    def details(self) -> list[dict[str, Any]]:
        """Return one mapping per rank: ``rank``, ``item_id``, ``score``, then the catalogue's columns.

        Missing values are None. A catalogue column with the name of a list column, such as ``rank``, becomes
        ``item_rank``. Pictures are read by ``catalog.image(row)``.
        """
        columns = self._catalog.dataset.column_names
        names = [name for name in columns if name not in PICTURES]
        names = [*DETAILS, *(name for name in names if name not in {*DETAILS, "item_id"})]
        rows = self._catalog.dataset.select_columns(names)[[place.row for place in self]] if self else {}
        keys = {name: _free_name(name, columns) for name in names}
        return [
            {
                "rank": place.rank,
                "item_id": place.item_id,
                "score": place.score,
                **{keys[name]: rows[name][number] for name in names},
            }
            for number, place in enumerate(self)
        ]

    def to_frame(self) -> pl.DataFrame:
        """Return the details as a polars frame, one row per rank."""
        import polars as pl

        return pl.DataFrame(self.details(), infer_schema_length=None)

    def _repr_html_(self) -> str:
        """Return cards with small pictures, for notebooks."""

        return cards_html(self, self._catalog)


def _free_name(name: str, columns: Sequence[str]) -> str:
    """Return a name for a catalogue column other than the list's ``rank``, ``item_id`` and ``score``."""
    free = name
    while free in OWN or (free != name and free in columns):
        free = f"item_{free}"
    return free


@dataclass(frozen=True)
class ItemEmbeddings:
    """Vectors of all items in one space.

    Args:
        item_ids: N original ids, in the catalogue's order.
        vectors: (N, D) float32; zeros for an item without a vector in this space.
    """

    item_ids: list[str]
    vectors: np.ndarray

    def to_parquet(self, path: str | Path) -> Path:
        """Write ``item_id`` and ``vector``, one row per item.

        Returns:
            The path of the file.
        """
        flat = pa.array(self.vectors.reshape(-1), pa.float32())
        columns = {
            "item_id": pa.array(self.item_ids, pa.string()),
            "vector": pa.FixedSizeListArray.from_arrays(flat, self.vectors.shape[1]),
        }
        with atomic_path(Path(path)) as temporary:
            pq.write_table(pa.table(columns), temporary)
        return Path(path)


logger = logging.getLogger(__name__)
LONGEST_SIDE = 120
"""Longest side of a thumbnail, pixels."""
JPEG_QUALITY = 80
CARD = "width:132px;padding:6px;border:1px solid #8884;border-radius:6px;font:12px sans-serif"
PICTURE = "width:120px;height:120px;object-fit:contain;background:#8881;display:block"


def thumbnail(catalog: Catalog, row: int, longest: int = LONGEST_SIDE) -> bytes | None:
    """Return a small JPEG of an item's picture; None if it is missing or unreadable.

    Args:
        catalog: catalogue of the item.
        row: catalogue index.
        longest: longest side, pixels.
    """
    try:
        picture = catalog.image(row)
    except UnreadablePicture as error:
        logger.warning("item %s: the picture can't be read (%s)", catalog.item_ids[row], error)
        return None
    return None if picture is None else jpeg(picture, longest, JPEG_QUALITY)


def cards_html(recommendations: Recommendations, catalog: Catalog) -> str:
    """Return the HTML of one row of cards, best first."""
    cards = "".join(
        _card(details, thumbnail(catalog, place.row))
        for details, place in zip(recommendations.details(), recommendations, strict=True)
    )
    return f'<div style="display:flex;flex-wrap:wrap;gap:8px">{cards}</div>'


def _card(details: dict[str, Any], picture: bytes | None) -> str:
    title = html.escape(str(details["title"] or details["item_id"]))
    price = "" if details["price"] is None else f" · {details['price']:,.2f}"
    shown = f'<div style="{PICTURE}"></div>'
    if picture is not None:
        data = base64.b64encode(picture).decode("ascii")
        shown = f'<img alt="{title}" src="data:image/jpeg;base64,{data}" style="{PICTURE}">'
    categories = html.escape(", ".join(details["categories"] or []))
    return (
        f'<div style="{CARD}">{shown}<b>{details["rank"]}. {title}</b><br>'
        f"{html.escape(details['item_id'])}{price}<br>"
        f'<span style="opacity:.7">{categories}</span></div>'
    )

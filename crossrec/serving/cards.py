"""Recommendations as cards for notebooks."""

from __future__ import annotations

import base64
import html
import logging
from typing import TYPE_CHECKING, Any

from crossrec.runtime.pictures import UnreadablePicture, jpeg

if TYPE_CHECKING:
    from crossrec.data.catalog import Catalog
    from crossrec.serving.results import Recommendations

logger = logging.getLogger(__name__)

LONGEST_SIDE = 120
"""Of a thumbnail, pixels."""
JPEG_QUALITY = 80

CARD = "width:132px;padding:6px;border:1px solid #8884;border-radius:6px;font:12px sans-serif"
PICTURE = "width:120px;height:120px;object-fit:contain;background:#8881;display:block"


def thumbnail(catalog: Catalog, row: int, longest: int = LONGEST_SIDE) -> bytes | None:
    """A small JPEG of an item's picture; None where it has none, or none that can be read.

    Args:
        catalog: of the item.
        row: catalogue index.
        longest: side, pixels.
    """
    try:
        picture = catalog.image(row)
    except UnreadablePicture as error:
        logger.warning("item %s: its picture can't be read (%s)", catalog.item_ids[row], error)
        return None
    return None if picture is None else jpeg(picture, longest, JPEG_QUALITY)


def cards_html(recommendations: Recommendations, catalog: Catalog) -> str:
    """One line of cards, best first."""
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

"""Pictures: thumbnails of the catalogue's, and checks of those that are sent."""

from __future__ import annotations

import hashlib
import io
import warnings
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from PIL import Image, ImageOps, UnidentifiedImageError

from crossrec.server.errors import WrongPicture
from crossrec.serving.cards import thumbnail

if TYPE_CHECKING:
    from crossrec.data.catalog import Catalog

FORMATS = ("JPEG", "PNG", "WEBP")
"""Formats that are taken: those that phones and browsers give. Others may hold programs or many frames."""

KEPT_SIDE = 1024
"""Longest side of a new item's picture as it is kept, in pixels."""

THUMBNAILS_KEPT = 4_096
QUALITY = 85


@dataclass(frozen=True)
class Thumbnail:
    """An encoded picture.

    Args:
        content: JPEG.
        tag: of the content, for the browser's cache.
    """

    content: bytes
    tag: str


class Thumbnails:
    """Small versions of a catalogue's pictures, the latest of which are kept.

    Args:
        catalog: whose pictures these are.
    """

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self.get = lru_cache(maxsize=THUMBNAILS_KEPT)(self._make)

    def _make(self, row: int, side: int) -> Thumbnail | None:
        """The picture within a square of ``side`` pixels; None where there is none that can be read."""
        content = thumbnail(self._catalog, row, side)
        if content is None:
            return None
        return Thumbnail(content, f'"{hashlib.sha256(content).hexdigest()[:32]}"')


def checked_picture(content: bytes, max_pixels: int) -> bytes:
    """A picture that was sent, upright, in RGB, at most ``KEPT_SIDE`` wide and high, encoded anew.

    Nothing but pixels goes through: no metadata, no second frame, nothing behind the picture.

    Args:
        content: as sent.
        max_pixels: width times height at most, looked at before decoding.

    Raises:
        WrongPicture: it is no picture of ``FORMATS``, is broken, or too large.
    """
    try:
        with warnings.catch_warnings():
            # Our own bound is the one that counts.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(content), formats=FORMATS) as picture:
                width, height = picture.size
                if width * height > max_pixels:
                    raise WrongPicture(
                        f"the picture has {width} x {height} pixels; at most {max_pixels:,} are taken"
                    )
                picture.draft("RGB", (KEPT_SIDE, KEPT_SIDE))
                upright = ImageOps.exif_transpose(picture)
                upright.thumbnail((KEPT_SIDE, KEPT_SIDE), Image.Resampling.LANCZOS)
                return _jpeg(_on_white(upright))
    except UnidentifiedImageError as error:
        raise WrongPicture(f"the file is no picture: {', '.join(FORMATS)} are taken") from error
    except Image.DecompressionBombError as error:
        raise WrongPicture(f"the picture is too large: {error}") from error
    except (OSError, SyntaxError, ValueError) as error:
        if isinstance(error, WrongPicture):
            raise
        raise WrongPicture(f"the picture can't be read: {error}") from error


def _on_white(picture: Image.Image) -> Image.Image:
    """In RGB; transparent places are white, as on most shops' pages."""
    if not picture.has_transparency_data:
        return picture.convert("RGB")
    layered = picture.convert("RGBA")
    ground = Image.new("RGBA", layered.size, "white")
    ground.alpha_composite(layered)
    return ground.convert("RGB")


def _jpeg(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=QUALITY)
    return buffer.getvalue()

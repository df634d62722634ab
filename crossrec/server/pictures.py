"""Thumbnails of the catalogue's pictures, and uploads, of which only pixels are kept."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import lru_cache

from fastapi.concurrency import run_in_threadpool

from crossrec.data.catalog import Catalog
from crossrec.runtime.picture_process import open_apart
from crossrec.runtime.pictures import UnreadablePicture, png
from crossrec.server.errors import Busy, WrongPicture
from crossrec.serving.results import thumbnail

SENT_FORMATS = ("AVIF", "GIF", "JPEG", "MPO", "PNG", "WEBP")
"""Supported formats of uploads: those that phones write and browsers show."""
AT_ONCE = 2
"""Number of pictures opened at the same time, each in its own process."""
WAITING = 8
"""Maximum number of pictures waiting to be opened."""
THUMBNAILS_KEPT = 4_096


@dataclass(frozen=True)
class Thumbnail:
    """Encoded thumbnail.

    Args:
        content: JPEG bytes.
        tag: entity tag of the content, for the browser's cache.
    """

    content: bytes
    tag: str


class Thumbnails:
    """Thumbnails of a catalogue's pictures, with a cache of the latest.

    Args:
        catalog: catalogue with the pictures.
    """

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self.get = lru_cache(maxsize=THUMBNAILS_KEPT)(self._make)

    def _make(self, row: int, side: int) -> Thumbnail | None:
        """Return the picture within a square of ``side`` pixels; None if it is missing or unreadable."""
        content = thumbnail(self._catalog, row, side)
        if content is None:
            return None
        return Thumbnail(content, f'"{hashlib.sha256(content).hexdigest()[:32]}"')


def checked_picture(content: bytes, max_pixels: int) -> bytes:
    """Return an uploaded picture as training would see it, as lossless PNG.

    It is opened in its own process with bounded memory and time. Only pixels pass: no metadata, no second
    frame, no data after the picture.

    Args:
        content: uploaded bytes.
        max_pixels: maximum width times height, checked before decoding.

    Raises:
        WrongPicture: if it is not a picture of ``SENT_FORMATS``, is broken or too large, or takes too long.
    """
    try:
        return png(open_apart(content, max_pixels=max_pixels, formats=SENT_FORMATS))
    except UnreadablePicture as error:
        raise WrongPicture(f"the picture can't be read: {error}") from error


class SentPictures:
    """Opens uploaded pictures, few at a time, so that threads and cores stay free for other requests.

    Args:
        max_pixels: as for :func:`checked_picture`.
    """

    def __init__(self, max_pixels: int) -> None:
        self._max_pixels = max_pixels
        self._turn = asyncio.Semaphore(AT_ONCE)
        self._here = 0

    async def take(self, read: Callable[[], Awaitable[bytes]]) -> bytes | None:
        """Return the picture as it is stored; None if nothing was uploaded.

        Args:
            read: returns the uploaded bytes; called when it is this picture's turn.

        Raises:
            Busy: if too many pictures wait.
            WrongPicture: see :func:`checked_picture`.
        """
        if self._here >= AT_ONCE + WAITING:
            raise Busy(f"{self._here} pictures wait to be opened; try again in a moment")
        self._here += 1
        try:
            async with self._turn:
                content = await read()
                if not content:
                    return None
                return await run_in_threadpool(checked_picture, content, self._max_pixels)
        finally:
            self._here -= 1

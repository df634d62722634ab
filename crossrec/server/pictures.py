"""Pictures: thumbnails of the catalogue's, and those that are sent, of which nothing but pixels is kept."""

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
"""Formats that are taken: those that phones give and browsers show."""
AT_ONCE = 2
"""Pictures that are opened at the same time; each has a process of its own."""
WAITING = 8
"""Pictures that may wait to be opened."""
THUMBNAILS_KEPT = 4_096


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
        """Return the picture within a square of ``side`` pixels; None if it is missing or unreadable."""
        content = thumbnail(self._catalog, row, side)
        if content is None:
            return None
        return Thumbnail(content, f'"{hashlib.sha256(content).hexdigest()[:32]}"')


def checked_picture(content: bytes, max_pixels: int) -> bytes:
    """Return a picture that was sent, as training would see it, without loss as PNG.

    It is opened in a process of its own, which is bounded in memory and time. Nothing but pixels goes
    through: no metadata, no second frame, nothing behind the picture.

    Args:
        content: as sent.
        max_pixels: width times height at most, looked at before decoding.

    Raises:
        WrongPicture: it is no picture of ``SENT_FORMATS``, is broken, too large, or takes too long.
    """
    try:
        return png(open_apart(content, max_pixels=max_pixels, formats=SENT_FORMATS))
    except UnreadablePicture as error:
        raise WrongPicture(f"the picture can't be read: {error}") from error


class SentPictures:
    """Opens pictures that are sent, few at a time, so that other requests find threads and cores.

    Args:
        max_pixels: as for :func:`checked_picture`.
    """

    def __init__(self, max_pixels: int) -> None:
        self._max_pixels = max_pixels
        self._turn = asyncio.Semaphore(AT_ONCE)
        self._here = 0

    async def take(self, read: Callable[[], Awaitable[bytes]]) -> bytes | None:
        """Return the picture as it is kept; None where nothing was sent.

        Args:
            read: gives what was sent; called when it is this picture's turn.

        Raises:
            Busy: too many wait.
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

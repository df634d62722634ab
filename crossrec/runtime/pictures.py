"""Uniform opening of pictures: upright, on white, in RGB, of bounded size.

Training, features, new items, the server and reports all use :func:`open_picture`. Only Pillow and NumPy are
imported, for a fast start of :mod:`crossrec.runtime.picture_process`.
"""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from crossrec.types import InputError

if TYPE_CHECKING:
    from PIL.Image import Image

DECODING = "upright on white, at most 1024"
"""Description of what :func:`open_picture` does to pixels, part of every cache key of picture features. It
must be changed with that function."""

FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "MPO", "PNG", "PPM", "TIFF", "WEBP")
"""Supported formats; Pillow has others, some of which run programs (EPS) or need fonts and palettes."""

MAX_SIDE = 1024
"""Longest side of an opened picture, pixels; larger ones are shrunk."""
MAX_PIXELS = 80_000_000
"""Maximum width times height, checked before decoding."""
MAX_BYTES = 100_000_000
"""Maximum size of an encoded picture, bytes."""
MAX_SCANS = 100
"""Maximum number of scans of a progressive JPEG: each costs a pass over all pixels; about ten are usual."""
MAX_SCANNED_PIXELS = 1_500_000_000
"""Maximum number of scans times pixels."""

HEAD = 16
"""Number of bytes that :func:`picture_fault` reads."""
_WHITE_16 = 65_535
_ORIENTATION = 0x0112
_SIGNATURES = (
    b"\xff\xd8\xff",  # JPEG, MPO
    b"\x89PNG\r\n\x1a\n",
    b"GIF87a",
    b"GIF89a",
    b"BM",
    b"II*\0",
    b"MM\0*",
    b"II+\0",
    b"MM\0+",
    b"\0\0\0\x0cjP  ",
    b"\xff\x4f\xff\x51",  # a JPEG 2000 codestream
    *(b"P%d" % kind for kind in range(1, 8)),
    b"Pf",
)


class UnreadablePicture(InputError):
    """Unreadable picture; the message has the reason."""


def open_picture(
    source: bytes | str | Path, *, max_pixels: int = MAX_PIXELS, formats: Sequence[str] = FORMATS
) -> Image:
    """Open a picture: its first frame, turned upright, on white, in RGB.

    Transparent places become white, as on most shops' pages; 16 bits per pixel are scaled to 8; CMYK and
    palettes are converted; pictures longer than ``MAX_SIDE`` are shrunk. The result has no metadata.

    Args:
        source: encoded picture, or path of its file.
        max_pixels: maximum width times height, checked before decoding.
        formats: supported formats, a subset of ``FORMATS``.

    Raises:
        UnreadablePicture: if the file is missing, broken, not a picture of ``formats``, or too large.
    """
    from PIL import Image, UnidentifiedImageError

    data = source if isinstance(source, bytes) else read_picture(source)
    if len(data) > MAX_BYTES:
        raise UnreadablePicture(f"the picture has {len(data):,} bytes; at most {MAX_BYTES:,} are read")
    if not data:
        raise UnreadablePicture("the file is empty")
    try:
        with Image.open(io.BytesIO(data), formats=_registered(tuple(formats))) as picture:
            _check_cost(picture, data, max_pixels)
            picture.draft(None, (MAX_SIDE, MAX_SIDE))
            return clean_picture(picture)
    except UnidentifiedImageError as error:
        fault = picture_fault(data[:HEAD])
        raise UnreadablePicture(fault or f"no picture of the formats {', '.join(formats)}") from error
    except Image.DecompressionBombError as error:
        raise UnreadablePicture(f"the picture is too large: {error}") from error
    except InputError:
        raise
    # Pillow reports damage by many classes: OSError, SyntaxError, struct.error, ….
    except Exception as error:
        raise UnreadablePicture(f"the picture is broken: {_reason(error)}") from error


def clean_picture(picture: Image) -> Image:
    """Return a Pillow picture as :func:`open_picture` does; the same object if there is nothing to do.

    Args:
        picture: opened picture in any mode, with or without an EXIF orientation.

    Raises:
        UnreadablePicture: if its file is broken, or its mode has no defined white.
    """
    from PIL import Image

    if type(picture) is Image.Image and picture.mode == "RGB" and not picture.info:
        if max(picture.size) <= MAX_SIDE:
            return picture
        found = picture.copy()
    else:
        try:
            picture.load()
            found = _in_rgb_or_rgba(picture)
        except InputError:
            raise
        except Exception as error:
            raise UnreadablePicture(f"the picture is broken: {_reason(error)}") from error
    found.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.LANCZOS)
    if found.mode == "RGBA":
        white = Image.new("RGB", found.size, "white")
        white.paste(found, mask=found.getchannel("A"))
        found = white
    turn = _turn(picture)
    if turn is not None:
        found = found.transpose(turn)
    found.info = {}
    return found


def read_picture(path: str | Path) -> bytes:
    """Return the bytes of a picture's file.

    Raises:
        UnreadablePicture: if it is missing, not a regular file, or too large.
    """
    with _opened(path) as handle:
        data = handle.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise UnreadablePicture(f"{path} has more than {MAX_BYTES:,} bytes")
    return data


def read_head(path: str | Path) -> bytes:
    """Return the first ``HEAD`` bytes of a picture's file.

    Raises:
        UnreadablePicture: if it is missing or not a regular file.
    """
    with _opened(path) as handle:
        return handle.read(HEAD)


def picture_fault(head: bytes) -> str | None:
    """Return the reason why a file is not a picture, from its first ``HEAD`` bytes; None if it may be one.

    It is cheap enough for a whole catalogue; a truncated file is detected by decoding.
    """
    if head.startswith(_SIGNATURES) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP"):
        return None
    if head[4:8] == b"ftyp" and head[8:12] in (b"avif", b"avis", b"mif1", b"miaf"):
        return None
    if not head:
        return "the file is empty"
    if head.lstrip()[:1] == b"<":
        return "it is a web page or XML, no picture"
    return "it is no picture"


def jpeg(picture: Image, longest: int, quality: int) -> bytes:
    """Return a small JPEG of an opened picture.

    Args:
        picture: picture in RGB; not changed.
        longest: longest side, pixels.
        quality: quality of the JPEG, 1 to 95.
    """
    small = picture.copy()
    small.thumbnail((longest, longest))
    buffer = io.BytesIO()
    small.save(buffer, format="JPEG", quality=quality, optimize=True)
    return buffer.getvalue()


def png(picture: Image) -> bytes:
    """Return an opened picture as lossless PNG."""
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG", compress_level=3)
    return buffer.getvalue()


def _opened(path: str | Path) -> io.BufferedReader:
    try:
        # Non-blocking, so that a named pipe does not block.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except (OSError, ValueError) as error:
        raise UnreadablePicture(f"{path} can't be read: {_reason(error)}") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise UnreadablePicture(f"{path} is not a file")
    return os.fdopen(descriptor, "rb")


@cache
def _registered(formats: tuple[str, ...]) -> list[str]:
    """Return the formats that this Pillow was built with; others raise errors."""
    from PIL import Image

    Image.init()
    return [name for name in formats if name in Image.OPEN]


def _check_cost(picture: Image, data: bytes, max_pixels: int) -> None:
    pixels = picture.width * picture.height
    if pixels > max_pixels:
        raise UnreadablePicture(
            f"the picture has {picture.width} x {picture.height} pixels; at most {max_pixels:,} are read"
        )
    if picture.format in ("JPEG", "MPO"):
        scans = data.count(b"\xff\xda")  # these bytes can't occur in the coded pixels
        if scans > MAX_SCANS or scans * pixels > MAX_SCANNED_PIXELS:
            raise UnreadablePicture(f"the JPEG has {scans:,} scans of {pixels:,} pixels, which is no photo")


def _in_rgb_or_rgba(picture: Image) -> Image:
    """Return a copy in RGB, or in RGBA if it has transparency."""
    if picture.mode.startswith("I;16") or picture.mode == "I":
        return _from_16_bits(picture)
    if picture.mode == "F":
        raise UnreadablePicture("its pixels are fractions, of which none is defined as white")
    return picture.convert("RGBA" if picture.has_transparency_data else "RGB")


def _from_16_bits(picture: Image) -> Image:
    import numpy as np
    from PIL import Image

    values = np.asarray(picture)
    if picture.mode == "I" and (values.min() < 0 or values.max() > _WHITE_16):
        raise UnreadablePicture("its pixels have 32 bits, of which no value is defined as white")
    scaled = ((values.astype(np.uint32) * 255 + _WHITE_16 // 2) // _WHITE_16).astype(np.uint8)
    grey = Image.fromarray(scaled)
    clear = picture.info.get("transparency")
    if not isinstance(clear, int):
        return grey.convert("RGB")
    alpha = Image.fromarray(np.where(values == clear, 0, 255).astype(np.uint8))
    return Image.merge("RGBA", (grey, grey, grey, alpha))


def _turn(picture: Image) -> Image.Transpose | None:  # type: ignore[name-defined]
    """Return the operation that turns the picture upright; none for unreadable metadata, as in browsers."""
    from PIL import Image

    try:
        orientation = picture.getexif().get(_ORIENTATION, 1)
    except Exception:
        return None
    turns = Image.Transpose
    return {
        2: turns.FLIP_LEFT_RIGHT,
        3: turns.ROTATE_180,
        4: turns.FLIP_TOP_BOTTOM,
        5: turns.TRANSPOSE,
        6: turns.ROTATE_270,
        7: turns.TRANSVERSE,
        8: turns.ROTATE_90,
    }.get(orientation)


def _reason(error: BaseException) -> str:
    if isinstance(error, MemoryError):
        return "it needs more memory than there is"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__

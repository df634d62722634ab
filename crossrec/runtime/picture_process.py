"""Opening of untrusted pictures in a separate process with bounded memory and time.

An attacked decoder can take minutes and gigabytes, or crash. Here only a small process is affected, which
returns nothing but pixels. It runs as ``python -m crossrec.runtime.picture_process``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from crossrec.runtime.pictures import FORMATS, MAX_PIXELS, MAX_SIDE, UnreadablePicture, open_picture

if TYPE_CHECKING:
    from PIL.Image import Image

SECONDS = 15.0
"""Maximum time per picture, including the start of the process, seconds."""
BASE_BYTES = 400_000_000
"""Address space that Python with Pillow and NumPy needs."""
BYTES_A_PIXEL = 16
"""Address space per pixel of a picture: two copies in RGBA during conversion, and the encoded bytes."""


def open_apart(
    data: bytes,
    *,
    max_pixels: int = MAX_PIXELS,
    formats: Sequence[str] = FORMATS,
    seconds: float = SECONDS,
) -> Image:
    """Return the same picture as :func:`~crossrec.runtime.pictures.open_picture`, opened by another process.

    Args:
        data: encoded picture.
        max_pixels: maximum width times height, checked before decoding.
        formats: supported formats.
        seconds: time after which the process is killed.

    Raises:
        UnreadablePicture: if it can't be opened, or needs too much time or memory.
    """
    from PIL import Image

    wanted = {"max_pixels": max_pixels, "formats": list(formats), "seconds": seconds}
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", __spec__.name],
            input=json.dumps(wanted).encode() + b"\n" + data,
            capture_output=True,
            timeout=seconds,
            env=_environment(),
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise UnreadablePicture(f"the picture takes more than {seconds:g} seconds to open") from error
    answer, _, pixels = done.stdout.partition(b"\n")
    if done.returncode != 0 or not answer:
        raise UnreadablePicture("the picture takes too much time or memory to open, or breaks its decoder")
    found = json.loads(answer)
    if "error" in found:
        raise UnreadablePicture(str(found["error"]))
    width, height = int(found["width"]), int(found["height"])
    if max(width, height) > MAX_SIDE or len(pixels) != width * height * 3:
        raise UnreadablePicture("the picture breaks its decoder")
    return Image.frombytes("RGB", (width, height), pixels)


def main() -> None:
    """Read a request from standard input, and write size and pixels, or an error."""
    wanted = json.loads(sys.stdin.buffer.readline())
    _limit(BASE_BYTES + BYTES_A_PIXEL * int(wanted["max_pixels"]), int(wanted["seconds"]) + 1)
    pixels = b""
    try:
        data = sys.stdin.buffer.read()
        picture = open_picture(data, max_pixels=wanted["max_pixels"], formats=wanted["formats"])
        answer: dict[str, int | str] = {"width": picture.width, "height": picture.height}
        pixels = picture.tobytes()
    except UnreadablePicture as error:
        answer = {"error": str(error)}
    sys.stdout.buffer.write(json.dumps(answer).encode() + b"\n" + pixels)


def _limit(memory: int, seconds: int) -> None:
    """Limit address space, processor time and files of this process, if the system supports it."""
    try:
        import resource
    except ImportError:  # Windows; the parent's clock still counts
        return
    for kind, most in (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        with suppress(ValueError, OSError):  # an even lower bound is set already
            resource.setrlimit(kind, (most, most))


def _environment() -> dict[str, str]:
    """Return an environment with module paths only: an attacked decoder must find no secrets in it."""
    kept = {
        name: os.environ[name] for name in ("PATH", "SYSTEMROOT", "LD_LIBRARY_PATH") if name in os.environ
    }
    one_thread = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    modules = os.pathsep.join(path for path in sys.path if path)
    return {**kept, **one_thread, "PYTHONPATH": modules, "PYTHONDONTWRITEBYTECODE": "1"}


if __name__ == "__main__":
    main()

"""Pictures in and out: tensors of 64 pixels from a catalogue's pictures, a grid as PNG."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from crossrec.runtime.files import atomic_path
from crossrec.runtime.pictures import clean_picture
from crossrec.types import InputError

if TYPE_CHECKING:
    from PIL.Image import Image

SIDE = 64
GAP = 2
WHITE = 255


def to_samples(pictures: Iterable[Image]) -> np.ndarray:
    """(n, 3, 64, 64) float32 from -1 to 1; a picture that is not square is squashed, as encoders see it."""
    from PIL.Image import Resampling

    rows = [
        np.asarray(clean_picture(picture).resize((SIDE, SIDE), Resampling.LANCZOS), np.float32)
        for picture in pictures
    ]
    if not rows:
        return np.zeros((0, 3, SIDE, SIDE), np.float32)
    return np.ascontiguousarray(np.stack(rows).transpose(0, 3, 1, 2) / 127.5 - 1)


def to_bytes(samples: np.ndarray) -> np.ndarray:
    """(n, 64, 64, 3) uint8 of samples from -1 to 1."""
    return np.clip((samples.transpose(0, 2, 3, 1) + 1) * 127.5 + 0.5, 0, 255).astype(np.uint8)


def to_images(samples: np.ndarray) -> list[Image]:
    """Pillow pictures of samples, for an encoder."""
    from PIL import Image

    return [Image.fromarray(pixels) for pixels in to_bytes(samples)]


def grid(samples: np.ndarray, columns: int) -> np.ndarray:
    """(H, W, 3) uint8: samples side by side, row by row.

    Raises:
        InputError: no samples.
    """
    if not len(samples):
        raise InputError("a grid needs at least one picture")
    pixels = to_bytes(samples)
    lines, cell = -(-len(pixels) // columns), SIDE + GAP
    canvas = np.full((lines * cell + GAP, columns * cell + GAP, 3), WHITE, np.uint8)
    for place, picture in enumerate(pixels):
        top, left = GAP + place // columns * cell, GAP + place % columns * cell
        canvas[top : top + SIDE, left : left + SIDE] = picture
    return canvas


def png(pixels: np.ndarray) -> bytes:
    """An encoded (H, W, 3) uint8 picture."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def save_grid(path: Path, samples: np.ndarray, columns: int) -> None:
    """Writes a grid as PNG."""
    content = png(grid(samples, columns))
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)

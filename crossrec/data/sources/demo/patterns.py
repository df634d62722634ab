"""Fabric patterns, as masks that tile over a sheet larger than the product."""

from __future__ import annotations

import math
from collections.abc import Callable

from PIL import Image, ImageDraw

OVERSAMPLE = 4
CELL = 0.105
"""Distance between two repeats, as a share of the picture's width."""


def sheet(pattern: str, size: int) -> Image.Image:
    """The mask of a pattern's second colour, twice as wide as the picture.

    Args:
        pattern: one of ``vocabulary.PATTERNS``.
        size: width of the picture in pixels.
    """
    scale = 2 * size * OVERSAMPLE // 2
    image = Image.new("L", (scale * 2, scale * 2))
    _PAINTERS[pattern](ImageDraw.Draw(image), scale * 2, CELL * scale)
    return image.resize((2 * size, 2 * size), Image.Resampling.BOX)


def _plain(pen: ImageDraw.ImageDraw, width: int, cell: float) -> None:
    """Nothing is drawn."""


def _stripes(pen: ImageDraw.ImageDraw, width: int, cell: float) -> None:
    for i in range(round(width / cell) + 1):
        pen.rectangle([0, i * cell, width, i * cell + 0.42 * cell], fill=255)


def _dots(pen: ImageDraw.ImageDraw, width: int, cell: float) -> None:
    for x, y in _lattice(width, cell * 1.05):
        r = 0.29 * cell
        pen.ellipse([x - r, y - r, x + r, y + r], fill=255)


def _checks(pen: ImageDraw.ImageDraw, width: int, cell: float) -> None:
    cell *= 1.15
    steps = range(round(width / cell) + 1)
    for i in steps:
        pen.rectangle([0, i * cell, width, i * cell + cell / 2], fill=130)
    for i in steps:
        for j in steps:
            pen.rectangle([i * cell, j * cell, i * cell + cell / 2, j * cell + cell / 2], fill=255)
            pen.rectangle([i * cell, j * cell + cell / 2, i * cell + cell / 2, (j + 1) * cell], fill=130)


def _zigzag(pen: ImageDraw.ImageDraw, width: int, cell: float) -> None:
    cell *= 1.25
    n = round(width / cell) + 2
    for row in range(-1, n):
        points = [(i * cell / 2, row * cell + (0.55 * cell if i % 2 else 0.0)) for i in range(2 * n)]
        pen.line(points, fill=255, width=round(0.30 * cell), joint="curve")


def _flowers(pen: ImageDraw.ImageDraw, width: int, cell: float) -> None:
    for x, y in _lattice(width, cell * 1.7):
        for petal in range(5):
            angle = 2 * math.pi * petal / 5 + (x + y) / cell
            px, py = x + 0.34 * cell * math.cos(angle), y + 0.34 * cell * math.sin(angle)
            r = 0.25 * cell
            pen.ellipse([px - r, py - r, px + r, py + r], fill=255)
        r = 0.17 * cell
        pen.ellipse([x - r, y - r, x + r, y + r], fill=40)


def _lattice(width: int, cell: float) -> list[tuple[float, float]]:
    n = round(width / cell) + 1
    return [((i + 0.5 * (j % 2)) * cell, j * cell * 0.87) for j in range(round(n * 1.2)) for i in range(n)]


_PAINTERS: dict[str, Callable[[ImageDraw.ImageDraw, int, float], None]] = {
    "plain": _plain,
    "stripes": _stripes,
    "dots": _dots,
    "checks": _checks,
    "zigzag": _zigzag,
    "flowers": _flowers,
}

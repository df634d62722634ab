"""Product pictures, which show category, colour and pattern and nothing else."""

from __future__ import annotations

import colorsys
import io
import math
from collections.abc import Callable
from functools import cached_property

import numpy as np
from PIL import Image, ImageDraw

from crossrec.data.sources.demo import silhouettes
from crossrec.data.sources.demo.sketch import Masks, Sketch
from crossrec.data.sources.demo.vocabulary import CATEGORIES, COLOURS, PATTERNS

N_VARIANTS = 3

MASK_SCALE = 2
"""Masks are kept this much larger than the picture, so that turning them does not blur."""

SILHOUETTES: dict[str, Callable[[Sketch, int], None]] = {
    "dress": silhouettes.dress,
    "t-shirt": silhouettes.t_shirt,
    "sneaker": silhouettes.sneaker,
    "sock": silhouettes.sock,
    "handbag": silhouettes.handbag,
    "backpack": silhouettes.backpack,
    "bottle": silhouettes.bottle,
    "coffee maker": silhouettes.coffee_maker,
    "mug": silhouettes.mug,
    "chair": silhouettes.chair,
    "cushion": silhouettes.cushion,
    "lamp": silhouettes.lamp,
}

TRIMS = np.asarray([(240, 234, 222), (216, 208, 196), (92, 92, 98), (184, 176, 168)], dtype=np.float32)[
    :, :, None, None
]
"""Neutral tones of soles, handles and legs, each (3, 1, 1)."""

COEFFICIENTS = tuple[float, float, float, float, float, float]


class Painter:
    """Painter of pictures of one size; silhouettes and patterns are drawn once and then transformed.

    Args:
        size: width and height in pixels.
    """

    def __init__(self, size: int) -> None:
        self.size = size

    def draw(self, category: int, colour: int, pattern: int, rng: np.random.Generator) -> bytes:
        """Return one picture as JPEG; pose, background, shade of colour and noise come from ``rng``.

        Args:
            category: level of ``vocabulary.CATEGORIES``.
            colour: level of ``vocabulary.COLOURS``.
            pattern: level of ``vocabulary.PATTERNS``.
        """
        size = self.size
        masks = self._masks[CATEGORIES[category].name][rng.integers(N_VARIANTS)]
        pose, fabric = self._pose(rng), self._fabric_pose(rng)
        layers = masks.layers.transform((size, size), Image.Transform.AFFINE, pose, Image.Resampling.BILINEAR)
        shadow = masks.shadow.transform((size, size), Image.Transform.AFFINE, pose, Image.Resampling.BILINEAR)
        cloth = self._sheets[PATTERNS[pattern]].transform(
            (size, size), Image.Transform.AFFINE, fabric, Image.Resampling.BILINEAR
        )
        body, trim, shade, line = (_unit(band) for band in layers.split())
        main, second = _two_tones(colour, rng)
        product = main + _unit(cloth) * (second - main)
        product += trim * (TRIMS[rng.integers(len(TRIMS))] - product)
        product *= (0.45 + 1.1 * shade) * (1 - 0.62 * line)
        picture = self._background(rng) * (1 - 0.30 * _shifted(_unit(shadow), size // 32))
        picture += np.maximum(np.maximum(body, trim), line * (line > 0.6)) * (product - picture)
        picture += rng.uniform(1.0, 4.0) * rng.standard_normal((size, size), dtype=np.float32)
        return _jpeg(picture)

    def _pose(self, rng: np.random.Generator) -> COEFFICIENTS:
        scale = rng.uniform(0.86, 1.04)
        shift = rng.uniform(-0.035, 0.035, 2)
        return self._affine(rng.uniform(-7, 7), scale, shift, mirrored=rng.random() < 0.3)

    def _fabric_pose(self, rng: np.random.Generator) -> COEFFICIENTS:
        quarter = 90.0 * rng.integers(2)
        return self._affine(
            quarter + rng.uniform(-12, 12),
            rng.uniform(0.85, 1.2),
            rng.uniform(-0.08, 0.08, 2),
            mirrored=False,
        )

    def _affine(self, degrees: float, scale: float, shift: np.ndarray, mirrored: bool) -> COEFFICIENTS:
        """Map picture pixels to pixels of a sheet ``MASK_SCALE`` as wide, about both middles."""
        zoom = MASK_SCALE / scale
        cos, sin = math.cos(math.radians(degrees)) * zoom, math.sin(math.radians(degrees)) * zoom
        flip = -1.0 if mirrored else 1.0
        x0, y0 = self.size * (0.5 + shift)
        middle = MASK_SCALE * self.size / 2
        a, b, d, e = flip * cos, flip * sin, -sin, cos
        return a, b, middle - a * x0 - b * y0, d, e, middle - d * x0 - e * y0

    def _background(self, rng: np.random.Generator) -> np.ndarray:
        """Return (3, size, size) pale backdrop whose hue has nothing to do with the product."""
        hue, saturation = rng.random(), rng.uniform(0.02, 0.13)
        near, far = (_tone(hue, saturation * s, v) for s, v in ((0.6, 0.985), (1.4, rng.uniform(0.86, 0.94))))
        blend = self._blends[rng.integers(len(self._blends))]
        return near + blend * (far - near)

    @cached_property
    def _masks(self) -> dict[str, list[Masks]]:
        found: dict[str, list[Masks]] = {}
        for name, outline in SILHOUETTES.items():
            sketches = [Sketch(MASK_SCALE * self.size) for _ in range(N_VARIANTS)]
            for variant, sketch in enumerate(sketches):
                outline(sketch, variant)
            found[name] = [sketch.finish() for sketch in sketches]
        return found

    @cached_property
    def _sheets(self) -> dict[str, Image.Image]:
        return {pattern: sheet(pattern, self.size) for pattern in PATTERNS}

    @cached_property
    def _blends(self) -> list[np.ndarray]:
        """(size, size) weights of the far backdrop colour: even, gradient, floor, spotlight, disc."""
        y, x = np.mgrid[0 : self.size, 0 : self.size].astype(np.float32) / self.size
        radius = np.hypot(x - 0.5, y - 0.5)
        edge = 0.6 / self.size
        floor = np.clip((y - 0.80) / edge, 0, 1) * (1.2 - 0.5 * y)
        disc = np.clip((0.44 - radius) / edge, 0, 1)
        return [np.zeros_like(x), y, floor, np.clip(1.6 * radius - 0.2, 0, 1), disc]


def _two_tones(colour: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return the product's colour, slightly varied, and the lighter or darker tone of its pattern."""
    red, green, blue = list(COLOURS.values())[colour]
    hue, saturation, value = colorsys.rgb_to_hsv(red / 255, green / 255, blue / 255)
    hue = (hue + rng.uniform(-0.014, 0.014)) % 1
    saturation = min(1.0, saturation * rng.uniform(0.88, 1.08))
    value = min(1.0, value * rng.uniform(0.92, 1.08))
    main = _tone(hue, saturation, value)
    target = 255.0 if value < 0.75 or rng.random() < 0.6 else 30.0
    return main, main + np.float32(0.72 if target > 128 else 0.55) * (np.float32(target) - main)


def _tone(hue: float, saturation: float, value: float) -> np.ndarray:
    return 255 * np.asarray(colorsys.hsv_to_rgb(hue, saturation, value), dtype=np.float32)[:, None, None]


def _unit(band: Image.Image) -> np.ndarray:
    return np.asarray(band, dtype=np.float32) / np.float32(255)


def _shifted(shadow: np.ndarray, pixels: int) -> np.ndarray:
    """Return (size, size) shadow moved down and to the right."""
    moved = np.zeros_like(shadow)
    moved[2 * pixels :, pixels:] = shadow[: -2 * pixels, :-pixels]
    return moved


def _jpeg(picture: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    pixels = np.ascontiguousarray(np.clip(picture, 0, 255).astype(np.uint8).transpose(1, 2, 0))
    Image.fromarray(pixels, "RGB").save(buffer, "JPEG", quality=90, subsampling=0)
    return buffer.getvalue()


OVERSAMPLE = 4

CELL = 0.105
"""Distance between two repeats, as a share of the picture's width."""


def sheet(pattern: str, size: int) -> Image.Image:
    """Return the mask of a pattern's second colour, twice as wide as the picture.

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

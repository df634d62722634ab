"""A sheet on which a silhouette is drawn in layers, in unit coordinates, antialiased."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter

Point = tuple[float, float]
Layer = Literal["body", "trim", "line"]
OVERSAMPLE = 4


@dataclass(frozen=True)
class Masks:
    """A finished silhouette.

    Args:
        layers: CMYK image whose four bands are body, trim, shade (128 = neutral) and line.
        shadow: L image, the soft shadow on the ground.
    """

    layers: Image.Image
    shadow: Image.Image


class Sketch:
    """Layers of one silhouette; x grows to the right, y down, the sheet is the unit square.

    ``body`` takes the product's colour and pattern, ``trim`` stays neutral, ``line`` darkens.

    Args:
        size: width of the finished masks in pixels.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.scale = size * OVERSAMPLE
        sheet = (self.scale, self.scale)
        self.layers: dict[Layer, Image.Image] = {
            "body": Image.new("L", sheet),
            "trim": Image.new("L", sheet),
            "line": Image.new("L", sheet),
        }

    def shape(self, layer: Layer, points: Sequence[Point], value: int = 255) -> None:
        """Fill a polygon."""
        self._pen(layer).polygon([self._at(p) for p in points], fill=value)

    def blob(self, layer: Layer, points: Sequence[Point], value: int = 255) -> None:
        """Fill a smooth closed curve through the points; a point given twice is a corner."""
        self.shape(layer, spline(points, closed=True), value)

    def mirrored(self, layer: Layer, half: Sequence[Point], smooth: bool = False) -> None:
        """Fill a shape given by its right half: distances from the middle and heights, from the top."""
        right = [(0.5 + x, y) for x, y in half]
        points = [*right, *((1 - x, y) for x, y in reversed(right))]
        self.blob(layer, points) if smooth else self.shape(layer, points)

    def ellipse(self, layer: Layer, centre: Point, radii: Point, value: int = 255) -> None:
        """Fill an ellipse."""
        (x, y), (rx, ry) = centre, radii
        self._pen(layer).ellipse([self._at((x - rx, y - ry)), self._at((x + rx, y + ry))], fill=value)

    def box(self, layer: Layer, corners: tuple[Point, Point], radius: float = 0.0, value: int = 255) -> None:
        """Fill a rectangle with round corners."""
        ends = [self._at(corners[0]), self._at(corners[1])]
        self._pen(layer).rounded_rectangle(ends, radius=radius * self.scale, fill=value)

    def stroke(
        self, layer: Layer, points: Sequence[Point], width: float, value: int = 255, smooth: bool = True
    ) -> None:
        """Draw a line with round ends."""
        path = spline(points, closed=False) if smooth and len(points) > 2 else list(points)
        pen, pixels = self._pen(layer), max(1, round(width * self.scale))
        pen.line([self._at(p) for p in path], fill=value, width=pixels, joint="curve")
        for end in (path[0], path[-1]):
            self.ellipse(layer, end, (width / 2, width / 2), value)

    def erase(self, layer: Layer, points: Sequence[Point]) -> None:
        """Clear a smooth closed curve from a layer."""
        self.blob(layer, points, 0)

    def finish(self) -> Masks:
        """The masks at their final size, with shading from the shape's own relief."""
        small = {
            name: image.resize((self.size, self.size), Image.Resampling.BOX)
            for name, image in self.layers.items()
        }
        whole = ImageChops.lighter(small["body"], small["trim"])
        shade = _relief(small["body"], self.size), _relief(small["trim"], self.size)
        relief = Image.composite(shade[1], shade[0], small["trim"])
        layers = Image.merge("CMYK", (small["body"], small["trim"], relief, small["line"]))
        shadow = whole.filter(ImageFilter.GaussianBlur(self.size / 28))
        return Masks(layers, shadow)

    def _pen(self, layer: Layer) -> ImageDraw.ImageDraw:
        return ImageDraw.Draw(self.layers[layer])

    def _at(self, point: Point) -> Point:
        return point[0] * self.scale, point[1] * self.scale


def spline(points: Sequence[Point], closed: bool, steps: int = 12) -> list[Point]:
    """Points along a Catmull-Rom curve through ``points`` (Catmull and Rom, 1974)."""
    n = len(points)
    curve: list[Point] = []
    for i in range(n if closed else n - 1):
        ring = [points[j % n] if closed else points[min(max(j, 0), n - 1)] for j in range(i - 1, i + 3)]
        curve.extend(_catmull_rom(ring, step / steps) for step in range(steps))
    return curve if closed else [*curve, points[-1]]


def _catmull_rom(ring: Sequence[Point], t: float) -> Point:
    a, b, c, d = ring
    x, y = (
        0.5 * (2 * q + (r - p) * t + (2 * p - 5 * q + 4 * r - s) * t**2 + (3 * q - p - 3 * r + s) * t**3)
        for p, q, r, s in zip(a, b, c, d, strict=True)
    )
    return x, y


def _relief(mask: Image.Image, size: int) -> Image.Image:
    """Light from the upper left on a shape swollen like a pillow; 128 is neutral."""
    height = np.asarray(mask.filter(ImageFilter.GaussianBlur(size / 16)), dtype=np.float32) / 255
    fine = np.asarray(mask.filter(ImageFilter.GaussianBlur(size / 70)), dtype=np.float32) / 255
    slope = _towards_light(height) * size / 16 + 0.35 * _towards_light(fine) * size / 70
    hollow = 0.25 * (height - 1)
    shade = 128 + 110 * np.clip(0.8 * slope + hollow + 0.06, -1, 1)
    return Image.fromarray(np.clip(shade, 0, 255).astype(np.uint8), "L")


def _towards_light(height: np.ndarray) -> np.ndarray:
    down, right = np.gradient(height)
    angle = math.radians(50)
    return right * math.cos(angle) + down * math.sin(angle)

"""Geometric augmenters; uncovered areas get the color of the picture's border."""

from __future__ import annotations

from typing import Literal

import numpy as np
from PIL.Image import Image
from pydantic import Field
from torchvision.transforms import v2

from crossrec.augment.content.image.base import (
    Area,
    ImageAugmenter,
    ImageOptions,
    Partners,
    Range,
    border_colour,
    seeded,
)

BILINEAR = v2.InterpolationMode.BILINEAR


class Rotate(ImageAugmenter):
    """Rotation about the center by a uniform random angle; corners outside the frame are lost.

    Source:
        torchvision's ``RandomRotation``, filled with the border's colour instead of black.
    """

    class Options(ImageOptions):
        """Rotation about the center."""

        degrees: float = Field(15.0, gt=0, le=180, description="largest angle, either way")

    def __init__(self, options: Options, partners: Partners | None = None) -> None:
        self.degrees = options.degrees

    def change(self, picture: Image, key: str | int, generator: np.random.Generator) -> Image:
        """Return the rotated picture."""
        transform = v2.RandomRotation(self.degrees, interpolation=BILINEAR, fill=border_colour(picture))
        with seeded(generator):
            return transform(picture)


class Zoom(ImageAugmenter):
    """Zoom about the center by a uniform random factor, within the same frame.

    Source:
        torchvision's ``RandomAffine``, filled with the border's colour instead of black.
    """

    class Options(ImageOptions):
        """Zoom in or out about the center."""

        factor: Range = Field((0.8, 1.2), description="lowest and highest zoom; below 1 shows a margin")

    def __init__(self, options: Options, partners: Partners | None = None) -> None:
        self.factor = options.factor

    def change(self, picture: Image, key: str | int, generator: np.random.Generator) -> Image:
        """Return the zoomed picture."""
        transform = v2.RandomAffine(
            degrees=0, scale=self.factor, interpolation=BILINEAR, fill=border_colour(picture)
        )
        with seeded(generator):
            return transform(picture)


class ImageCrop(ImageAugmenter):
    """Crop of a rectangle of random area, shape and place, resized to the frame.

    Differs from the source: areas start at 0.6 by default, not 0.08, since a sleeve is not the shirt; shapes
    are relative to the picture's own, so that a long picture stays whole.

    Source:
        Szegedy et al., Going Deeper with Convolutions, CVPR 2015, section 6; torchvision's
        ``RandomResizedCrop``.
    """

    class Options(ImageOptions):
        """Random crop, resized to the whole picture."""

        area: Area = Field((0.6, 1.0), description="share of the picture that is kept")
        stretch: Range = Field((0.75, 4 / 3), description="width over height, in those of the picture itself")

    def __init__(self, options: Options, partners: Partners | None = None) -> None:
        self.area, self.stretch = options.area, options.stretch

    def change(self, picture: Image, key: str | int, generator: np.random.Generator) -> Image:
        """Return the resized crop."""
        shape = picture.width / picture.height
        transform = v2.RandomResizedCrop(
            size=(picture.height, picture.width),
            scale=self.area,
            ratio=(self.stretch[0] * shape, self.stretch[1] * shape),
            interpolation=BILINEAR,
            antialias=True,
        )
        with seeded(generator):
            return transform(picture)


class Flip(ImageAugmenter):
    """Horizontal or vertical flip.

    Source:
        Krizhevsky et al., ImageNet Classification with Deep Convolutional Neural Networks, NeurIPS 2012,
        section 4.1.
    """

    class Options(ImageOptions):
        """Flip; writing on the picture then reads backwards."""

        direction: Literal["horizontal", "vertical"] = "horizontal"

    def __init__(self, options: Options, partners: Partners | None = None) -> None:
        upright = options.direction == "horizontal"
        self.transform = v2.RandomHorizontalFlip(p=1) if upright else v2.RandomVerticalFlip(p=1)

    def change(self, picture: Image, key: str | int, generator: np.random.Generator) -> Image:
        """Return the flipped picture."""
        with seeded(generator):
            return self.transform(picture)

"""Augmenters that move pixels; what they lay bare gets the colour of the picture's border."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from torchvision.transforms import v2

from crossrec.augment.image.picture import PictureAugmenter, border_colour, seeded

if TYPE_CHECKING:
    from PIL.Image import Image

    from crossrec.augment.image.config import CropConfig, FlipConfig, RotateConfig, ScaleConfig

BILINEAR = v2.InterpolationMode.BILINEAR


class Rotate(PictureAugmenter):
    """Turns a picture about its centre by an even draw of angles; corners that leave the frame are lost.

    Source:
        torchvision's ``RandomRotation``, filled with the border's colour instead of black.
    """

    def __init__(self, config: RotateConfig) -> None:
        self.degrees = config.degrees

    def change(self, picture: Image, key: str | int, generator: np.random.Generator) -> Image:
        """The picture, turned."""
        transform = v2.RandomRotation(self.degrees, interpolation=BILINEAR, fill=border_colour(picture))
        with seeded(generator):
            return transform(picture)


class Scale(PictureAugmenter):
    """Zooms about the centre by an even draw of factors, within the same frame.

    Source:
        torchvision's ``RandomAffine``, filled with the border's colour instead of black.
    """

    def __init__(self, config: ScaleConfig) -> None:
        self.factor = config.factor

    def change(self, picture: Image, key: str | int, generator: np.random.Generator) -> Image:
        """The picture, larger or smaller."""
        transform = v2.RandomAffine(
            degrees=0, scale=self.factor, interpolation=BILINEAR, fill=border_colour(picture)
        )
        with seeded(generator):
            return transform(picture)


class Crop(PictureAugmenter):
    """Cuts out a rectangle of random area, shape and place, and stretches it over the frame.

    Differs from the source: areas start at .6 by default, not .08, since a sleeve is not the shirt; shapes
    are relative to the picture's own, so that a long picture stays whole.

    Source:
        Szegedy et al., Going Deeper with Convolutions, CVPR 2015, section 6; torchvision's
        ``RandomResizedCrop``.
    """

    def __init__(self, config: CropConfig) -> None:
        self.area, self.stretch = config.area, config.stretch

    def change(self, picture: Image, key: str | int, generator: np.random.Generator) -> Image:
        """A part of the picture, as large as the whole."""
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


class Flip(PictureAugmenter):
    """Mirrors a picture left to right, or top to bottom.

    Source:
        Krizhevsky et al., ImageNet Classification with Deep Convolutional Neural Networks, NeurIPS 2012,
        section 4.1.
    """

    def __init__(self, config: FlipConfig) -> None:
        upright = config.direction == "horizontal"
        self.transform = v2.RandomHorizontalFlip(p=1) if upright else v2.RandomVerticalFlip(p=1)

    def change(self, picture: Image, key: str | int, generator: np.random.Generator) -> Image:
        """The picture, mirrored."""
        with seeded(generator):
            return self.transform(picture)

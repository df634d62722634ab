"""RandAugment."""

from __future__ import annotations

import numpy as np
from PIL.Image import Image
from pydantic import Field
from torchvision.transforms import v2

from crossrec.augment.content.image.base import (
    ImageAugmenter,
    ImageOptions,
    Partners,
    apart,
    border_colour,
    seeded,
    together,
)


class RandAugment(ImageAugmenter):
    """RandAugment: operations drawn uniformly from torchvision's fourteen, all with one magnitude.

    Some of them change what a shopper sees: ``Solarize`` inverts a white background. timm's version draws
    from Python's and NumPy's global generators, so that single pictures are not reproducible. Transparency
    stays in place while colours move.

    Source:
        Cubuk et al., RandAugment: Practical Automated Data Augmentation with a Reduced Search Space,
        NeurIPS 2020; torchvision's ``RandAugment``, filled with the border's colour instead of black.
    """

    class Options(ImageOptions):
        """RandAugment: random operations of one magnitude."""

        operations: int = Field(2, ge=1, description="drawn for each picture, with replacement")
        magnitude: int = Field(9, ge=0, le=30)

    def __init__(self, options: Options, partners: Partners | None = None) -> None:
        self.operations, self.magnitude = options.operations, options.magnitude

    def change(self, picture: Image, key: str | int, generator: np.random.Generator) -> Image:
        """Return the picture after all operations."""
        colours, alpha = apart(picture)
        transform = v2.RandAugment(
            self.operations,
            self.magnitude,
            interpolation=v2.InterpolationMode.BILINEAR,
            fill=border_colour(colours),
        )
        with seeded(generator):
            return together(transform(colours), alpha)

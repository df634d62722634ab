"""RandAugment."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from torchvision.transforms import v2

from crossrec.augment.image.picture import PictureAugmenter, apart, border_colour, seeded, together

if TYPE_CHECKING:
    from PIL.Image import Image

    from crossrec.augment.image.config import RandAugmentConfig


class RandAugment(PictureAugmenter):
    """Applies operations drawn evenly from torchvision's fourteen, all with one magnitude.

    Some of them change what a shopper sees: ``Solarize`` inverts a white background. timm's version draws
    from Python's and NumPy's global generators, so that it could not repeat a picture alone. Transparency
    stays where it is while colours move.

    Source:
        Cubuk et al., RandAugment: Practical Automated Data Augmentation with a Reduced Search Space,
        NeurIPS 2020; torchvision's ``RandAugment``, filled with the border's colour instead of black.
    """

    def __init__(self, config: RandAugmentConfig) -> None:
        self.operations, self.magnitude = config.operations, config.magnitude

    def change(self, picture: Image, key: str | int, generator: np.random.Generator) -> Image:
        """The picture after all operations."""
        colours, alpha = apart(picture)
        transform = v2.RandAugment(
            self.operations,
            self.magnitude,
            interpolation=v2.InterpolationMode.BILINEAR,
            fill=border_colour(colours),
        )
        with seeded(generator):
            return together(transform(colours), alpha)

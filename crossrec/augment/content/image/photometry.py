"""Photometric augmenters: color jitter, blur and erasing; transparency stays."""

from __future__ import annotations

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
    apart,
    channels,
    seeded,
    together,
)

REFERENCE_SIDE = 224
"""Pixels of the shorter side in which blur is measured."""


class ColorJitter(ImageAugmenter):
    """Random change of brightness, contrast, saturation and hue, in random order.

    Differs from the source: the hue moves by at most 0.02 by default (there 0.2), and nothing turns grey.

    Source:
        Chen et al., A Simple Framework for Contrastive Learning of Visual Representations, ICML 2020,
        appendix A; torchvision's ``ColorJitter``.
    """

    class Options(ImageOptions):
        """Color jitter, with little change of hue since shoppers choose by color."""

        brightness: float = Field(0.2, ge=0, description="a factor of 1 - x to 1 + x")
        contrast: float = Field(0.2, ge=0, description="a factor of 1 - x to 1 + x")
        saturation: float = Field(0.2, ge=0, description="a factor of 1 - x to 1 + x")
        hue: float = Field(0.02, ge=0, le=0.5, description="largest shift, in turns of the colour circle")

    def __init__(self, options: Options, partners: Partners | None = None) -> None:
        self.transform = v2.ColorJitter(options.brightness, options.contrast, options.saturation, options.hue)

    def change(self, picture: Image, key: str | int, generator: np.random.Generator) -> Image:
        """Return the picture in other colors."""
        colours, alpha = apart(picture)
        with seeded(generator):
            return together(self.transform(colours), alpha)


class Blur(ImageAugmenter):
    """Gaussian blur with a uniform random width, relative to the picture's size.

    Computed by Pillow: torchvision convolves with the whole two-dimensional kernel, which takes minutes for a
    large photograph.

    Source:
        Chen et al. 2020, appendix A.
    """

    class Options(ImageOptions):
        """Gaussian blur."""

        sigma: Range = Field((0.1, 2.0), description="in pixels of a picture whose shorter side has 224")

    def __init__(self, options: Options, partners: Partners | None = None) -> None:
        self.sigma = options.sigma

    def change(self, picture: Image, key: str | int, generator: np.random.Generator) -> Image:
        """Return the blurred picture."""
        from PIL import ImageFilter

        sigma = generator.uniform(*self.sigma) * min(picture.size) / REFERENCE_SIDE
        colours, alpha = apart(picture)
        return together(colours.filter(ImageFilter.GaussianBlur(sigma)), alpha)


class RandomErasing(ImageAugmenter):
    """Random rectangle covered with the picture's mean color.

    Differs from the source: at most a fifth of the picture is covered by default (there 0.4), and with the
    picture's own mean (there random values, or the data set's mean).

    Source:
        Zhong et al., Random Erasing Data Augmentation, AAAI 2020, algorithm 1; torchvision's
        ``RandomErasing``.
    """

    class Options(ImageOptions):
        """Random rectangle covered with the mean color."""

        area: Area = Field((0.02, 0.2), description="share of the picture that is covered")
        ratio: Range = Field((0.3, 3.3), description="height over width of the rectangle")

    def __init__(self, options: Options, partners: Partners | None = None) -> None:
        self.area, self.ratio = options.area, options.ratio

    def change(self, picture: Image, key: str | int, generator: np.random.Generator) -> Image:
        """Return the picture with a covered rectangle."""
        colours, alpha = apart(picture)
        mean = [float(round(value)) for value in channels(colours).mean(axis=(0, 1))]
        transform = v2.RandomErasing(p=1, scale=self.area, ratio=self.ratio, value=mean)
        with seeded(generator):
            covered = transform(v2.functional.pil_to_tensor(colours))
        return together(v2.functional.to_pil_image(covered), alpha)

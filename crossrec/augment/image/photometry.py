"""Augmenters that change colours in place; transparency stays."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from torchvision.transforms import v2

from crossrec.augment.image.picture import PictureAugmenter, apart, channels, seeded, together

if TYPE_CHECKING:
    from PIL.Image import Image

    from crossrec.augment.image.config import BlurConfig, ColourConfig, ErasingConfig

REFERENCE_SIDE = 224
"""Pixels of the shorter side in which blur is measured."""


class Colour(PictureAugmenter):
    """Changes brightness, contrast, saturation and hue, in random order.

    Differs from the source: the hue moves by at most .02 by default (there .2), and nothing turns grey.

    Source:
        Chen et al., A Simple Framework for Contrastive Learning of Visual Representations, ICML 2020,
        appendix A; torchvision's ``ColorJitter``.
    """

    def __init__(self, config: ColourConfig) -> None:
        self.transform = v2.ColorJitter(config.brightness, config.contrast, config.saturation, config.hue)

    def change(self, picture: Image, key: str | int, generator: np.random.Generator) -> Image:
        """The picture in other colours."""
        colours, alpha = apart(picture)
        with seeded(generator):
            return together(self.transform(colours), alpha)


class Blur(PictureAugmenter):
    """Gaussian blur with an even draw of widths, which grow with the picture.

    Done by Pillow: torchvision convolves with the whole two-dimensional kernel, which takes minutes for a
    large photograph.

    Source:
        Chen et al. 2020, appendix A.
    """

    def __init__(self, config: BlurConfig) -> None:
        self.sigma = config.sigma

    def change(self, picture: Image, key: str | int, generator: np.random.Generator) -> Image:
        """The picture, blurred."""
        from PIL import ImageFilter

        sigma = generator.uniform(*self.sigma) * min(picture.size) / REFERENCE_SIDE
        colours, alpha = apart(picture)
        return together(colours.filter(ImageFilter.GaussianBlur(sigma)), alpha)


class Erasing(PictureAugmenter):
    """Covers a rectangle of random area, shape and place with the picture's mean colour.

    Differs from the source: at most a fifth of the picture is covered by default (there .4), and with the
    picture's own mean (there random values, or the data set's mean).

    Source:
        Zhong et al., Random Erasing Data Augmentation, AAAI 2020, algorithm 1; torchvision's
        ``RandomErasing``.
    """

    def __init__(self, config: ErasingConfig) -> None:
        self.area, self.ratio = config.area, config.ratio

    def change(self, picture: Image, key: str | int, generator: np.random.Generator) -> Image:
        """The picture with a covered rectangle."""
        colours, alpha = apart(picture)
        mean = [float(round(value)) for value in channels(colours).mean(axis=(0, 1))]
        transform = v2.RandomErasing(p=1, scale=self.area, ratio=self.ratio, value=mean)
        with seeded(generator):
            covered = transform(v2.functional.pil_to_tensor(colours))
        return together(v2.functional.to_pil_image(covered), alpha)

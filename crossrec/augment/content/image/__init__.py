"""Augmenters of pictures; each takes ``(options, partners)``."""

from typing import Annotated

from crossrec.augment.content.image.base import ImageOptions
from crossrec.config import Family

IMAGE_AUGMENTERS = Family(
    "picture augmenter",
    {
        "rotate": "crossrec.augment.content.image.geometry:Rotate",
        "scale": "crossrec.augment.content.image.geometry:Zoom",
        "crop": "crossrec.augment.content.image.geometry:ImageCrop",
        "flip": "crossrec.augment.content.image.geometry:Flip",
        "colour": "crossrec.augment.content.image.photometry:ColorJitter",
        "blur": "crossrec.augment.content.image.photometry:Blur",
        "erasing": "crossrec.augment.content.image.photometry:RandomErasing",
        "randaugment": "crossrec.augment.content.image.randaugment:RandAugment",
        "mixup": "crossrec.augment.content.image.mixing:MixUp",
        "cutmix": "crossrec.augment.content.image.mixing:CutMix",
    },
)
ImageAugmenterOptions = Annotated[ImageOptions, IMAGE_AUGMENTERS]

"""Augmenters that mix two pictures.

In classification both pictures' labels are mixed too. An item has no label to mix, and its variant must
still represent it: the partner is of the same category, and the item's own picture has the larger share.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from PIL.Image import Image
from pydantic import Field
from torchvision.transforms import v2

from crossrec.augment.content.image.base import ImageAugmenter, ImageOptions, Partners, seeded
from crossrec.types import InputError


class Mixing(ImageAugmenter):
    """Base of augmenters that mix a picture with a partner of the same category.

    Args:
        transform: torchvision's transform of a batch of two pictures and their labels.
        partners: pictures to mix with.

    Raises:
        InputError: if there are no partners.
    """

    def __init__(self, transform: v2.MixUp | v2.CutMix, partners: Partners | None) -> None:
        if not partners:
            raise InputError(
                "mixup and cutmix mix pictures of one category, but no category has pictures of two training "
                "items; leave them out of augment.image.augmenters, or give the catalogue categories"
            )
        self.transform, self.partners = transform, partners

    def change(self, picture: Image, key: str | int, generator: np.random.Generator) -> Image:
        """Return the picture mixed with its partner."""
        partner = self.partners.draw(key, generator).convert(picture.mode).resize(picture.size)
        pair = torch.stack([v2.functional.pil_to_tensor(p) for p in (picture, partner)]).float()
        with seeded(generator):
            mixed, shares = self.transform(pair, torch.tensor([0, 1]))
        # Row 0 holds the shares (s, 1 - s), row 1 the reverse.
        stronger = mixed[int(shares[:, 0].argmax())]
        return v2.functional.to_pil_image(stronger.round().clamp(0, 255).to(torch.uint8))


class MixUp(Mixing):
    """Weighted mean of the picture and its partner.

    Differs from the source: the weight is at least a half, and no label is mixed.

    Source:
        Zhang et al., mixup: Beyond Empirical Risk Minimization, ICLR 2018, section 2.
    """

    class Options(ImageOptions):
        """MixUp with a picture of the same category; the item's own has the larger weight."""

        mixes: ClassVar[bool] = True
        alpha: float = Field(
            0.4, gt=0, le=1_000_000, description="parameter of the Beta distribution of the shares"
        )

    def __init__(self, options: Options, partners: Partners | None = None) -> None:
        super().__init__(v2.MixUp(alpha=options.alpha, num_classes=2), partners)


class CutMix(Mixing):
    """Rectangle of the partner pasted into the picture, which keeps at least half of the area.

    Differs from the source: the share is at least a half, and no label is mixed.

    Source:
        Yun et al., CutMix: Regularization Strategy to Train Strong Classifiers with Localizable Features,
        ICCV 2019, section 3.2.
    """

    class Options(ImageOptions):
        """CutMix with a picture of the same category; the item's own keeps the larger part."""

        mixes: ClassVar[bool] = True
        alpha: float = Field(
            1.0, gt=0, le=1_000_000, description="parameter of the Beta distribution of the shares"
        )

    def __init__(self, options: Options, partners: Partners | None = None) -> None:
        super().__init__(v2.CutMix(alpha=options.alpha, num_classes=2), partners)

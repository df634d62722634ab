"""Configurations of the picture augmenters and of an item's views; importing them loads no heavy library."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from crossrec.augment.base import Augmenter
from crossrec.augment.content.variants import VariantsConfig
from crossrec.config import Config, UnionFamily

if TYPE_CHECKING:
    from PIL.Image import Image

    from crossrec.augment.image.partners import Partners
    from crossrec.augment.image.views import ImageViews


def _ordered(value: tuple[float, float]) -> tuple[float, float]:
    if not 0 < value[0] <= value[1]:
        raise ValueError(f"needs 0 < low <= high, got {value[0]:g} and {value[1]:g}")
    return value


Range = Annotated[tuple[float, float], AfterValidator(_ordered)]
"""Lowest and highest value of an even draw."""


def _share(value: tuple[float, float]) -> tuple[float, float]:
    if value[1] > 1:
        raise ValueError(f"is a share of the picture, at most 1, got {value[1]:g}")
    return value


Area = Annotated[Range, AfterValidator(_share)]
"""Lowest and highest share of a picture's area."""


class PictureAugmenterConfig(Config):
    """What all picture augmenters have, those from outside the project too."""

    mixes: ClassVar[bool] = False
    """Whether it needs a second picture."""

    probability: float = Field(0.5, ge=0, le=1, description="chance that a picture is changed")

    @abstractmethod
    def build(self, partners: Partners | None) -> Augmenter[list[Image]]:
        """The augmenter.

        Args:
            partners: pictures to mix with; only needed by augmenters that mix.
        """


class RotateConfig(PictureAugmenterConfig):
    """Turns the picture about its centre."""

    type: Literal["rotate"] = "rotate"
    degrees: float = Field(15.0, gt=0, le=180, description="largest angle, either way")

    def build(self, partners: Partners | None) -> Augmenter[list[Image]]:
        """The augmenter."""
        from crossrec.augment.image.geometry import Rotate

        return Rotate(self)


class ScaleConfig(PictureAugmenterConfig):
    """Zooms in or out about the centre."""

    type: Literal["scale"] = "scale"
    factor: Range = Field((0.8, 1.2), description="lowest and highest zoom; below 1 shows a margin")

    def build(self, partners: Partners | None) -> Augmenter[list[Image]]:
        """The augmenter."""
        from crossrec.augment.image.geometry import Scale

        return Scale(self)


class CropConfig(PictureAugmenterConfig):
    """Cuts out a part and stretches it over the whole picture."""

    type: Literal["crop"] = "crop"
    area: Area = Field((0.6, 1.0), description="share of the picture that is kept")
    stretch: Range = Field((0.75, 4 / 3), description="width over height, in those of the picture itself")

    def build(self, partners: Partners | None) -> Augmenter[list[Image]]:
        """The augmenter."""
        from crossrec.augment.image.geometry import Crop

        return Crop(self)


class FlipConfig(PictureAugmenterConfig):
    """Mirrors the picture; writing on it then reads backwards."""

    type: Literal["flip"] = "flip"
    direction: Literal["horizontal", "vertical"] = "horizontal"

    def build(self, partners: Partners | None) -> Augmenter[list[Image]]:
        """The augmenter."""
        from crossrec.augment.image.geometry import Flip

        return Flip(self)


class ColourConfig(PictureAugmenterConfig):
    """Changes brightness, contrast, saturation and hue; the hue little, as shoppers choose by colour."""

    type: Literal["colour"] = "colour"
    brightness: float = Field(0.2, ge=0, description="a factor of 1 - x to 1 + x")
    contrast: float = Field(0.2, ge=0, description="a factor of 1 - x to 1 + x")
    saturation: float = Field(0.2, ge=0, description="a factor of 1 - x to 1 + x")
    hue: float = Field(0.02, ge=0, le=0.5, description="largest shift, in turns of the colour circle")

    def build(self, partners: Partners | None) -> Augmenter[list[Image]]:
        """The augmenter."""
        from crossrec.augment.image.photometry import Colour

        return Colour(self)


class BlurConfig(PictureAugmenterConfig):
    """Gaussian blur."""

    type: Literal["blur"] = "blur"
    sigma: Range = Field((0.1, 2.0), description="in pixels of a picture whose shorter side has 224")

    def build(self, partners: Partners | None) -> Augmenter[list[Image]]:
        """The augmenter."""
        from crossrec.augment.image.photometry import Blur

        return Blur(self)


class ErasingConfig(PictureAugmenterConfig):
    """Covers a rectangle with the picture's mean colour."""

    type: Literal["erasing"] = "erasing"
    area: Area = Field((0.02, 0.2), description="share of the picture that is covered")
    ratio: Range = Field((0.3, 3.3), description="height over width of the rectangle")

    def build(self, partners: Partners | None) -> Augmenter[list[Image]]:
        """The augmenter."""
        from crossrec.augment.image.photometry import Erasing

        return Erasing(self)


class RandAugmentConfig(PictureAugmenterConfig):
    """Some operations drawn from a fixed list, all with one strength."""

    type: Literal["randaugment"] = "randaugment"
    operations: int = Field(2, ge=1, description="drawn for each picture, with replacement")
    magnitude: int = Field(9, ge=0, le=30)

    def build(self, partners: Partners | None) -> Augmenter[list[Image]]:
        """The augmenter."""
        from crossrec.augment.image.randaugment import RandAugment

        return RandAugment(self)


class MixUpConfig(PictureAugmenterConfig):
    """Lays a picture of the same category over the item's own, which stays the stronger one."""

    mixes: ClassVar[bool] = True
    type: Literal["mixup"] = "mixup"
    alpha: float = Field(0.4, gt=0, le=1_000_000, description="of the Beta distribution of the shares")

    def build(self, partners: Partners | None) -> Augmenter[list[Image]]:
        """The augmenter."""
        from crossrec.augment.image.mixing import MixUp

        return MixUp(self, partners)


class CutMixConfig(PictureAugmenterConfig):
    """Puts a piece of a picture of the same category beside the item's own, which keeps the larger part."""

    mixes: ClassVar[bool] = True
    type: Literal["cutmix"] = "cutmix"
    alpha: float = Field(1.0, gt=0, le=1_000_000, description="of the Beta distribution of the shares")

    def build(self, partners: Partners | None) -> Augmenter[list[Image]]:
        """The augmenter."""
        from crossrec.augment.image.mixing import CutMix

        return CutMix(self, partners)


ImageAugmenterConfig = Annotated[
    RotateConfig
    | ScaleConfig
    | CropConfig
    | FlipConfig
    | ColourConfig
    | BlurConfig
    | ErasingConfig
    | RandAugmentConfig
    | MixUpConfig
    | CutMixConfig,
    UnionFamily(),
]


class ImageViewsConfig(VariantsConfig):
    """Augmented views of the items' pictures."""

    augmenters: tuple[ImageAugmenterConfig, ...] = Field(
        (CropConfig(), FlipConfig(), ColourConfig()), min_length=1, description="applied one after another"
    )

    @property
    def mixes(self) -> bool:
        """Whether any augmenter needs a second picture."""
        return any(augmenter.mixes for augmenter in self.augmenters)

    def build(self, partners: Partners | None = None) -> ImageViews:
        """Makes views of pictures.

        Args:
            partners: pictures of training items to mix with, where ``mixes``.

        Raises:
            InputError: an augmenter mixes, and there is nothing to mix with.
        """
        from crossrec.augment.image.views import ImageViews

        return ImageViews(self, partners)

"""What views of items share, whatever they show: how many there are, how often they are used, their names."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from crossrec.augment.base import (
    Augmented,
    Compose,
    RandomApply,
    SampleRng,
    Schedule,
    count_name,
    digest,
)
from crossrec.augment.content.image import IMAGE_AUGMENTERS, ImageAugmenterOptions
from crossrec.augment.content.image.base import Partners
from crossrec.augment.content.text import TEXT_AUGMENTERS, TextAugmenterOptions
from crossrec.augment.content.text.base import Encode
from crossrec.config import Config

if TYPE_CHECKING:
    from PIL.Image import Image


DEFAULT_IMAGE_AUGMENTERS = ({"type": "crop"}, {"type": "flip"}, {"type": "colour"})
IMAGE_VERSION = 1
"""Raise with any change of what augmenters make, so that cached views are made anew."""


class VariantsConfig(Config):
    """How many augmented views an item has, and how often training takes one in the original's place."""

    views: int = Field(4, ge=1, le=1_000, description="of each item that has a training click")
    share: float = Field(
        0.5, ge=0, le=1, description="chance that a training lookup of an item takes one of its views"
    )
    schedule: Schedule = Field(Schedule(), description="multiplies the share as training goes on")


def variant_rng(seed: int, view: int, keys: list[str]) -> SampleRng:
    """The draws of one view of each item.

    Args:
        seed: of the experiment.
        view: its number, from 0; a view is the same however many others there are.
        keys: digests of the items' content, so that equal content has equal views.
    """
    return SampleRng(seed, ("view", view), keys)


def variant_key(content: str, recipe: str, seed: int, view: int) -> str:
    """Names a view's content without making it: it is a function of these four alone.

    Args:
        content: digest of the item's own content.
        recipe: digest of the augmenters and of whatever else they read.
        seed: of the experiment.
        view: its number.
    """
    return digest("view", content, recipe, seed, view)


class TextVariantsConfig(VariantsConfig):
    """Augmented views of the items' texts."""

    augmenters: tuple[TextAugmenterOptions, ...] = Field(
        min_length=1, description="applied one after another"
    )

    def build(self, cache_dir: Path, encode: Encode | None = None) -> TextVariants:
        """Makes views of texts.

        Args:
            cache_dir: folder for paraphrases and converted weights.
            encode: texts to vectors; only paraphrases need it.

        Raises:
            InputError: what an augmenter needs is not there.
        """
        return TextVariants(self, cache_dir, encode)


class TextVariants:
    """Makes the views of texts.

    Args:
        config: augmenters, applied in their order; one from outside the project that has no ``probability``
            meets every text.
        cache_dir: folder for paraphrases and converted weights.
        encode: texts to vectors; only paraphrases need it.

    Raises:
        InputError: what an augmenter needs is not there.
    """

    def __init__(self, config: TextVariantsConfig, cache_dir: Path, encode: Encode | None = None) -> None:
        self.count = config.views
        self._chain = Compose(
            [
                RandomApply(
                    count_name(TEXT_AUGMENTERS, c), c.build(cache_dir, encode), getattr(c, "probability", 1.0)
                )
                for c in config.augmenters
            ]
        )

    def view(self, texts: list[str], keys: list[str], seed: int, view: int) -> Augmented[list[str]]:
        """One view of each text. Every process must call this where paraphrases are made.

        Args:
            texts: n texts of training items.
            keys: n digests of their content.
            seed: of the experiment.
            view: its number, from 0.

        Returns:
            n texts, ``changed`` where one differs from the given one, with counts of what each augmenter met.
        """
        made = self._chain.augment(texts, variant_rng(seed, view, keys).substream("text"))
        # One augmenter may undo what another did.
        differs = [new != old for new, old in zip(made.samples, texts, strict=True)]
        return Augmented(made.samples, np.asarray(differs, dtype=bool), made.counts)


class ImageVariantsConfig(VariantsConfig):
    """Augmented views of the items' pictures."""

    augmenters: tuple[ImageAugmenterOptions, ...] = Field(
        default_factory=lambda: tuple(map(IMAGE_AUGMENTERS.parse, DEFAULT_IMAGE_AUGMENTERS)),
        min_length=1,
        description="applied one after another; by default crop, flip and colour",
    )

    @property
    def mixes(self) -> bool:
        """Whether any augmenter needs a second picture."""
        return any(augmenter.mixes for augmenter in self.augmenters)

    def build(self, partners: Partners | None = None) -> ImageVariants:
        """Makes views of pictures.

        Args:
            partners: pictures of training items to mix with, where ``mixes``.

        Raises:
            InputError: an augmenter mixes, and there is nothing to mix with.
        """
        return ImageVariants(self, partners)


class ImageVariants:
    """Makes the views of pictures.

    Args:
        config: augmenters, applied in their order.
        partners: pictures to mix with, where an augmenter mixes.

    Raises:
        InputError: an augmenter mixes, and there is nothing to mix with.
    """

    def __init__(self, config: ImageVariantsConfig, partners: Partners | None = None) -> None:
        self.count = config.views
        self._chain = Compose(
            [
                RandomApply(count_name(IMAGE_AUGMENTERS, c), c.build(partners), c.probability)
                for c in config.augmenters
            ]
        )
        mixed_with = partners.identity if config.mixes and partners is not None else ""
        recipe = config.model_dump_json(include={"augmenters"})
        self.recipe = digest("image", IMAGE_VERSION, recipe, mixed_with)

    def view(self, pictures: list[Image], keys: list[str], seed: int, view: int) -> Augmented[list[Image]]:
        """One view of each picture.

        Args:
            pictures: n, each of its own size and mode, which it keeps.
            keys: n digests of their content.
            seed: of the experiment.
            view: its number, from 0.

        Returns:
            n pictures, with counts of what each augmenter met with.
        """
        return self._chain.augment(pictures, variant_rng(seed, view, keys).substream("image"))

"""Augmented variants of items' texts and pictures: their options, random numbers and cache keys."""

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
"""Version, to be increased with any change of the augmenters' output, so that variants are made again."""


class VariantsConfig(Config):
    """Number of augmented variants per item, and how often training uses one in place of the original."""

    views: int = Field(4, ge=1, le=1_000, description="variants of each item that has a training click")
    share: float = Field(
        0.5, ge=0, le=1, description="probability that a training lookup of an item takes one of its variants"
    )
    schedule: Schedule = Field(Schedule(), description="factor of the share over the training")


def variant_rng(seed: int, variant: int, keys: list[str]) -> SampleRng:
    """Return the random numbers of one variant per item.

    Args:
        seed: seed of the experiment.
        variant: its number, from 0; it does not depend on how many others there are.
        keys: digests of the items' content, so that equal content has equal variants.
    """
    return SampleRng(seed, ("view", variant), keys)


def variant_key(content: str, recipe: str, seed: int, variant: int) -> str:
    """Return the cache key of a variant without making it.

    Args:
        content: digest of the item's own content.
        recipe: digest of the augmenters and of everything else they read.
        seed: seed of the experiment.
        variant: its number.
    """
    return digest("view", content, recipe, seed, variant)


class TextVariantsConfig(VariantsConfig):
    """Options of the variants of texts."""

    augmenters: tuple[TextAugmenterOptions, ...] = Field(
        min_length=1, description="applied one after another"
    )

    def build(self, cache_dir: Path, encode: Encode | None = None) -> TextVariants:
        """Build the augmenters of texts.

        Args:
            cache_dir: folder for paraphrases and converted weights.
            encode: texts to vectors; only paraphrases need it.

        Raises:
            InputError: if an augmenter lacks something that it needs.
        """
        return TextVariants(self, cache_dir, encode)


class TextVariants:
    """Augmenters of texts, composed to make variants.

    Args:
        config: augmenters, applied in their order; one from outside the project that has no ``probability``
            meets every text.
        cache_dir: folder for paraphrases and converted weights.
        encode: texts to vectors; only paraphrases need it.

    Raises:
        InputError: if an augmenter lacks something that it needs.
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

    def variant(self, texts: list[str], keys: list[str], seed: int, variant: int) -> Augmented[list[str]]:
        """Return one variant of each text. With paraphrases, every process must call this.

        Args:
            texts: n texts of training items.
            keys: n digests of their content.
            seed: seed of the experiment.
            variant: its number, from 0.

        Returns:
            n texts, ``changed`` where one differs from the given one, with counts of what each augmenter met.
        """
        made = self._chain.augment(texts, variant_rng(seed, variant, keys).substream("text"))
        # One augmenter may undo what another did.
        differs = [new != old for new, old in zip(made.samples, texts, strict=True)]
        return Augmented(made.samples, np.asarray(differs, dtype=bool), made.counts)


class ImageVariantsConfig(VariantsConfig):
    """Options of the variants of pictures."""

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
        """Build the augmenters of pictures.

        Args:
            partners: pictures of training items to mix with, where ``mixes``.

        Raises:
            InputError: if an augmenter mixes, and there is nothing to mix with.
        """
        return ImageVariants(self, partners)


class ImageVariants:
    """Augmenters of pictures, composed to make variants.

    Args:
        config: augmenters, applied in their order.
        partners: pictures to mix with, where an augmenter mixes.

    Raises:
        InputError: if an augmenter mixes, and there is nothing to mix with.
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

    def variant(
        self, pictures: list[Image], keys: list[str], seed: int, variant: int
    ) -> Augmented[list[Image]]:
        """Return one variant of each picture.

        Args:
            pictures: n, each of its own size and mode, which it keeps.
            keys: n digests of their content.
            seed: seed of the experiment.
            variant: its number, from 0.

        Returns:
            n pictures, with counts of what each augmenter met with.
        """
        return self._chain.augment(pictures, variant_rng(seed, variant, keys).substream("image"))

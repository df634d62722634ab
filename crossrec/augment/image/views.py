"""Augmented views of pictures: a chain of augmenters, run once for each view."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crossrec.augment.base import Augmented, Compose, RandomApply, digest, name_of
from crossrec.augment.content.variants import variant_rng

if TYPE_CHECKING:
    from PIL.Image import Image

    from crossrec.augment.image.config import ImageViewsConfig
    from crossrec.augment.image.partners import Partners

VERSION = 1
"""Raise with any change of what augmenters make, so that cached views are made anew."""


class ImageViews:
    """Makes the views of pictures.

    Args:
        config: augmenters, applied in their order.
        partners: pictures to mix with, where an augmenter mixes.

    Raises:
        InputError: an augmenter mixes, and there is nothing to mix with.
    """

    def __init__(self, config: ImageViewsConfig, partners: Partners | None = None) -> None:
        self.count = config.views
        self._chain = Compose(
            [RandomApply(name_of(c), c.build(partners), c.probability) for c in config.augmenters]
        )
        mixed_with = partners.identity if config.mixes and partners is not None else ""
        recipe = config.model_dump_json(include={"augmenters"})
        self.recipe = digest("image", VERSION, recipe, mixed_with)

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

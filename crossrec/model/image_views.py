"""Views of a catalogue's pictures."""

from __future__ import annotations

from collections import Counter
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from crossrec.augment.content.image.base import Partners
from crossrec.augment.content.variants import variant_key
from crossrec.encoders.base import Tuning
from crossrec.encoders.cache import FeatureCache, fetch_each
from crossrec.encoders.image import ImageEncoder
from crossrec.model.view_plan import TrainingViews, report
from crossrec.model.views import ViewChoice, ViewedEncoder, ViewedFeatures, ViewVectors

if TYPE_CHECKING:
    from pathlib import Path

    from PIL.Image import Image

    from crossrec.augment.content.variants import ImageVariants, ImageVariantsConfig
    from crossrec.data.catalog import Catalog
    from crossrec.encoders.image import ImageEncoder
    from crossrec.model.build import Content
    from crossrec.model.modalities import Modality
    from crossrec.model.whitening import FeatureMap, Whitening


def viewed_pictures(
    content: Content,
    config: ImageEncoder.Options,
    whiten: Whitening | FeatureMap,
    views: TrainingViews,
    wanted: ImageVariantsConfig,
) -> Modality:
    """The image modality with views, for a network that is going to be trained.

    Args:
        content: catalogue and encoders.
        config: of the encoder.
        whiten: as ``components`` of ``FrozenFeatures``.
        views: which items get views.
        wanted: which views they get.

    Raises:
        InputError: an augmenter mixes pictures, and no category has two.
    """
    choice = ViewChoice(wanted.share, wanted.schedule, views.seed, "image")
    encoder = config.build(content.cache_dir)
    if config.training is Tuning.FROZEN:
        features = content.image_features(config)
        made = ImageViewsOfItems(wanted, views, content.catalog, content.image_keys(), features.present_N)
        vectors = made.vectors(encoder, content.cache_dir)
        return ViewedFeatures(features.vectors_ND, features.present_N, vectors, choice, components=whiten)
    readable_N = content.readable_pictures()
    made = ImageViewsOfItems(wanted, views, content.catalog, content.image_keys(), readable_N)

    def load(rows: np.ndarray, chosen: np.ndarray) -> dict[str, Tensor]:
        return {"pixels": torch.stack([encoder.preprocess(p) for p in made.pictures(rows, chosen)])}

    return ViewedEncoder(encoder, load, made.counts, choice, readable_N, encoder.width)


class ImageViewsOfItems:
    """Views of pictures, made anew whenever they are needed, since a catalogue of them fills no memory.

    Args:
        config: of the views.
        views: which items get them.
        catalog: N items.
        keys: N digests of the pictures, None where there is none.
        readable_N: (N,) bool, pictures that can be read.
    """

    def __init__(
        self,
        config: ImageVariantsConfig,
        views: TrainingViews,
        catalog: Catalog,
        keys: list[str | None],
        readable_N: np.ndarray,
    ) -> None:
        self.catalog, self.seed = catalog, views.seed
        self.items = np.flatnonzero(views.trained_N & readable_N)
        self.n_trained = int(views.trained_N.sum())
        self._keys = {int(item): str(keys[item]) for item in self.items}
        self.maker: ImageVariants = config.build(self._partners() if config.mixes else None)

    @property
    def counts(self) -> np.ndarray:
        """(N,) views that each item has; some may come back unchanged."""
        counts_N = np.zeros(len(self.catalog), np.int64)
        counts_N[self.items] = self.maker.count
        return counts_N

    def pictures(self, items_K: np.ndarray, views_K: np.ndarray) -> list[Image]:
        """K pictures: the view of that number, or the original for -1."""
        found = []
        for item, view in zip(items_K.tolist(), views_K.tolist(), strict=True):
            picture = self.catalog.image(item)
            if picture is not None:
                found.append(picture if view < 0 else self._view(item, picture, view, Counter())[0])
        return found

    def vectors(self, encoder: ImageEncoder, cache_dir: Path) -> ViewVectors:
        """All views through a frozen encoder; those that the cache knows are neither made nor computed."""
        n_views = self.maker.count
        items_T = np.repeat(self.items, n_views)
        counts: Counter[str] = Counter()
        original = lru_cache(maxsize=1)(self.catalog.image)

        def read(place: int) -> tuple[Image, bool] | None:
            item, view = int(items_T[place]), place % n_views
            picture = original(item)
            if picture is None:
                return None
            return self._view(item, picture, view, counts)

        def encode(made: list[tuple[Image, bool]]) -> np.ndarray:
            """Zeros for what came back unchanged: it is cached as no view, and not encoded again."""
            vectors_BW = np.zeros((len(made), encoder.width), np.float32)
            changed = [row for row, (_, differs) in enumerate(made) if differs]
            vectors_BW[changed] = encoder.encode([made[row][0] for row in changed])
            return vectors_BW

        cache: FeatureCache[tuple[Image, bool]] = FeatureCache(
            cache_dir / "features", encoder.identity, encoder.width
        )
        keys = [
            variant_key(self._keys[item], self.maker.recipe, self.seed, place % n_views)
            for place, item in enumerate(items_T.tolist())
        ]
        features = cache.encode_catalog(keys, fetch_each(read), encode, description="views of pictures")
        found = ViewVectors(features.vectors_ND, items_T)
        counts_N = np.bincount(items_T[found.real_rows], minlength=len(self.catalog))
        report("picture", self.n_trained, len(self.items), counts_N, dict(counts))
        return found

    def _view(self, item: int, picture: Image, view: int, counts: Counter[str]) -> tuple[Image, bool]:
        made = self.maker.view([picture], [self._keys[item]], self.seed, view)
        counts.update(made.counts)
        return made.samples[0], bool(made.changed[0])

    def _partners(self) -> Partners:
        categories = self.catalog.column("categories").to_pylist()
        return Partners(
            [self._keys[int(item)] for item in self.items],
            [categories[item] or () for item in self.items],
            lambda place: self.catalog.image(int(self.items[place])),
        )

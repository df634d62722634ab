"""Augmented variants of a catalogue's texts and pictures, for the training items of one network."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from PIL.Image import Image
from torch import Tensor

from crossrec.augment.content.image.base import Partners
from crossrec.augment.content.variants import (
    ImageVariants,
    ImageVariantsConfig,
    TextVariantsConfig,
    variant_key,
)
from crossrec.data.pictures import ItemPictures
from crossrec.encoders.base import Tuning
from crossrec.encoders.cache import FeatureCache, content_key, fetch_each
from crossrec.encoders.image import ImageEncoder
from crossrec.encoders.text import TextEncoder
from crossrec.model.encoded_catalog import TEXT_COLUMN, EncodedCatalog
from crossrec.model.modalities.layers import Modality
from crossrec.model.variant_modalities import VariantChoice, VariantEncoder, VariantFeatures, VariantVectors
from crossrec.model.whitening import FeatureMap, Whitening
from crossrec.runtime import distributed

logger = logging.getLogger(__name__)


class ContentAugmentation(Protocol):
    """Part of an experiment's augmentation that changes texts and pictures."""

    @property
    def text(self) -> TextVariantsConfig | None:
        """Options of the variants of texts."""

    @property
    def image(self) -> ImageVariantsConfig | None:
        """Options of the variants of pictures."""


@dataclass(frozen=True)
class TrainingVariants:
    """Training items, the only ones with variants, and the options of the variants.

    Other items are targets of no click: their variants would only serve as negatives, and data of validation
    or test would be augmented.

    Args:
        augment: options of the variants.
        trained_N: (N,) bool, items with a training click.
        seed: seed of the experiment.
    """

    augment: ContentAugmentation
    trained_N: np.ndarray
    seed: int


def report_variants(
    content: str, trained: int, usable: int, counts_N: np.ndarray, met: dict[str, int]
) -> None:
    """Log on the main process how many items have variants, and what the augmenters counted.

    Args:
        content: "text" or "picture".
        trained: number of training items.
        usable: number of those with such content that can be read.
        counts_N: (N,) variants per item.
        met: counts of the augmenters on this process, over variants that were not in the cache.
    """
    if not distributed.is_main():
        return
    varied = int((counts_N > 0).sum())
    logger.info(
        "variants of the %s: %d of %d training items have %.1f variants on average; the others keep their "
        "original alone: %d have no readable %s, %d came back unchanged in every variant%s",
        content,
        varied,
        trained,
        counts_N.sum() / max(varied, 1),
        trained - usable,
        content,
        usable - varied,
        f" ({', '.join(f'{name} {count}' for name, count in sorted(met.items()))})" if met else "",
    )


def text_with_variants(
    content: EncodedCatalog,
    config: TextEncoder.Options,
    whiten: Whitening | FeatureMap,
    variants: TrainingVariants,
    wanted: TextVariantsConfig,
    name: str = "text",
    column: str = TEXT_COLUMN,
) -> Modality:
    """Return the text modality with variants, for a network that will be trained.

    Args:
        content: catalogue and encoders.
        config: options of the encoder.
        whiten: see ``components`` of ``FrozenFeatures``.
        variants: training items and seed.
        wanted: options of the variants.
        name: name of the modality, whose draws differ from those of other modalities.
        column: column of the texts.
    """
    encoder = config.build(content.cache_dir)
    made = CatalogTextVariants(wanted, variants, content, encoder, column)
    choice = VariantChoice(wanted.share, wanted.schedule, variants.seed, name)
    if config.training is Tuning.FROZEN:
        features, vectors = content.text_features(config, column), made.vectors(encoder, content.cache_dir)
        return VariantFeatures(
            features.vectors_ND, features.present_N, vectors, choice, components=whiten, met=made.met
        )

    def load(rows: np.ndarray, chosen: np.ndarray) -> dict[str, Tensor]:
        return encoder.tokenize(made.texts(rows, chosen))

    return VariantEncoder(
        encoder, load, made.counts, choice, content.has_text(column), encoder.width, met=made.met
    )


class CatalogTextVariants:
    """Variants of a catalogue's texts, made once and held as strings.

    Args:
        config: options of the variants.
        variants: training items and seed.
        content: catalogue of N items, and the folder of the paraphrases.
        encoder: encoder that measures the similarity of paraphrases.
        column: column of the texts.

    Attributes:
        met: counts of each augmenter over all variants: kept, dropped.
    """

    def __init__(
        self,
        config: TextVariantsConfig,
        variants: TrainingVariants,
        content: EncodedCatalog,
        encoder: TextEncoder,
        column: str = TEXT_COLUMN,
    ) -> None:
        self.catalog, self.column = content.catalog, column
        items = np.flatnonzero(variants.trained_N & content.has_text(column))
        texts = self.catalog.texts(items, column)
        keys = [str(content_key(text)) for text in texts]
        maker = config.build(content.cache_dir, encoder.encode)
        self._of: dict[int, list[str]] = {}
        self.met: Counter[str] = Counter()
        for number in range(maker.count):
            made = maker.variant(texts, keys, variants.seed, number)
            self.met.update(made.counts)
            for row in np.flatnonzero(made.changed):
                self._of.setdefault(int(items[row]), []).append(made.samples[row])
        report_variants("text", int(variants.trained_N.sum()), len(items), self.counts, dict(self.met))

    @property
    def counts(self) -> np.ndarray:
        """(N,) variants per item."""
        counts_N = np.zeros(len(self.catalog), np.int64)
        for item, texts in self._of.items():
            counts_N[item] = len(texts)
        return counts_N

    def texts(self, items_K: np.ndarray, variants_K: np.ndarray) -> list[str]:
        """Return K texts: the variant with that number, or the original for -1."""
        originals = self.catalog.texts(items_K, self.column)
        pairs = zip(items_K.tolist(), variants_K.tolist(), originals, strict=True)
        return [text if variant < 0 else self._of[item][variant] for item, variant, text in pairs]

    def vectors(self, encoder: TextEncoder, cache_dir: Path) -> VariantVectors:
        """Encode all variants with a frozen encoder; those in the cache are not computed again."""
        pairs = [(item, text) for item in sorted(self._of) for text in self._of[item]]
        cache: FeatureCache[str] = FeatureCache(cache_dir / "features", encoder.identity, encoder.width)
        features = cache.encode_catalog(
            [content_key(text) for _, text in pairs],
            lambda wanted: [pairs[row][1] for row in wanted],
            encoder.encode,
            description="variants of texts",
        )
        return VariantVectors(features.vectors_ND, np.asarray([item for item, _ in pairs], dtype=np.int64))


def image_with_variants(
    content: EncodedCatalog,
    config: ImageEncoder.Options,
    whiten: Whitening | FeatureMap,
    variants: TrainingVariants,
    wanted: ImageVariantsConfig,
    name: str = "image",
    column: str | None = None,
) -> Modality:
    """Return the image modality with variants, for a network that will be trained.

    Args:
        content: catalogue and encoders.
        config: options of the encoder.
        whiten: see ``components`` of ``FrozenFeatures``.
        variants: training items and seed.
        wanted: options of the variants.
        name: name of the modality, whose draws differ from those of other modalities.
        column: column of the pictures; None for the catalogue's own.

    Raises:
        InputError: if an augmenter mixes pictures, and no category has two.
    """
    choice = VariantChoice(wanted.share, wanted.schedule, variants.seed, name)
    encoder = config.build(content.cache_dir)
    if config.training is Tuning.FROZEN:
        features = content.image_features(config, column)
        made = CatalogImageVariants(
            wanted, variants, content.pictures(column), content.image_keys(column), features.present_N
        )
        vectors = made.vectors(encoder, content.cache_dir)
        return VariantFeatures(features.vectors_ND, features.present_N, vectors, choice, components=whiten)
    readable_N = content.readable_pictures(column)
    made = CatalogImageVariants(
        wanted, variants, content.pictures(column), content.image_keys(column), readable_N
    )

    def load(rows: np.ndarray, chosen: np.ndarray) -> dict[str, Tensor]:
        return {"pixels": torch.stack([encoder.preprocess(p) for p in made.pictures(rows, chosen)])}

    return VariantEncoder(encoder, load, made.counts, choice, readable_N, encoder.width)


class CatalogImageVariants:
    """Variants of a catalogue's pictures, made each time they are needed, since all would not fit in memory.

    Args:
        config: options of the variants.
        variants: training items and seed.
        pictures: pictures of N items.
        keys: N digests of the pictures, None where there is none.
        readable_N: (N,) bool, readable pictures.
    """

    def __init__(
        self,
        config: ImageVariantsConfig,
        variants: TrainingVariants,
        pictures: ItemPictures,
        keys: list[str | None],
        readable_N: np.ndarray,
    ) -> None:
        self.source, self.catalog, self.seed = pictures, pictures.catalog, variants.seed
        self.items = np.flatnonzero(variants.trained_N & readable_N)
        self.n_trained = int(variants.trained_N.sum())
        self._keys = {int(item): str(keys[item]) for item in self.items}
        self.maker: ImageVariants = config.build(self._partners() if config.mixes else None)

    @property
    def counts(self) -> np.ndarray:
        """(N,) variants per item; some may come back unchanged."""
        counts_N = np.zeros(len(self.catalog), np.int64)
        counts_N[self.items] = self.maker.count
        return counts_N

    def pictures(self, items_K: np.ndarray, variants_K: np.ndarray) -> list[Image]:
        """Return K pictures: the variant with that number, or the original for -1."""
        found = []
        for item, variant in zip(items_K.tolist(), variants_K.tolist(), strict=True):
            picture = self.source.image(item)
            if picture is not None:
                found.append(picture if variant < 0 else self._variant(item, picture, variant, Counter())[0])
        return found

    def vectors(self, encoder: ImageEncoder, cache_dir: Path) -> VariantVectors:
        """Encode all variants with a frozen encoder; those in the cache are not made again."""
        n_variants = self.maker.count
        items_T = np.repeat(self.items, n_variants)
        counts: Counter[str] = Counter()
        original = lru_cache(maxsize=1)(self.source.image)

        def read(place: int) -> tuple[Image, bool] | None:
            item, variant = int(items_T[place]), place % n_variants
            picture = original(item)
            if picture is None:
                return None
            return self._variant(item, picture, variant, counts)

        def encode(made: list[tuple[Image, bool]]) -> np.ndarray:
            """Give zeros where a picture came back unchanged: cached as no variant, and not encoded again."""
            vectors_BW = np.zeros((len(made), encoder.width), np.float32)
            changed = [row for row, (_, differs) in enumerate(made) if differs]
            vectors_BW[changed] = encoder.encode([made[row][0] for row in changed])
            return vectors_BW

        cache: FeatureCache[tuple[Image, bool]] = FeatureCache(
            cache_dir / "features", encoder.identity, encoder.width
        )
        keys = [
            variant_key(self._keys[item], self.maker.recipe, self.seed, place % n_variants)
            for place, item in enumerate(items_T.tolist())
        ]
        features = cache.encode_catalog(keys, fetch_each(read), encode, description="variants of pictures")
        found = VariantVectors(features.vectors_ND, items_T)
        counts_N = np.bincount(items_T[found.real_rows], minlength=len(self.catalog))
        report_variants("picture", self.n_trained, len(self.items), counts_N, dict(counts))
        return found

    def _variant(self, item: int, picture: Image, variant: int, counts: Counter[str]) -> tuple[Image, bool]:
        made = self.maker.variant([picture], [self._keys[item]], self.seed, variant)
        counts.update(made.counts)
        return made.samples[0], bool(made.changed[0])

    def _partners(self) -> Partners:
        categories = self.catalog.column("categories").to_pylist()
        return Partners(
            [self._keys[int(item)] for item in self.items],
            [categories[item] or () for item in self.items],
            lambda place: self.source.image(int(self.items[place])),
        )

"""A catalogue with its encoded texts and pictures."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from PIL.Image import Image
from torch import Tensor

from crossrec.data.catalog import Catalog
from crossrec.encoders.cache import FeatureCache, Features, content_key, fetch_each
from crossrec.encoders.image import ImageEncoder
from crossrec.encoders.text import TextEncoder
from crossrec.runtime import distributed
from crossrec.runtime.pictures import UnreadablePicture
from crossrec.types import InputError

logger = logging.getLogger(__name__)


AnyEncoder = TypeVar("AnyEncoder", TextEncoder.Options, ImageEncoder.Options)


class EncodedCatalog:
    """A catalogue, its frozen features by encoder, and the inputs of trainable encoders.

    Features are cached by the encoder's options, so that a model and diversity measures with the same encoder
    share them.

    Args:
        catalog: N items.
        cache_dir: folder of features and converted weights.
        encoders: frozen encoders by their options, shared by several catalogues; None to drop each one after
            use.
    """

    def __init__(self, catalog: Catalog, cache_dir: Path, encoders: dict[str, Any] | None = None) -> None:
        self.catalog = self._grown = catalog
        self.cache_dir = cache_dir
        self._encoders = encoders
        self._features: dict[str, Features] = {}
        self._image_keys: list[str | None] | None = None
        self._readable_N: np.ndarray | None = None

    def set_features(self, config: TextEncoder.Options | ImageEncoder.Options, features: Features) -> None:
        """Set features that were computed elsewhere, so that the encoder is not run."""
        self._features[config.model_dump_json()] = features

    def set_readable(self, readable_N: np.ndarray) -> None:
        """Set which items have a readable picture, (N,) bool, so that none is opened to find out."""
        self._readable_N = readable_N

    def grow(self, catalog: Catalog) -> None:
        """Set a catalogue that has more items after those of this one, for trainable encoders.

        Frozen features do not change: those of the new items are computed by another ``EncodedCatalog``.
        """
        self._grown = catalog

    def text_features(self, config: TextEncoder.Options) -> Features:
        """Return frozen text vectors, from the cache where available."""
        return self._remembered(config, self._encode_texts)

    def image_features(self, config: ImageEncoder.Options) -> Features:
        """Return frozen image vectors; unreadable pictures are counted and masked."""
        return self._remembered(config, self._encode_images)

    def _remembered(self, config: AnyEncoder, encode: Callable[[AnyEncoder], Features]) -> Features:
        key = config.model_dump_json()
        if key not in self._features:
            self._features[key] = encode(config)
        return self._features[key]

    def _encode_texts(self, config: TextEncoder.Options) -> Features:
        encoder = self._encoder(config)
        texts = self.catalog.texts(np.arange(len(self.catalog)))
        keys = [
            content_key(t) if known else None for t, known in zip(texts, self.catalog.has_text, strict=True)
        ]
        cache: FeatureCache[str] = FeatureCache(self.cache_dir / "features", encoder.identity, encoder.width)
        return cache.encode_catalog(
            keys, lambda wanted: [texts[row] for row in wanted], encoder.encode, description="text features"
        )

    def _encode_images(self, config: ImageEncoder.Options) -> Features:
        encoder = self._encoder(config)
        cache: FeatureCache[Image] = FeatureCache(
            self.cache_dir / "features", encoder.identity, encoder.width
        )
        return cache.encode_catalog(
            self.image_keys(), fetch_each(self.catalog.image), encoder.encode, description="image features"
        )

    def _encoder(self, config: TextEncoder.Options | ImageEncoder.Options) -> Any:
        if self._encoders is None:
            return config.build(self.cache_dir)
        key = config.model_dump_json()
        if key not in self._encoders:
            self._encoders[key] = config.build(self.cache_dir)
        return self._encoders[key]

    def image_keys(self) -> list[str | None]:
        """Return N digests of the pictures' bytes, None where there is none; files are read once."""
        if self._image_keys is None:
            self._image_keys = self._hash_images()
        return self._image_keys

    def _hash_images(self) -> list[str | None]:
        keys: list[str | None] = []
        for row, known in enumerate(self.catalog.has_image):
            if not known:
                keys.append(None)
                continue
            try:
                keys.append(content_key(self.catalog.image_bytes(row)))
            except UnreadablePicture:
                # Still a key, so that the encoder tries, counts and masks it.
                keys.append(content_key(f"unreadable picture of {self.catalog.item_ids[row]}"))
        return keys

    def tokens(self, encoder: TextEncoder, rows: np.ndarray) -> dict[str, Tensor]:
        """Return a text encoder's input for items that have a text."""
        return encoder.tokenize(self._grown.texts(rows))

    def pixels(self, encoder: ImageEncoder, rows: np.ndarray) -> dict[str, Tensor]:
        """Return an image encoder's input for items with a readable picture."""
        pictures = [self._grown.image(int(row)) for row in rows]
        return {"pixels": torch.stack([encoder.preprocess(p) for p in pictures if p is not None])}

    def readable_pictures(self) -> np.ndarray:
        """Return which items have a readable picture, (N,) bool; all are read once."""
        if self._readable_N is None:
            fetch = fetch_each(self.catalog.image)
            readable = self.catalog.has_image.copy()
            rows = np.flatnonzero(readable)
            for row in rows:  # one at a time: a catalogue of opened pictures would fill memory
                readable[row] = fetch(np.asarray([row]))[0] is not None
            broken = len(rows) - int(readable.sum())
            if broken and distributed.is_main():
                logger.warning("%d of %d pictures can't be read and are masked", broken, len(rows))
            self._readable_N = readable
        return self._readable_N

    def need_pictures(self, readable_N: np.ndarray) -> None:
        """Check that some item has a readable picture.

        Raises:
            InputError: if none has; the message names the first unreadable one and the reason.
        """
        if not len(readable_N) or readable_N.any():
            return
        named = np.flatnonzero(self.catalog.names_image)
        such = f", such as {self.catalog.image_fault(int(named[0]))}" if len(named) else ""
        raise InputError(
            f"model.image reads pictures, but none of the {len(readable_N):,} items has one that can be "
            f"read{such}: set model.image=null, or correct the pictures' paths"
        )

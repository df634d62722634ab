"""A catalogue with its encoded texts and pictures."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL.Image import Image
from torch import Tensor

from crossrec.config import ComponentOptions
from crossrec.data.catalog import Catalog
from crossrec.data.pictures import ItemPictures, pictures_of
from crossrec.encoders.base import Encoder
from crossrec.encoders.cache import FeatureCache, Features, content_key, fetch_each
from crossrec.encoders.image import ImageEncoder
from crossrec.encoders.text import TextEncoder
from crossrec.runtime import distributed
from crossrec.runtime.pictures import UnreadablePicture
from crossrec.types import InputError, Sequences

logger = logging.getLogger(__name__)

TEXT_COLUMN = "text"
"""Column of the catalogue that holds the items' text."""

FeatureKey = tuple[str, str | None]
"""Options of an encoder, as JSON, and the column that it reads; None for the catalogue's pictures."""


def feature_key(config: ComponentOptions, column: str | None) -> FeatureKey:
    """Return the key of features in an :class:`EncodedCatalog`."""
    return f"{type(config).__qualname__} {config.model_dump_json()}", column


class EncodedCatalog:
    """A catalogue, its frozen features by encoder, and the inputs of trainable encoders.

    Features are cached by the encoder's options, so that a model and diversity measures with the same encoder
    share them.

    Args:
        catalog: N items.
        cache_dir: folder of features and converted weights.
        encoders: frozen encoders by their options, shared by several catalogues; None to drop each one after
            use.
        root: folder of the data, where relative paths of files start; None for the working directory.
        train: training clicks, for encoders that are tuned on them; None where none is tuned.
    """

    def __init__(
        self,
        catalog: Catalog,
        cache_dir: Path,
        encoders: dict[str, Any] | None = None,
        root: Path | None = None,
        train: Sequences | None = None,
    ) -> None:
        self.catalog = self._grown = catalog
        self.cache_dir, self.root, self.train = cache_dir, root, train
        self._encoders = encoders
        self._tuned: dict[FeatureKey, Encoder] = {}
        self._features: dict[FeatureKey, Features] = {}
        self._pictures: dict[str | None, ItemPictures] = {}
        self._grown_pictures: dict[str | None, ItemPictures] = {}
        self._image_keys: dict[str | None, list[str | None]] = {}
        self._readable_N: dict[str | None, np.ndarray] = {}

    def set_features(self, key: FeatureKey, features: Features) -> None:
        """Set features that were computed elsewhere, so that the encoder is not run."""
        self._features[key] = features

    def set_readable(self, readable_N: np.ndarray, column: str | None = None) -> None:
        """Set which items have a readable picture, (N,) bool, so that none is opened to find out."""
        self._readable_N[column] = readable_N

    def grow(self, catalog: Catalog) -> None:
        """Set a catalogue that has more items after those of this one, for trainable encoders.

        Frozen features do not change: those of the new items are computed by another ``EncodedCatalog``.
        """
        self._grown, self._grown_pictures = catalog, {}

    def text_features(self, config: TextEncoder.Options, column: str = TEXT_COLUMN) -> Features:
        """Return frozen text vectors, from the cache where available.

        Args:
            config: options of the encoder.
            column: column of the texts.
        """
        return self.remembered(
            feature_key(config, column), lambda: self.encode_texts(self.encoder(config), column)
        )

    def image_features(self, config: ImageEncoder.Options, column: str | None = None) -> Features:
        """Return frozen image vectors; unreadable pictures are counted and masked.

        Args:
            config: options of the encoder.
            column: column of the pictures; None for the catalogue's own.
        """
        return self.remembered(
            feature_key(config, column), lambda: self.encode_images(self.encoder(config), column)
        )

    def remembered(self, key: FeatureKey, make: Callable[[], Features]) -> Features:
        """Return features that are computed once."""
        if key not in self._features:
            self._features[key] = make()
        return self._features[key]

    def tuned(self, key: FeatureKey, make: Callable[[], Encoder]) -> Encoder:
        """Return an encoder that is tuned once."""
        if key not in self._tuned:
            self._tuned[key] = make()
        return self._tuned[key]

    def text_keys(self, column: str = TEXT_COLUMN) -> list[str | None]:
        """Return N digests of the texts, None where there is none."""
        texts, known_N = self.catalog.texts(np.arange(len(self.catalog)), column), self.has_text(column)
        return [content_key(t) if known else None for t, known in zip(texts, known_N, strict=True)]

    def encode_texts(self, encoder: TextEncoder, column: str = TEXT_COLUMN) -> Features:
        """Return an encoder's output for the texts of a column, from the cache where available."""
        texts = self.catalog.texts(np.arange(len(self.catalog)), column)
        cache: FeatureCache[str] = FeatureCache(self.cache_dir / "features", encoder.identity, encoder.width)
        return cache.encode_catalog(
            self.text_keys(column),
            lambda wanted: [texts[row] for row in wanted],
            encoder.encode,
            description=_described("text", None if column == TEXT_COLUMN else column),
        )

    def encode_images(self, encoder: ImageEncoder, column: str | None = None) -> Features:
        """Return an encoder's output for the pictures of a column, as :meth:`encode_texts` does for texts."""
        cache: FeatureCache[Image] = FeatureCache(
            self.cache_dir / "features", encoder.identity, encoder.width
        )
        return cache.encode_catalog(
            self.image_keys(column),
            fetch_each(self.pictures(column).image),
            encoder.encode,
            description=_described("image", column),
        )

    def encoder(self, config: TextEncoder.Options | ImageEncoder.Options) -> Any:
        """Return a frozen encoder; it is kept where several catalogues share their encoders."""
        if self._encoders is None:
            return config.build(self.cache_dir)
        key = config.model_dump_json()
        if key not in self._encoders:
            self._encoders[key] = config.build(self.cache_dir)
        return self._encoders[key]

    def has_text(self, column: str = TEXT_COLUMN) -> np.ndarray:
        """Return (N,) bool, which items have a text in a column.

        Raises:
            CatalogError: if there is no such column, or it doesn't hold texts.
        """
        return self.catalog.has_text if column == TEXT_COLUMN else self.catalog.has_text_in(column)

    def pictures(self, column: str | None = None) -> ItemPictures:
        """Return the items' pictures.

        Raises:
            InputError: if there is no such column, or it holds no pictures.
        """
        if column not in self._pictures:
            self._pictures[column] = pictures_of(self.catalog, column)
        return self._pictures[column]

    def image_keys(self, column: str | None = None) -> list[str | None]:
        """Return N digests of the pictures' bytes, None where there is none; files are read once."""
        if column not in self._image_keys:
            self._image_keys[column] = self._hash_images(self.pictures(column))
        return self._image_keys[column]

    def _hash_images(self, pictures: ItemPictures) -> list[str | None]:
        keys: list[str | None] = []
        for row, known in enumerate(pictures.has_N):
            if not known:
                keys.append(None)
                continue
            try:
                keys.append(content_key(pictures.image_bytes(row)))
            except UnreadablePicture:
                # Still a key, so that the encoder tries, counts and masks it.
                keys.append(content_key(f"unreadable picture of {self.catalog.item_ids[row]}"))
        return keys

    def tokens(self, encoder: TextEncoder, rows: np.ndarray, column: str = TEXT_COLUMN) -> dict[str, Tensor]:
        """Return a text encoder's input for items that have a text."""
        return encoder.tokenize(self._grown.texts(rows, column))

    def pixels(self, encoder: ImageEncoder, rows: np.ndarray, column: str | None = None) -> dict[str, Tensor]:
        """Return an image encoder's input for items with a readable picture."""
        if column not in self._grown_pictures:
            self._grown_pictures[column] = pictures_of(self._grown, column)
        source = self._grown_pictures[column]
        pictures = [source.image(int(row)) for row in rows]
        return {"pixels": torch.stack([encoder.preprocess(p) for p in pictures if p is not None])}

    def readable_pictures(self, column: str | None = None) -> np.ndarray:
        """Return which items have a readable picture, (N,) bool; all are read once."""
        if column not in self._readable_N:
            pictures = self.pictures(column)
            fetch = fetch_each(pictures.image)
            readable = pictures.has_N.copy()
            rows = np.flatnonzero(readable)
            for row in rows:  # one at a time: a catalogue of opened pictures would fill memory
                readable[row] = fetch(np.asarray([row]))[0] is not None
            broken = len(rows) - int(readable.sum())
            if broken and distributed.is_main():
                logger.warning("%d of %d pictures can't be read and are masked", broken, len(rows))
            self._readable_N[column] = readable
        return self._readable_N[column]

    def need_pictures(self, readable_N: np.ndarray, key: str, column: str | None = None) -> None:
        """Check that some item has a readable picture.

        Args:
            readable_N: (N,) bool, readable pictures as far as is known.
            key: key of the configuration that reads them, for the message.
            column: column of the pictures; None for the catalogue's own.

        Raises:
            InputError: if none has; the message names the first unreadable one and the reason.
        """
        if not len(readable_N) or readable_N.any():
            return
        pictures = self.pictures(column)
        named = np.flatnonzero(pictures.named_N)
        such = f", such as {pictures.fault(int(named[0]))}" if len(named) else ""
        raise InputError(
            f"{key} reads pictures, but none of the {len(readable_N):,} items has one that can be "
            f"read{such}: set {key}=null, or correct the pictures' paths"
        )


def _described(kind: str, column: str | None) -> str:
    return f"{kind} features" if column is None else f"{kind} features of '{column}'"

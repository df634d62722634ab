"""Builds the network: the one place where catalogue, encoders, fusion and sequence model meet."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from crossrec.encoders.base import Tuning
from crossrec.encoders.cache import FeatureCache, Features, content_key, fetch_each
from crossrec.encoders.image import ImageEncoder
from crossrec.encoders.text import TextEncoder
from crossrec.model.embeddings import ItemGroup, ItemId, SmoothedId
from crossrec.model.fusion.base import SingleModality
from crossrec.model.image_views import viewed_pictures
from crossrec.model.item_encoder import ItemEncoder
from crossrec.model.modalities import FrozenFeatures, Modality, TrainedEncoder
from crossrec.model.network import SequentialNetwork
from crossrec.model.relations import ItemRelations
from crossrec.model.text_views import viewed_texts
from crossrec.model.view_plan import ContentAugmentation, TrainingViews
from crossrec.model.whitening import FeatureMap, Whitening, saved_maps
from crossrec.runtime import distributed
from crossrec.runtime.pictures import UnreadablePicture
from crossrec.types import InputError

if TYPE_CHECKING:
    from PIL.Image import Image

    from crossrec.data.catalog import Catalog
    from crossrec.encoders.image import ImageEncoder
    from crossrec.encoders.text import TextEncoder
    from crossrec.model.config import ModelConfig

logger = logging.getLogger(__name__)

SMALL_STD = 0.02

AnyEncoder = TypeVar("AnyEncoder", TextEncoder.Options, ImageEncoder.Options)


class Content:
    """A catalogue and the encoders' view of it.

    Encoders and frozen features are kept, so that a model and the diversity measures that use the same
    encoder load it once.

    Args:
        catalog: N items.
        cache_dir: where features and converted weights are kept.
        encoders: where frozen encoders are kept after use, by configuration, so that several catalogues share
            them; None to drop each one as soon as all is encoded.
    """

    def __init__(self, catalog: Catalog, cache_dir: Path, encoders: dict[str, Any] | None = None) -> None:
        self.catalog = self._grown = catalog
        self.cache_dir = cache_dir
        self._encoders = encoders
        self._features: dict[str, Features] = {}
        self._image_keys: list[str | None] | None = None
        self._readable_N: np.ndarray | None = None

    def know(self, config: TextEncoder.Options | ImageEncoder.Options, features: Features) -> None:
        """Takes features from elsewhere, in place of what the encoder would make of the catalogue."""
        self._features[config.model_dump_json()] = features

    def know_readable(self, readable_N: np.ndarray) -> None:
        """Takes it from elsewhere which items have a picture that can be read, (N,) bool."""
        self._readable_N = readable_N

    def grow(self, catalog: Catalog) -> None:
        """Takes a catalogue with further items behind its own, for what trained encoders read of items.

        Features stay those of the items that were there: more are made by a content of the further ones.
        """
        self._grown = catalog

    def text_features(self, config: TextEncoder.Options) -> Features:
        """Frozen text vectors of the catalogue, from the cache where they are known."""
        return self._remembered(config, self._encode_texts)

    def image_features(self, config: ImageEncoder.Options) -> Features:
        """Frozen image vectors of the catalogue; pictures that can't be read are counted and masked."""
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
        """N digests of the pictures' bytes, None where there is none; they are read once."""
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

    def text(
        self,
        config: TextEncoder.Options,
        whiten: Whitening | FeatureMap,
        views: TrainingViews | None = None,
    ) -> Modality:
        """The text modality: frozen features, or an encoder in the training step.

        Args:
            config: of the encoder.
            whiten: as ``components`` of :class:`FrozenFeatures`.
            views: which items are augmented and how; None for a network that is not trained.
        """
        if views is not None and views.augment.text is not None:
            return viewed_texts(self, config, whiten, views, views.augment.text)
        if config.training is Tuning.FROZEN:
            features = self.text_features(config)
            return FrozenFeatures(features.vectors_ND, features.present_N, components=whiten)
        encoder = config.build(self.cache_dir)
        return TrainedEncoder(
            encoder, lambda rows: self.tokens(encoder, rows), self.catalog.has_text, encoder.width
        )

    def image(
        self,
        config: ImageEncoder.Options,
        whiten: Whitening | FeatureMap,
        views: TrainingViews | None = None,
    ) -> Modality:
        """The image modality: frozen features, or an encoder in the training step.

        Args:
            config: of the encoder.
            whiten: as ``components`` of :class:`FrozenFeatures`.
            views: which items are augmented and how; None for a network that is not trained.

        Raises:
            InputError: no item has a picture that can be read.
        """
        frozen = config.training is Tuning.FROZEN
        self.need_pictures(self.image_features(config).present_N if frozen else self.readable_pictures())
        if views is not None and views.augment.image is not None:
            return viewed_pictures(self, config, whiten, views, views.augment.image)
        if frozen:
            features = self.image_features(config)
            return FrozenFeatures(features.vectors_ND, features.present_N, components=whiten)
        encoder = config.build(self.cache_dir)
        return TrainedEncoder(
            encoder, lambda rows: self.pixels(encoder, rows), self.readable_pictures(), encoder.width
        )

    def tokens(self, encoder: TextEncoder, rows: np.ndarray) -> dict[str, Tensor]:
        """What a text encoder takes, for items that have a text."""
        return encoder.tokenize(self._grown.texts(rows))

    def pixels(self, encoder: ImageEncoder, rows: np.ndarray) -> dict[str, Tensor]:
        """What an image encoder takes, for items that have a picture that can be read."""
        pictures = [self._grown.image(int(row)) for row in rows]
        return {"pixels": torch.stack([encoder.preprocess(p) for p in pictures if p is not None])}

    def readable_pictures(self) -> np.ndarray:
        """(N,) bool, which items have a picture that can be read; reads them all, once."""
        if self._readable_N is None:
            fetch = fetch_each(self.catalog.image)
            readable = self.catalog.has_image.copy()
            rows = np.flatnonzero(readable)
            for row in rows:  # one at a time: a catalogue of opened pictures fills no memory
                readable[row] = fetch(np.asarray([row]))[0] is not None
            broken = len(rows) - int(readable.sum())
            if broken and distributed.is_main():
                logger.warning("%d of %d pictures can't be read and are masked", broken, len(rows))
            self._readable_N = readable
        return self._readable_N

    def need_pictures(self, readable_N: np.ndarray) -> None:
        """Checks that some item has a picture that can be read.

        Raises:
            InputError: none has; names the first that can't be read, and why.
        """
        if not len(readable_N) or readable_N.any():
            return
        named = np.flatnonzero(self.catalog.names_image)
        such = f", such as {self.catalog.image_fault(int(named[0]))}" if len(named) else ""
        raise InputError(
            f"model.image reads pictures, but none of the {len(readable_N):,} items has one that can be "
            f"read{such}: set model.image=null, or correct the pictures' paths"
        )


def build_network(
    config: ModelConfig,
    content: Content,
    train_counts: np.ndarray,
    seed: int,
    augment: ContentAugmentation | None = None,
    relations: ItemRelations | None = None,
    saved: Mapping[str, Tensor] | None = None,
) -> SequentialNetwork:
    """An untrained network; pretrained parts are loaded, new parts depend on the seed alone.

    Args:
        config: of the model.
        content: catalogue and encoders.
        train_counts: (N,) training clicks; an item without any has no id embedding and no views.
        seed: of the initial weights and of the views.
        augment: views of texts and pictures for the training; None for a network that is only used, which
            has the same weights and gives the same scores.
        relations: groups and neighbours of the items, for a model that knows items by them.
        saved: weights that will be loaded: features are mapped as they were for them, whatever the items
            are now.

    Raises:
        InputError: views are asked for of content that the model does not read.
        ValueError: the model knows items by groups or neighbours, and they are not given.
    """
    views = None if augment is None else TrainingViews(augment, train_counts > 0, seed)
    _check_views(config, augment)
    maps: dict[str, FeatureMap] = {} if saved is None else saved_maps(saved)
    modalities: dict[str, Modality] = {}
    if config.text is not None:
        modalities["text"] = content.text(config.text, maps.get("text", config.whiten), views)
    if config.image is not None:
        modalities["image"] = content.image(config.image, maps.get("image", config.whiten), views)
    torch.manual_seed(seed)
    relations = relations or ItemRelations()
    clicked_N = train_counts > 0 if relations.trained is None else relations.trained
    modalities |= _trained_vectors(config, clicked_N, relations)
    # Ids alone need no layers; projected features of one modality still gain from the fusion's.
    ids_alone = list(modalities) == ["id"]
    fusion = (
        SingleModality(1, config.width) if ids_alone else config.fusion.build(len(modalities), config.width)
    )
    items = ItemEncoder(
        modalities,
        fusion,
        config.width,
        dropout=config.item_dropout,
        modality_dropout=config.modality_dropout,
    )
    sequence = config.sequence.build(config.width, content.cache_dir)
    return SequentialNetwork(
        items,
        sequence,
        len(train_counts),
        similarity=config.similarity,
        temperature=config.temperature,
        # Small ids need no other bound; dividing by the square root of D too would weaken each step.
        dot_scale=1.0 if ids_alone else None,
        history_scale=1 / SMALL_STD if ids_alone else 1.0,
    )


def _trained_vectors(
    config: ModelConfig, clicked_N: np.ndarray, relations: ItemRelations
) -> dict[str, Modality]:
    """Embeddings of the items themselves and of their groups, as far as the model has them."""
    found: dict[str, Modality] = {}
    std = _id_std(config)
    if config.item_id and config.smoothing is None:
        found["id"] = ItemId(clicked_N, config.width, std)
    elif config.smoothing is not None:
        if relations.neighbours is None:
            raise ValueError("model.smoothing needs the items' neighbours")
        share = config.smoothing.share
        found["id"] = SmoothedId(clicked_N, config.width, std, relations.neighbours, share)
    if config.item_group:
        if relations.groups is None:
            raise ValueError("model.item_group needs the items' groups")
        found["group"] = ItemGroup(relations.groups, config.width, std)
    return found


def _id_std(config: ModelConfig) -> float | None:
    """Of id embeddings at the start: dot products of long random vectors would be noise that a loss with few
    negatives takes very long to unlearn; a cosine doesn't see the length."""
    return SMALL_STD if config.similarity == "dot" else None


def _check_views(config: ModelConfig, augment: ContentAugmentation | None) -> None:
    if augment is None:
        return
    for name, views, encoder in (
        ("text", augment.text, config.text),
        ("image", augment.image, config.image),
    ):
        if views is not None and encoder is None:
            raise InputError(
                f"augment.{name} asks for views, but model.{name} is null: set augment.{name}=null, or give "
                f"the model a {name} encoder"
            )

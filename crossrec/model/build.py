"""Construction of the network from catalogue, encoders, fusion and sequence model."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from crossrec.encoders.base import Tuning
from crossrec.encoders.image import ImageEncoder
from crossrec.encoders.text import TextEncoder
from crossrec.model.config import ModelConfig
from crossrec.model.encoded_catalog import EncodedCatalog
from crossrec.model.fusion.base import SingleModality
from crossrec.model.modalities import (
    FrozenFeatures,
    ItemGroupEmbedding,
    ItemIdEmbedding,
    Modality,
    SmoothedIdEmbedding,
    TrainableEncoder,
)
from crossrec.model.network import ItemEncoder, SequentialNetwork
from crossrec.model.relations import ItemRelations
from crossrec.model.variants import (
    ContentAugmentation,
    TrainingVariants,
    image_with_variants,
    text_with_variants,
)
from crossrec.model.whitening import FeatureMap, Whitening, saved_maps
from crossrec.types import InputError

SMALL_STD = 0.02


def build_network(
    config: ModelConfig,
    content: EncodedCatalog,
    train_counts: np.ndarray,
    seed: int,
    augment: ContentAugmentation | None = None,
    relations: ItemRelations | None = None,
    saved: Mapping[str, Tensor] | None = None,
) -> SequentialNetwork:
    """Return an untrained network; pretrained parts are loaded, new parts depend on the seed alone.

    Args:
        config: configuration of the model.
        content: catalogue and encoders.
        train_counts: (N,) training clicks; an item without any has no id embedding and no variants.
        seed: seed of the initial weights and of the variants.
        augment: variants of texts and pictures for training; None for inference, with the same weights and
            scores.
        relations: groups and neighbours of the items, for a model that uses them.
        saved: weights that will be loaded: features are whitened with their statistics, whatever the
            current items.

    Raises:
        InputError: if there are variants of content that the model does not read.
        ValueError: if the model uses groups or neighbours, and they are not given.
    """
    variants = None if augment is None else TrainingVariants(augment, train_counts > 0, seed)
    _check_variants(config, augment)
    maps: dict[str, FeatureMap] = {} if saved is None else saved_maps(saved)
    modalities: dict[str, Modality] = {}
    if config.text is not None:
        modalities["text"] = text_modality(content, config.text, maps.get("text", config.whiten), variants)
    if config.image is not None:
        modalities["image"] = image_modality(
            content, config.image, maps.get("image", config.whiten), variants
        )
    torch.manual_seed(seed)
    relations = relations or ItemRelations()
    clicked_N = train_counts > 0 if relations.trained is None else relations.trained
    modalities |= _trained_vectors(config, clicked_N, relations)
    # Ids alone need no layers; projected features of one modality still benefit from the fusion's.
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
        # Small id vectors need no other bound; dividing by the square root of D too would weaken each step.
        dot_scale=1.0 if ids_alone else None,
        history_scale=1 / SMALL_STD if ids_alone else 1.0,
    )


def text_modality(
    content: EncodedCatalog,
    config: TextEncoder.Options,
    whiten: Whitening | FeatureMap,
    variants: TrainingVariants | None = None,
) -> Modality:
    """Return the text modality: frozen features, or an encoder in the training step.

    Args:
        content: catalogue and its encoded features.
        config: options of the encoder.
        whiten: see ``components`` of :class:`FrozenFeatures`.
        variants: training items and options of their variants; None for a network that is not trained.
    """
    if variants is not None and variants.augment.text is not None:
        return text_with_variants(content, config, whiten, variants, variants.augment.text)
    if config.training is Tuning.FROZEN:
        features = content.text_features(config)
        return FrozenFeatures(features.vectors_ND, features.present_N, components=whiten)
    encoder = config.build(content.cache_dir)
    return TrainableEncoder(
        encoder, lambda rows: content.tokens(encoder, rows), content.catalog.has_text, encoder.width
    )


def image_modality(
    content: EncodedCatalog,
    config: ImageEncoder.Options,
    whiten: Whitening | FeatureMap,
    variants: TrainingVariants | None = None,
) -> Modality:
    """Return the image modality: frozen features, or an encoder in the training step.

    Args:
        content: catalogue and its encoded features.
        config: options of the encoder.
        whiten: see ``components`` of :class:`FrozenFeatures`.
        variants: training items and options of their variants; None for a network that is not trained.

    Raises:
        InputError: if no item has a readable picture.
    """
    frozen = config.training is Tuning.FROZEN
    content.need_pictures(content.image_features(config).present_N if frozen else content.readable_pictures())
    if variants is not None and variants.augment.image is not None:
        return image_with_variants(content, config, whiten, variants, variants.augment.image)
    if frozen:
        features = content.image_features(config)
        return FrozenFeatures(features.vectors_ND, features.present_N, components=whiten)
    encoder = config.build(content.cache_dir)
    return TrainableEncoder(
        encoder, lambda rows: content.pixels(encoder, rows), content.readable_pictures(), encoder.width
    )


def _trained_vectors(
    config: ModelConfig, clicked_N: np.ndarray, relations: ItemRelations
) -> dict[str, Modality]:
    """Return the configured learned embeddings of items and of their groups."""
    found: dict[str, Modality] = {}
    std = _id_std(config)
    if config.item_id and config.smoothing is None:
        found["id"] = ItemIdEmbedding(clicked_N, config.width, std)
    elif config.smoothing is not None:
        if relations.neighbours is None:
            raise ValueError("model.smoothing needs the items' neighbours")
        share = config.smoothing.share
        found["id"] = SmoothedIdEmbedding(clicked_N, config.width, std, relations.neighbours, share)
    if config.item_group:
        if relations.groups is None:
            raise ValueError("model.item_group needs the items' groups")
        found["group"] = ItemGroupEmbedding(relations.groups, config.width, std)
    return found


def _id_std(config: ModelConfig) -> float | None:
    """Return the initial standard deviation of id embeddings.

    Dot products of long random vectors would be noise that a loss with few negatives unlearns slowly; a
    cosine does not depend on the length.
    """
    return SMALL_STD if config.similarity == "dot" else None


def _check_variants(config: ModelConfig, augment: ContentAugmentation | None) -> None:
    if augment is None:
        return
    for name, variants, encoder in (
        ("text", augment.text, config.text),
        ("image", augment.image, config.image),
    ):
        if variants is not None and encoder is None:
            raise InputError(
                f"augment.{name} makes variants, but model.{name} is null: set augment.{name}=null, or "
                f"give the model a {name} encoder"
            )

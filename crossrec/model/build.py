"""Construction of the network from catalogue, encoders, fusion and sequence model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from crossrec.model.config import ModelConfig
from crossrec.model.encoded_catalog import EncodedCatalog
from crossrec.model.fusion.base import SingleModality
from crossrec.model.modalities.base import ItemModality, ModalityInputs
from crossrec.model.modalities.layers import Modality
from crossrec.model.neighbours import NeighbourScores
from crossrec.model.network import ItemEncoder, SequentialNetwork
from crossrec.model.relations import PREFIX, ItemRelations
from crossrec.model.semantic_ids.decoder import CodeDecoder
from crossrec.model.semantic_ids.network import GenerativeNetwork, new_ids, saved_ids
from crossrec.model.sequence.semantic_id import SemanticId
from crossrec.model.variants import ContentAugmentation, TrainingVariants
from crossrec.model.whitening import FeatureMap, saved_maps
from crossrec.types import InputError

SMALL_STD = 0.02
FUSION = "items.fusion."
"""Prefix of the fusion's weights in a network's."""
SEQUENCE = "sequence."
"""Prefix of the sequence model's."""


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
    parts = config.build_modalities()
    _check_variants(config, augment)
    relations = relations or ItemRelations()
    maps: dict[str, FeatureMap] = {} if saved is None else saved_maps(saved)
    clicked_N = train_counts > 0
    inputs = ModalityInputs(
        content,
        config.width,
        clicked_N,
        whiten=config.whiten,
        variants=None if augment is None else TrainingVariants(augment, clicked_N, seed),
        id_std=_id_std(config),
        groups=relations.groups,
        neighbours=relations.neighbours,
    )
    made: dict[str, Modality] = {}
    # Loaded parts come first, so that random weights do not depend on how encoders are built.
    for seeded in (False, True):
        if seeded:
            torch.manual_seed(seed)
        for name, part in parts.items():
            if part.seeded is seeded:
                own = _inputs_of(part, inputs, maps, relations, saved)
                made[name] = part.network(replace(own, modules=dict(made)))
    modalities = {name: made[name] for name in parts}
    # Ids alone need no layers; projected features of one modality still benefit from the fusion's.
    ids_alone = list(modalities) == [config.id_name]
    fusion = (
        SingleModality(1, config.width) if ids_alone else config.fusion.build(len(modalities), config.width)
    )
    fusion.follow(_within(FUSION, saved))
    items = ItemEncoder(
        modalities,
        fusion,
        config.width,
        dropout=config.item_dropout,
        modality_dropout=config.modality_dropout,
    )
    sequence_options = config.sequence.follow(_within(SEQUENCE, saved))
    sequence = sequence_options.build(config.width, content.cache_dir)
    if isinstance(sequence_options, SemanticId.Options):
        ids = saved_ids(saved or {}) or new_ids(items, sequence_options, train_counts, seed, content.train)
        decoder = CodeDecoder(sequence_options, config.width, ids.sizes, sequence_options.decoder_layers)
        return GenerativeNetwork(
            items,
            sequence,
            len(train_counts),
            similarity=config.similarity,
            ids=ids,
            decoder=decoder,
            beam=sequence_options.beam,
            prefix_vectors=sequence_options.prefix_vectors,
        )
    network = SequentialNetwork(
        items,
        sequence,
        len(train_counts),
        similarity=config.similarity,
        temperature=config.temperature,
        # Small id vectors need no other bound; dividing by the square root of D too would weaken each step.
        dot_scale=1.0 if ids_alone else None,
        history_scale=1 / SMALL_STD if ids_alone else 1.0,
    )
    network.neighbours = None if saved is None else NeighbourScores.from_saved(saved)
    return network


def _within(prefix: str, saved: Mapping[str, Tensor] | None) -> dict[str, Tensor]:
    """Return the saved weights of one part under their names within it."""
    saved = saved or {}
    return {name.removeprefix(prefix): weight for name, weight in saved.items() if name.startswith(prefix)}


def _inputs_of(
    part: ItemModality,
    inputs: ModalityInputs,
    maps: Mapping[str, FeatureMap],
    relations: ItemRelations,
    saved: Mapping[str, Tensor] | None,
) -> ModalityInputs:
    """Return the inputs of one modality: with its saved statistics, and its saved rows if it is learned."""
    own = _within(f"{PREFIX}{part.name}.", saved)
    trained_N = relations.trained if part.learned and relations.trained is not None else inputs.trained_N
    return replace(inputs, whiten=maps.get(part.name, inputs.whiten), trained_N=trained_N, saved=own)


def _id_std(config: ModelConfig) -> float | None:
    """Return the initial standard deviation of id embeddings.

    Dot products of long random vectors would be noise that a loss with few negatives unlearns slowly; a
    cosine does not depend on the length.
    """
    return SMALL_STD if config.similarity == "dot" else None


def _check_variants(config: ModelConfig, augment: ContentAugmentation | None) -> None:
    if augment is None:
        return
    for kind, variants in (("text", augment.text), ("image", augment.image)):
        if variants is not None and not config.of_type(kind):
            raise InputError(
                f"augment.{kind} makes variants, but model.{kind} is null (no modality is of this type): "
                f"set augment.{kind}=null, or give the model a {kind} encoder"
            )

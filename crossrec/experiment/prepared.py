"""An experiment before training: data, encoded catalog, features of items, network."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from torch import Tensor

from crossrec.augment.config import AugmentConfig
from crossrec.config import Config
from crossrec.data.dataset import Dataset
from crossrec.data.identity import DataIdentity
from crossrec.data.item_table import BEHAVIOUR, CONTENT, MODEL, ItemTable, VectorSpace
from crossrec.data.neighbours import CLICKS, find_neighbours
from crossrec.data.prepare import PreparedData
from crossrec.data.segments import ClusterAssignment, cluster_items, cluster_users
from crossrec.encoders.cache import Features
from crossrec.experiment.config import ExperimentConfig, SpacesConfig
from crossrec.model.build import build_network
from crossrec.model.encoded_catalog import EncodedCatalog
from crossrec.model.fusion import FUSIONS
from crossrec.model.neighbours import PREFIX as NEIGHBOURS
from crossrec.model.network import SequentialNetwork
from crossrec.model.recommender import NeuralRecommender
from crossrec.model.relations import ItemRelations, align_rows, n_item_rows
from crossrec.model.sequence import SEQUENCE_MODELS
from crossrec.model.text_scored import TextScoredRecommender
from crossrec.rerank import RERANKERS
from crossrec.rerank.recommender import RerankConfig
from crossrec.runtime import distributed
from crossrec.training.checkpoint import SavedState, load_tensors, read_state, saved_identity
from crossrec.types import InputError, Sequences
from crossrec.vectors import centred_rows, unit_rows

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class PreparedExperiment:
    """An experiment before training: configuration, data, encoded catalogue, and derived features.

    Args:
        config: configuration of the experiment.
        data: cleaned and split data.
        content: catalogue as input of the encoders.
    """

    config: ExperimentConfig
    data: PreparedData
    content: EncodedCatalog

    @classmethod
    def of(cls, config: ExperimentConfig) -> PreparedExperiment:
        """Load and split the configured data; every process must call this."""
        return cls.on(Dataset.from_config(config.data).split(repeats=config.evaluation.repeats), config)

    @classmethod
    def on(cls, data: PreparedData, config: ExperimentConfig) -> PreparedExperiment:
        """Return an experiment on given data.

        Items are in the order of the training of a run of this name, followed by new ones.
        """
        return cls(config, data, encoded_catalog(data)).in_saved_order()

    @cached_property
    def trained_on(self) -> DataIdentity | None:
        """Identity of the data of the run's weights; None if there are none, or it wasn't saved."""
        return saved_identity(self.config.run_folder / "checkpoints")

    def in_saved_order(self) -> PreparedExperiment:
        """Return the experiment with items in the order of its run's training, followed by new items.

        Ties break by item index, so that lists and figures don't depend on how a catalogue is sorted.
        """
        if self.trained_on is None:
            return self
        order = self.trained_on.align(self.data.catalog.item_ids).order
        if (order == np.arange(len(order))).all():
            return self
        data = self.data.reordered(order)
        return PreparedExperiment(self.config, data, encoded_catalog(data))

    @cached_property
    def items(self) -> ItemTable:
        """Features of the items; every process must read it first at the same time, since it encodes."""
        return item_table(self.data, self.config.spaces, self.content)

    def items_of(self, recommender: NeuralRecommender | TextScoredRecommender) -> ItemTable:
        """Return the items' features with a recommender's item vectors as space ``model``, on its device."""
        return self.items.with_space(MODEL, recommender.item_vectors())

    @cached_property
    def segments(self) -> ClusterAssignment | None:
        """Segments of the users, from their training clicks; None if not configured."""
        config = self.config.segments
        return None if config is None else cluster_users(self.data, config, self.config.evaluation.tail_share)

    @cached_property
    def item_groups(self) -> ClusterAssignment | None:
        """Groups of the items, for slices and optionally a modality; None if not configured."""
        return None if self.config.segments is None else cluster_items(self.data, self.config.segments)

    def network(self) -> SequentialNetwork:
        """Return an untrained network, with the variants of items for training."""
        for part in self.config.model.build_modalities().values():
            part.check_catalog(self.content)
        relations = self.relations(self.data.split.train)
        return self._network(relations, self.config.augment)

    def trained_network(self, weights: Path) -> SequentialNetwork:
        """Return a trained network for inference, with the item relations of its training.

        Its rows follow item ids: known items keep their learned vectors, new ones are cold items.

        Args:
            weights: weights of the network.

        Raises:
            InputError: if the weights are of another model, or of a catalogue of another size whose item ids
                were not saved.
        """
        tensors = self._aligned(read_state(weights), weights)
        if self.config.neighbours is None:
            tensors = {name: value for name, value in tensors.items() if not name.startswith(NEIGHBOURS)}
        relations = ItemRelations.from_checkpoint(tensors, self.config.model, weights)
        network = self._network(relations, None, tensors)
        load_tensors(network, tensors, weights)
        return network

    def _aligned(self, saved: SavedState, weights: Path) -> dict[str, Tensor]:
        """Return the weights' tensors with their rows in the order of the catalogue."""
        n_rows, n_items = n_item_rows(saved.tensors), len(self.data.catalog)
        if saved.identity is not None:
            alignment = saved.identity.align(self.data.catalog.item_ids)
            if not alignment.same_items and distributed.is_main():
                logger.warning("%s: %s", self.config.run_folder, alignment.describe())
            return saved.tensors if alignment.in_place else align_rows(saved.tensors, alignment.rows)
        if n_rows not in (None, n_items):
            raise InputError(
                f"{weights} was saved without item ids, for a catalogue of {n_rows:,} items; there are "
                f"{n_items:,} now: use the catalogue of the training, or train the run again"
            )
        if n_rows is not None and distributed.is_main():
            logger.warning(
                "%s was saved without item ids: whether the catalogue still has the same items in the same "
                "order can't be checked; train the run again to be safe",
                weights,
            )
        return saved.tensors

    def _network(
        self,
        relations: ItemRelations,
        augment: AugmentConfig | None,
        saved: Mapping[str, Tensor] | None = None,
    ) -> SequentialNetwork:
        counts, config = self.data.split.train_counts, self.config
        return build_network(config.model, self.content, counts, config.seed, augment, relations, saved)

    def relations(self, train: Sequences) -> ItemRelations:
        """Return groups and neighbours of the items, as far as the model uses them.

        Args:
            train: clicks from which neighbours are computed; content similarity is over all items, and groups
                are those of the split.
        """
        model, neighbours = self.config.model, None
        if model.smoothing is not None:
            wanted = model.smoothing
            content = None if wanted.similarity == CLICKS else content_vectors(self)
            n_items = self.data.split.n_items
            neighbours = find_neighbours(train, n_items, wanted.neighbours, wanted.similarity, content)
        groups = None if model.group_name is None else self.item_groups
        return ItemRelations(None if groups is None else groups.labels, neighbours)


def encoded_catalog(data: PreparedData) -> EncodedCatalog:
    """Return the data's catalogue as input of the encoders, which may be tuned on its training clicks."""
    config = data.config
    return EncodedCatalog(data.catalog, config.cache_dir, root=config.root, train=data.split.train)


def describe_model(config: ExperimentConfig) -> str:
    """Return the model's name in tables: sequence model, modalities and fusion."""
    model = config.model
    parts = model.build_modalities()
    known = sorted(parts, key=lambda name: not parts[name].learned)
    sequence = model.sequence
    reader = _short(SEQUENCE_MODELS.name_of(sequence))
    if sequence.has_adapters:
        reader += " + LoRA"
    fused = f", {_short(FUSIONS.name_of(model.fusion))}" if len(known) > 1 else ""
    mixed = "" if config.neighbours is None else " + item-kNN"
    return f"{reader} ({'+'.join(known)}{fused}){mixed}"


def _short(name: str) -> str:
    """Return the name in a family, or the class name without module for a class outside the project."""
    return name.rpartition(":")[2]


def describe_reranking(config: RerankConfig) -> str:
    """Return the name of a reranker chain in tables: each stage's type, with its strength if it has one.

    A quota's batches are named too, since their lists depend on each other, and an order by score.
    """
    return " + ".join(_describe_stage(stage) for stage in config.stages)


def _describe_stage(stage: Config) -> str:
    strength = getattr(stage, "diversity", None)
    name = _short(RERANKERS.name_of(stage))
    batches = f" in batches of {batch}" if (batch := getattr(stage, "batch", 1)) > 1 else ""
    by_score = " by score" if getattr(stage, "order", "choice") == "score" else ""
    return (name if strength is None else f"{name} {strength:g}") + batches + by_score


def item_table(data: PreparedData, config: SpacesConfig, content: EncodedCatalog) -> ItemTable:
    """Return the items' features: training clicks, categories, columns, texts, and frozen encoders' vectors.

    Spaces are ``text``, ``image``, their concatenation (``content``), and ``behaviour``, which is computed on
    first use; a space without any vector is omitted, and so are its metrics. Columns are the price and the
    catalogue's further columns of numbers, texts, times or booleans.
    """
    catalog, spaces = data.catalog, dict[str, VectorSpace]()
    if config.text is not None and catalog.has_text.any():
        spaces["text"] = _centred_unit(content.text_features(config.text))
    if config.image is not None and catalog.has_image.any():
        spaces["image"] = _centred_unit(content.image_features(config.image))
    if spaces:
        both = np.concatenate([np.asarray(space.vectors_ND) for space in spaces.values()], axis=1)
        present = np.logical_or.reduce([space.present_N for space in spaces.values()])
        spaces[CONTENT] = VectorSpace(both, present)
    return data.with_behaviour(data.item_table(spaces), config.behaviour)


def blank_item_table(data: PreparedData, config: SpacesConfig) -> ItemTable:
    """Return the table before encoding, with zeros in every space, to check that no input is missing."""
    catalog, n_items = data.catalog, len(data.catalog)
    has = {
        "text": config.text is not None and catalog.has_text.any(),
        "image": config.image is not None and catalog.has_image.any(),
    }
    names = [name for name, there in has.items() if there]
    names += [CONTENT] if names else []
    names += [BEHAVIOUR] if config.behaviour is not None and data.has_co_clicks else []
    blank = VectorSpace(np.zeros((n_items, 1), np.float32), np.zeros(n_items, dtype=bool))
    return data.item_table(dict.fromkeys(names, blank))


def _centred_unit(features: Features) -> VectorSpace:
    """Return unit vectors after centring: without it, all vectors of a CNN are similar."""
    present = features.present_N
    vectors = np.asarray(features.vectors_ND, dtype=np.float32)
    return VectorSpace(unit_rows(centred_rows(vectors, present)), present)


def frozen_features(prepared: PreparedExperiment) -> dict[str, Features]:
    """Return frozen features by the name of their modality, as far as any item has them."""
    parts = prepared.config.model.build_modalities()
    found = {name: part.features(prepared.content) for name, part in parts.items()}
    return {
        name: features
        for name, features in found.items()
        if features is not None and features.present_N.any()
    }


def content_vectors(prepared: PreparedExperiment) -> np.ndarray | None:
    """Return (N, W) concatenated frozen features, each of unit length about its training mean."""
    trained_N = prepared.data.split.train_counts > 0
    parts = []
    for features in frozen_features(prepared).values():
        present, vectors = features.present_N, np.asarray(features.vectors_ND, np.float32)
        known = present & trained_N
        centred = centred_rows(vectors, present, vectors[known].mean(0)) if known.any() else vectors
        parts.append(unit_rows(centred))
    return np.concatenate(parts, axis=1) if parts else None

"""Puts the parts of an experiment together: data, encoders' view of it, network, recommender."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from crossrec.config import Config
from crossrec.data.neighbours import CLICKS, find_neighbours
from crossrec.data.prepare import PreparedData, prepare
from crossrec.evaluation.facts import ItemFacts
from crossrec.experiment.config import ExperimentConfig
from crossrec.experiment.features import content_vectors
from crossrec.experiment.spaces import item_facts
from crossrec.model.build import Content, build_network
from crossrec.model.fusion import FUSIONS
from crossrec.model.relations import ItemRelations, align_rows, n_item_rows
from crossrec.model.sequence import SEQUENCE_MODELS
from crossrec.rerank import RERANKERS
from crossrec.runtime import distributed
from crossrec.training.checkpoint import SavedState, load_tensors, read_state, saved_identity
from crossrec.types import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor

    from crossrec.augment.config import AugmentConfig
    from crossrec.data.identity import DataIdentity
    from crossrec.data.segments import Groups
    from crossrec.model.network import SequentialNetwork
    from crossrec.rerank.recommender import RerankConfig
    from crossrec.types import Sequences

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Setting:
    """An experiment's configuration and everything that depends on it but is not trained.

    Args:
        config: of the experiment.
        data: cleaned and divided.
        content: the catalogue as encoders see it.
    """

    config: ExperimentConfig
    data: PreparedData
    content: Content

    @classmethod
    def of(cls, config: ExperimentConfig) -> Setting:
        """Loads and divides the data; every process must call this.

        Items stand in the order that a run of this name was trained with, new ones behind them.
        """
        data = prepare(config.data, repeats=config.evaluation.repeats)
        return cls(config, data, Content(data.catalog, config.data.cache_dir)).in_saved_order()

    @cached_property
    def trained_on(self) -> DataIdentity | None:
        """The data that the run's weights were trained on; None where there are none, or they don't tell."""
        return saved_identity(self.config.run_folder / "checkpoints")

    def in_saved_order(self) -> Setting:
        """The same experiment with items in the order that its run was trained with, new ones behind them.

        Ties break by item index, so that lists and figures don't depend on how a catalogue is sorted.
        """
        if self.trained_on is None:
            return self
        order = self.trained_on.align(self.data.catalog.item_ids).order
        if (order == np.arange(len(order))).all():
            return self
        data = self.data.reordered(order)
        return Setting(self.config, data, Content(data.catalog, self.content.cache_dir))

    @cached_property
    def facts(self) -> ItemFacts:
        """What metrics may know of the items."""
        return item_facts(self.data, self.config.spaces, self.content)

    @cached_property
    def segments(self) -> Groups | None:
        """Segments of the users, from their training clicks; None where the configuration has none."""
        config = self.config.segments
        return None if config is None else config.user_segments(self.data, self.config.evaluation.tail_share)

    @cached_property
    def item_groups(self) -> Groups | None:
        """Groups of the items: slices of the results, perhaps a modality; None where not configured."""
        return None if self.config.segments is None else self.config.segments.item_groups(self.data)

    def network(self) -> SequentialNetwork:
        """A network as it is before training, with the views of items that training looks at."""
        if self.config.model.image is not None:
            self.content.need_pictures(self.data.catalog.has_image)
        relations = self.relations(self.data.split.train)
        return self._network(relations, self.config.augment)

    def trained_network(self, weights: Path) -> SequentialNetwork:
        """A trained network for use alone, with the relations of the items that it was trained with.

        Its rows follow item ids: known items keep what was learned of them, new ones are cold items.

        Args:
            weights: of the network.

        Raises:
            InputError: the weights are of another model, or of a catalogue whose items they don't name and
                of which there is another number.
        """
        tensors = self._aligned(read_state(weights), weights)
        relations = ItemRelations.saved(tensors, self.config.model, weights)
        network = self._network(relations, None, tensors)
        load_tensors(network, tensors, weights)
        return network

    def _aligned(self, saved: SavedState, weights: Path) -> dict[str, Tensor]:
        """The weights' tensors with their rows in the order of the catalogue."""
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
        """Groups and neighbours of the items, where the model knows items by them.

        Args:
            train: clicks that neighbours are found by; similarity by content is that of all items, groups
                are those of the split.
        """
        model, neighbours = self.config.model, None
        if model.smoothing is not None:
            wanted = model.smoothing
            content = None if wanted.similarity == CLICKS else content_vectors(self)
            n_items = self.data.split.n_items
            neighbours = find_neighbours(train, n_items, wanted.neighbours, wanted.similarity, content)
        groups = self.item_groups if model.item_group else None
        return ItemRelations(None if groups is None else groups.labels, neighbours)


def describe_model(config: ExperimentConfig) -> str:
    """How tables call the model: what reads the history, what items are known by, and how that is fused."""
    model = config.model
    parts = {
        "id": model.item_id,
        "group": model.item_group,
        "text": model.text is not None,
        "image": model.image is not None,
    }
    known = [name for name, used in parts.items() if used]
    sequence = model.sequence
    reader = _short(SEQUENCE_MODELS.name_of(sequence))
    if sequence.has_adapters:
        reader += " + LoRA"
    fused = f", {_short(FUSIONS.name_of(model.fusion))}" if len(known) > 1 else ""
    return f"{reader} ({'+'.join(known)}{fused})"


def _short(name: str) -> str:
    """Name in a family, or that of a class outside the project without its module."""
    return name.rpartition(":")[2]


def describe_reranking(config: RerankConfig) -> str:
    """How tables call a chain of rerankers: each stage's type, with its strength where it has one."""
    return " + ".join(_describe_stage(stage) for stage in config.stages)


def _describe_stage(stage: Config) -> str:
    strength = getattr(stage, "diversity", None)
    name = _short(RERANKERS.name_of(stage))
    return name if strength is None else f"{name} {strength:g}"

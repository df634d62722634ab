"""Puts the parts of an experiment together: data, encoders' view of it, network, recommender."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from crossrec.config import Config
from crossrec.data.neighbours import CLICKS, find_neighbours
from crossrec.data.prepare import PreparedData, prepare
from crossrec.evaluation.facts import ItemFacts
from crossrec.experiment.config import ExperimentConfig
from crossrec.experiment.features import content_vectors
from crossrec.experiment.spaces import item_facts
from crossrec.model.build import Content, build_network
from crossrec.model.relations import ItemRelations
from crossrec.sequence.config import LLMConfig
from crossrec.training.checkpoint import load_trained_state

if TYPE_CHECKING:
    from pathlib import Path

    from crossrec.augment.config import AugmentConfig
    from crossrec.data.segments import Groups
    from crossrec.model.network import SequentialNetwork
    from crossrec.rerank.config import RerankConfig
    from crossrec.types import Sequences


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
        """Loads and divides the data; every process must call this."""
        data = prepare(config.data, repeats=config.evaluation.repeats)
        return cls(config, data, Content(data.catalog, config.data.cache_dir))

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
        relations = self.relations(self.data.split.train)
        return self._network(relations, self.config.augment)

    def trained_network(self, weights: Path) -> SequentialNetwork:
        """A trained network for use alone, with the relations of the items that it was trained with.

        Args:
            weights: of the network.

        Raises:
            InputError: the weights are of another model.
        """
        network = self._network(ItemRelations.saved(weights, self.config.model), None)
        load_trained_state(network, weights)
        return network

    def _network(self, relations: ItemRelations, augment: AugmentConfig | None) -> SequentialNetwork:
        counts = self.data.split.train_counts
        return build_network(self.config.model, self.content, counts, self.config.seed, augment, relations)

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
    reader = str(getattr(sequence, "type", type(sequence).__name__))
    if isinstance(sequence, LLMConfig) and sequence.lora is not None:
        reader += " + LoRA"
    fused = f", {getattr(model.fusion, 'type', type(model.fusion).__name__)}" if len(known) > 1 else ""
    return f"{reader} ({'+'.join(known)}{fused})"


def describe_reranking(config: RerankConfig) -> str:
    """How tables call a chain of rerankers: each stage's type, with its strength where it has one."""
    return " + ".join(_describe_stage(stage) for stage in config.stages)


def _describe_stage(stage: Config) -> str:
    strength = getattr(stage, "diversity", None)
    name = str(getattr(stage, "type", type(stage).__name__))
    return name if strength is None else f"{name} {strength:g}"

"""Synthetic items and users for one fit: generators are fitted on the training split, then sampled."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from pydantic import TypeAdapter
from torch import Tensor, nn

from crossrec.augment.base import Schedule
from crossrec.augment.generators import VectorGeneratorOptions
from crossrec.augment.generators.application import (
    ClassSource,
    PrincipalComponents,
    Sample,
    SynthesisUseConfig,
    SyntheticItems,
    SyntheticItemsConfig,
    SyntheticUsers,
    SyntheticUsersConfig,
    few_click_users,
    oversampled_items,
    synthesise_items,
    synthesise_users,
    user_profiles,
)
from crossrec.augment.generators.fit import LabeledSamples, TrainingSamples, fit_generator, held_back_share
from crossrec.augment.generators.store import load_generator
from crossrec.augment.guard import LeakageChecker
from crossrec.config import ComponentOptions, outside_classes
from crossrec.data.segments import ClusterAssignment
from crossrec.encoders.cache import Features
from crossrec.experiment.prepared import PreparedExperiment, frozen_features
from crossrec.model.modalities.layers import FrozenFeatures
from crossrec.model.variant_modalities import VariantChoice
from crossrec.runtime import distributed
from crossrec.runtime.files import write_text
from crossrec.types import ABSENT, InputError, Sequences
from crossrec.vectors import unit_rows

if TYPE_CHECKING:
    from accelerate import Accelerator

logger = logging.getLogger(__name__)

QUALITY_FILE = "quality.json"
VERSION = 1
"""Version, to be increased with any change of generators' data or fit, so that they are fitted again."""

STREAM = "synthetic"
"""Random stream shared by all modalities, so that an item is synthetic as a whole."""


def item_classes(
    prepared: PreparedExperiment, source: ClassSource, max_classes: int
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return the items' classes.

    Args:
        prepared: prepared experiment.
        source: ``categories``, or ``segments`` for the item groups.
        max_classes: number of most frequent categories to keep; all groups are kept.

    Returns:
        (N, G) float32 membership, and G names.

    Raises:
        InputError: if groups are chosen and the experiment has none.
    """
    if source == "segments":
        return _of_groups(prepared.item_groups)
    data = prepared.data
    members = data.catalog.category_matrix
    sizes = np.asarray(members[data.split.train_counts > 0].sum(0)).ravel()
    chosen = np.sort(np.argsort(-sizes, kind="stable")[:max_classes])
    names = tuple(data.catalog.category_names[place] for place in chosen)
    return members[:, chosen].toarray().astype(np.float32), names


def segment_classes(prepared: PreparedExperiment) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return (U, G) float32 membership of users in their segments, and G names.

    Raises:
        InputError: if the experiment has no segments.
    """
    return _of_groups(prepared.segments)


def _of_groups(groups: ClusterAssignment | None) -> tuple[np.ndarray, tuple[str, ...]]:
    if groups is None:
        raise InputError(
            "classes: segments tells generators the groups of the section 'segments', which the "
            "configuration lacks: add it, or set classes to categories"
        )
    labels, n_groups = groups.labels, len(groups.notes)
    members = np.zeros((len(labels), n_groups), np.float32)
    known = np.flatnonzero(labels != ABSENT)
    members[known, labels[known]] = 1
    return members, tuple(str(group) for group in range(n_groups))


@dataclass
class Synthesis:
    """Generators over frozen item features and over user profiles, fitted on the training split alone.

    A fitted generator is cached under a digest of its inputs, so that runs with the same inputs share it.

    Args:
        prepared: prepared experiment.
        train: training clicks, checked.
        guard: leakage checker of the generators' inputs.
        accelerator: accelerator of this process.
        wanted: options of the synthetic data.

    Attributes:
        quality: quality metrics of each generator used so far.
    """

    prepared: PreparedExperiment
    train: Sequences
    guard: LeakageChecker
    accelerator: Accelerator
    wanted: SynthesisUseConfig
    quality: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def _features(self) -> Mapping[str, Features]:
        return required_features(self.prepared)

    @cached_property
    def _classes(self) -> tuple[np.ndarray, tuple[str, ...]]:
        """(N, G) float32 membership of the items, and the classes' names."""
        return item_classes(self.prepared, self.wanted.classes, self.wanted.max_classes)

    @cached_property
    def _user_classes(self) -> tuple[np.ndarray, tuple[str, ...]]:
        """(U, G) float32 shares of a user's clicks in each class of items, or the user's segment."""
        if self.wanted.classes == "segments":
            return segment_classes(self.prepared)
        members, names = self._classes
        return user_profiles(self.train, members), names

    @cached_property
    def _reduced(self) -> dict[str, tuple[PrincipalComponents, np.ndarray]]:
        """Space -> PCA of training items' features, and all items' coordinates (N, C), zeros if missing."""
        counts = self.prepared.data.split.train_counts
        found = {}
        for space, features in self._features.items():
            own = np.flatnonzero(features.present_N & (counts > 0))
            self.guard.check_items(own, f"the PCA of {space} features")
            reduction = PrincipalComponents.of(np.asarray(features.vectors_ND[own]), self.wanted.components)
            coordinates = reduction(np.asarray(features.vectors_ND))
            found[space] = reduction, np.where(features.present_N[:, None], coordinates, 0)
        return found

    def items(self, config: SyntheticItemsConfig, seed: int) -> dict[str, SyntheticItems]:
        """Return the synthetic items of tail categories by space, as vectors of its encoder."""
        return {space: self._items(space, config, seed) for space in wanted_spaces(config, self._features)}

    def _items(self, space: str, config: SyntheticItemsConfig, seed: int) -> SyntheticItems:
        data, features = self.prepared.data, self._features[space]
        counts, categories = data.split.train_counts, data.catalog.category_matrix
        reduction, coordinates = self._reduced[space]
        enlarged = oversampled_items(categories, counts, features.present_N, config.tail_share)
        own = np.flatnonzero(features.present_N & (counts > 0))
        self.guard.check_items(own, f"the generator of {space} features")
        classes, names = self._classes
        material = LabeledSamples(coordinates[own], classes[own], names)
        sample = self._fitted(config.generator, material, f"{space} features", seed)
        made = synthesise_items(coordinates, enlarged, classes, sample, config, len(own), seed)
        moved = made.vectors - coordinates[enlarged][:, None, :]
        # The part that PCA omits is kept: synthetic items would otherwise be recognisable by its absence.
        vectors = np.asarray(features.vectors_ND[enlarged])[:, None, :] + reduction.direction(moved)
        return SyntheticItems(enlarged, vectors.astype(np.float32), made.n_training)

    def users(self, config: SyntheticUsersConfig, seed: int) -> SyntheticUsers:
        """Return synthetic users like those with few clicks."""
        few_click_users(self.train, config.max_clicks)
        vectors = np.concatenate(
            [unit_rows(coordinates) for _, coordinates in self._reduced.values()], axis=1
        )
        classes, names = self._user_classes
        profiles = user_profiles(self.train, vectors)
        own = np.flatnonzero(self.train.lengths >= 2)
        self.guard.check_sequences(self.train, "the generator of user profiles")
        material = LabeledSamples(profiles[own], classes[own], names)
        sample = self._fitted(config.generator, material, "user profiles", seed)
        return synthesise_users(self.train, vectors, classes, sample, config, seed)

    def _fitted(self, options: ComponentOptions, material: LabeledSamples, what: str, seed: int) -> Sample:
        """Return a generator, fitted by the main process or found in the cache."""
        own_name = f"{what.replace(' ', '-')}-{_digest(options, material, seed)}"
        # The main process's digest: another machine may round features differently.
        name = distributed.gather_objects(own_name)[0]
        folder = self.prepared.config.data.cache_dir / "synthesis" / name
        try:
            if distributed.is_main() and not (folder / QUALITY_FILE).exists():
                self._fit(options, material, what, seed, folder)
        finally:
            distributed.barrier()  # also after an error, so that no process waits forever
        named = outside_classes(self.prepared.config.model_dump(mode="json"))
        generator = load_generator(folder, trust_code=named)
        self.quality[what] = json.loads((folder / QUALITY_FILE).read_text(encoding="utf-8"))
        return lambda wanted, draw: generator.sample(wanted, draw).samples

    def _fit(
        self, options: ComponentOptions, material: LabeledSamples, what: str, seed: int, folder: Path
    ) -> None:
        data = TrainingSamples.divide(material.samples, material.classes, held_back_share(options), seed)
        fitted = fit_generator(
            options,
            data,
            seed=seed,
            folder=folder,
            accelerator=self.accelerator,
            class_names=material.class_names,
        )
        for warning in fitted.warnings:
            logger.warning("generator of %s: %s", what, warning)
        content = {**fitted.quality.row(), "warnings": [str(warning) for warning in fitted.warnings]}
        write_text(folder / QUALITY_FILE, json.dumps(content, indent=2) + "\n")


def required_features(prepared: PreparedExperiment) -> dict[str, Features]:
    """Return the model's frozen features, at least one.

    Raises:
        InputError: if there are none.
    """
    found = frozen_features(prepared)
    if not found:
        raise InputError(
            "augment.synthesis generates features of frozen encoders, and this model has none: give it "
            "model.text or model.image with training: frozen, or vectors, or set augment.synthesis=null"
        )
    return found


def wanted_spaces(config: SyntheticItemsConfig, features: Mapping[str, Features]) -> list[str]:
    """Return the configured spaces that the model has.

    Raises:
        InputError: if there is none.
    """
    wanted: list[str] = [space for space in config.spaces if space in features]
    if not wanted:
        raise InputError(
            f"augment.synthesis.items.spaces={list(config.spaces)}, but the model's frozen features are "
            f"{sorted(features)}"
        )
    return wanted


def _digest(options: ComponentOptions, material: LabeledSamples, seed: int) -> str:
    wanted = TypeAdapter(VectorGeneratorOptions).dump_json(options).decode()
    digest = hashlib.blake2b(f"{VERSION} {wanted} {seed}".encode(), digest_size=12)
    for array in (material.samples, material.classes):
        digest.update(np.ascontiguousarray(array, np.float32).tobytes())
    return digest.hexdigest()


class SyntheticLookups(nn.Module):
    """Replacement of some of a modality's vectors by synthetic items' vectors, in training only.

    It is a forward hook of the modality without saved state: checkpoints are the same with and without it,
    and evaluation, which loads one, never has it.

    Args:
        found: synthetic items of this modality, as encoder output.
        modality: modality that maps them like real items.
        share: probability that an oversampled item is synthetic in a step: in all its modalities that have
            synthetic items, or in none.
        schedule: factor of the share over the training.
        seed: seed of the experiment.
    """

    counts: Tensor
    starts: Tensor
    vectors: Tensor

    def __init__(
        self, found: SyntheticItems, modality: FrozenFeatures, share: float, schedule: Schedule, seed: int
    ) -> None:
        super().__init__()
        self.choice = VariantChoice(share, schedule, seed, STREAM)
        n_items, (n_enlarged, each, width) = len(modality.present), found.vectors.shape
        counts, starts = np.zeros(n_items, np.int64), np.zeros(n_items, np.int64)
        counts[found.items] = each
        starts[found.items] = np.arange(n_enlarged) * each
        raw = torch.from_numpy(np.ascontiguousarray(found.vectors, np.float32)).reshape(-1, width)
        self.register_buffer("counts", torch.from_numpy(counts), persistent=False)
        self.register_buffer("starts", torch.from_numpy(starts), persistent=False)
        self.register_buffer("vectors", modality.transform(raw.to(modality.mean.device)), persistent=False)

    def forward(self, items_K: Tensor, originals_KW: Tensor) -> Tensor:
        """Return (K, width) vectors, some of them synthetic in training."""
        if not self.training:
            return originals_KW
        chosen_K = self.choice(items_K, self.counts[items_K])
        synthetic_K = chosen_K >= 0
        places_K = (self.starts[items_K] + chosen_K).where(synthetic_K, 0)
        return self.vectors[places_K].where(synthetic_K.unsqueeze(1), originals_KW)

    def attach(self, modality: FrozenFeatures) -> None:
        """Attach this to the modality whose vectors it replaces."""
        modality.add_module("synthetic", self.train(modality.training))
        modality.register_forward_hook(_replace)


def _replace(modality: nn.Module, inputs: tuple[Tensor], output: Tensor) -> Tensor:
    found: Tensor = modality.get_submodule("synthetic")(inputs[0], output)
    return found

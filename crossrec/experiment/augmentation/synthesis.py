"""Fits generators on the training part, and makes synthetic items and users of them."""

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
from pydantic import TypeAdapter

from crossrec.augment.generators import VectorGeneratorOptions
from crossrec.augment.generators.application import (
    Sample,
    SyntheticItems,
    SyntheticItemsConfig,
    SyntheticUsers,
    SyntheticUsersConfig,
    few_click_users,
    oversampled_items,
    synthesise_items,
    synthesise_users,
    unit_rows,
    user_profiles,
)
from crossrec.augment.generators.fit import TrainingSamples, fit_generator, held_back_share
from crossrec.augment.generators.store import load_generator
from crossrec.config import ComponentOptions, outside_classes
from crossrec.experiment.augmentation.classes import Material, item_classes, segment_classes
from crossrec.experiment.augmentation.reduction import Reduction
from crossrec.experiment.prepared import frozen_features
from crossrec.runtime import distributed
from crossrec.runtime.files import write_text
from crossrec.types import InputError, Sequences

if TYPE_CHECKING:
    from accelerate import Accelerator

    from crossrec.augment.generators.application import SynthesisUseConfig
    from crossrec.augment.guard import LeakageChecker
    from crossrec.encoders.cache import Features
    from crossrec.experiment.prepared import PreparedExperiment

logger = logging.getLogger(__name__)

QUALITY_FILE = "quality.json"

VERSION = 1
"""Raise with any change of what generators are fitted on or how, so that cached ones are fitted anew."""


@dataclass
class Synthesis:
    """Generators over frozen item features and over user profiles, fitted on the training part alone.

    A fitted generator is kept in the cache under a digest of all that it hangs on, so that runs that differ
    in something else share it.

    Args:
        setting: of the experiment.
        train: training clicks, checked.
        guard: looks at what generators are fitted on.
        accelerator: of this process.
        wanted: what is generated, of what.

    Attributes:
        quality: figures of each generator used so far.
    """

    setting: PreparedExperiment
    train: Sequences
    guard: LeakageChecker
    accelerator: Accelerator
    wanted: SynthesisUseConfig
    quality: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def _features(self) -> Mapping[str, Features]:
        return required_features(self.setting)

    @cached_property
    def _classes(self) -> tuple[np.ndarray, tuple[str, ...]]:
        """(N, G) float32 membership of the items, and the classes' names."""
        return item_classes(self.setting, self.wanted.classes, self.wanted.max_classes)

    @cached_property
    def _user_classes(self) -> tuple[np.ndarray, tuple[str, ...]]:
        """(U, G) float32 shares of a user's clicks in each class of items, or the user's segment."""
        if self.wanted.classes == "segments":
            return segment_classes(self.setting)
        members, names = self._classes
        return user_profiles(self.train, members), names

    @cached_property
    def _reduced(self) -> dict[str, tuple[Reduction, np.ndarray]]:
        """Space -> PCA of training items' features, and all items' coordinates (N, C), zeros if missing."""
        counts = self.setting.data.split.train_counts
        found = {}
        for space, features in self._features.items():
            own = np.flatnonzero(features.present_N & (counts > 0))
            self.guard.check_items(own, f"the PCA of {space} features")
            reduction = Reduction.of(np.asarray(features.vectors_ND[own]), self.wanted.components)
            coordinates = reduction(np.asarray(features.vectors_ND))
            found[space] = reduction, np.where(features.present_N[:, None], coordinates, 0)
        return found

    def items(self, config: SyntheticItemsConfig, seed: int) -> dict[str, SyntheticItems]:
        """Space -> synthetic items of tail categories, as the space's encoder would see them."""
        return {space: self._items(space, config, seed) for space in wanted_spaces(config, self._features)}

    def _items(self, space: str, config: SyntheticItemsConfig, seed: int) -> SyntheticItems:
        data, features = self.setting.data, self._features[space]
        counts, categories = data.split.train_counts, data.catalog.category_matrix
        reduction, coordinates = self._reduced[space]
        enlarged = oversampled_items(categories, counts, features.present_N, config.tail_share)
        own = np.flatnonzero(features.present_N & (counts > 0))
        self.guard.check_items(own, f"the generator of {space} features")
        classes, names = self._classes
        material = Material(coordinates[own], classes[own], names)
        sample = self._fitted(config.generator, material, f"{space} features", seed)
        made = synthesise_items(coordinates, enlarged, classes, sample, config, len(own), seed)
        moved = made.vectors - coordinates[enlarged][:, None, :]
        # Whatever PCA left out of an item stays: a synthetic one would otherwise be told by lacking it.
        vectors = np.asarray(features.vectors_ND[enlarged])[:, None, :] + reduction.direction(moved)
        return SyntheticItems(enlarged, vectors.astype(np.float32), made.n_training)

    def users(self, config: SyntheticUsersConfig, seed: int) -> SyntheticUsers:
        """Synthetic users like those with few clicks."""
        few_click_users(self.train, config.max_clicks)
        vectors = np.concatenate(
            [unit_rows(coordinates) for _, coordinates in self._reduced.values()], axis=1
        )
        classes, names = self._user_classes
        profiles = user_profiles(self.train, vectors)
        own = np.flatnonzero(self.train.lengths >= 2)
        self.guard.check_sequences(self.train, "the generator of user profiles")
        material = Material(profiles[own], classes[own], names)
        sample = self._fitted(config.generator, material, "user profiles", seed)
        return synthesise_users(self.train, vectors, classes, sample, config, seed)

    def _fitted(self, options: ComponentOptions, material: Material, what: str, seed: int) -> Sample:
        """A generator, fitted by the main process or found in the cache."""
        own_name = f"{what.replace(' ', '-')}-{_digest(options, material, seed)}"
        # The main process's: another machine may round features otherwise, and would look elsewhere.
        name = distributed.gather_objects(own_name)[0]
        folder = self.setting.config.data.cache_dir / "synthesis" / name
        try:
            if distributed.is_main() and not (folder / QUALITY_FILE).exists():
                self._fit(options, material, what, seed, folder)
        finally:
            distributed.barrier()  # also after an error, so that no process waits for ever
        named = outside_classes(self.setting.config.model_dump(mode="json"))
        generator = load_generator(folder, trust_code=named)
        self.quality[what] = json.loads((folder / QUALITY_FILE).read_text(encoding="utf-8"))
        return lambda wanted, draw: generator.sample(wanted, draw).samples

    def _fit(self, options: ComponentOptions, material: Material, what: str, seed: int, folder: Path) -> None:
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


def required_features(setting: PreparedExperiment) -> dict[str, Features]:
    """As :func:`frozen_features`.

    Raises:
        InputError: there are none.
    """
    found = frozen_features(setting)
    if not found:
        raise InputError(
            "augment.synthesis generates features of frozen encoders, and this model has none: give it "
            "model.text or model.image with training: frozen, or set augment.synthesis=null"
        )
    return found


def wanted_spaces(config: SyntheticItemsConfig, features: Mapping[str, Features]) -> list[str]:
    """The spaces that are generated: those of the configuration that the model has.

    Raises:
        InputError: there is none.
    """
    wanted: list[str] = [space for space in config.spaces if space in features]
    if not wanted:
        raise InputError(
            f"augment.synthesis.items.spaces={list(config.spaces)}, but the model's frozen features are "
            f"{sorted(features)}"
        )
    return wanted


def _digest(options: ComponentOptions, material: Material, seed: int) -> str:
    wanted = TypeAdapter(VectorGeneratorOptions).dump_json(options).decode()
    digest = hashlib.blake2b(f"{VERSION} {wanted} {seed}".encode(), digest_size=12)
    for array in (material.samples, material.classes):
        digest.update(np.ascontiguousarray(array, np.float32).tobytes())
    return digest.hexdigest()

"""What generators learn from: training items and users alone, as vectors or pictures."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from crossrec.ablation.synthesis.config import SpaceName, SynthesisConfig
from crossrec.augment.synthesis.pictures import to_images, to_samples
from crossrec.encoders.cache import Features, fetch_each
from crossrec.experiment.assembly import Setting
from crossrec.experiment.augmentation.classes import Material, item_classes, segment_classes
from crossrec.model.modalities import FrozenFeatures
from crossrec.model.whitening import Whitening
from crossrec.types import InputError

LEAST_CLICKS = 2
"""Training clicks from which on a user has a profile."""


def vectors(setting: Setting, space: SpaceName, config: SynthesisConfig) -> Material:
    """The training items' features or the users' profiles.

    Raises:
        InputError: the run's model has no such features.
    """
    if space == "profile":
        return _profiles(setting, config)
    features = _features(setting, space)
    rows = np.flatnonzero((setting.data.split.train_counts > 0) & features.present_N)
    _need(rows, f"training item with {space} features")
    classes, names = item_classes(setting, config.classes, config.max_classes)
    return Material(_transformed(features, rows, config.components), classes[rows], names)


def pictures(setting: Setting, config: SynthesisConfig) -> Material:
    """The training items' pictures at 64 pixels; broken ones are logged and left out."""
    catalog = setting.data.catalog
    rows = np.flatnonzero((setting.data.split.train_counts > 0) & catalog.has_image)
    found = fetch_each(catalog.image)(rows)
    readable = np.asarray([picture is not None for picture in found], dtype=bool)
    _need(rows[readable], "training item with a picture")
    classes, names = item_classes(setting, config.classes, config.max_classes)
    samples = to_samples(picture for picture in found if picture is not None)
    return Material(samples, classes[rows[readable]], names)


def picture_encoder(setting: Setting) -> Callable[[np.ndarray], np.ndarray]:
    """Maps (n, 3, 64, 64) samples to vectors of the run's image encoder, in which they are compared."""
    wanted = setting.config.model.image
    if wanted is None:
        raise InputError("model.image: the run has no image encoder to compare pictures with; name one")
    encoder = wanted.build(setting.config.data.cache_dir)
    return lambda samples: encoder.encode(to_images(samples))


def _features(setting: Setting, space: SpaceName) -> Features:
    model = setting.config.model
    if space == "text" and model.text is not None:
        return setting.content.text_features(model.text)
    if space == "image" and model.image is not None:
        return setting.content.image_features(model.image)
    raise InputError(f"spaces: {space} needs model.{space}, which this run's configuration leaves out")


def _transformed(features: Features, rows: np.ndarray, components: Whitening) -> np.ndarray:
    """Features as a model takes them, whitened with statistics of these rows alone."""
    own = np.asarray(features.vectors_ND[rows])
    module = FrozenFeatures(own, np.ones(len(rows), dtype=bool), components=components)
    return np.asarray(module(torch.arange(len(rows))).numpy(), np.float32)


def _profiles(setting: Setting, config: SynthesisConfig) -> Material:
    """Mean features of users' training clicks, with the category that they click most or their segment."""
    train = setting.data.split.train
    users = np.flatnonzero(train.lengths >= LEAST_CLICKS)
    _need(users, f"user with {LEAST_CLICKS} training clicks")
    values = _item_values(setting, config.components)
    means = np.stack([values[train.row(user)].mean(0) for user in users.tolist()])
    if config.classes == "segments":
        members, names = segment_classes(setting)
        classes = members[users]
    else:
        of_items, names = item_classes(setting, config.classes, config.max_classes)
        counts = np.stack([of_items[train.row(user)].sum(0) for user in users.tolist()])
        classes = np.eye(len(names), dtype=np.float32)[counts.argmax(1)] if names else counts
    reduced = FrozenFeatures(means, np.ones(len(users), dtype=bool), components=config.components)
    return Material(reduced(torch.arange(len(users))).numpy(), classes, names)


def _item_values(setting: Setting, components: Whitening) -> np.ndarray:
    """(N, D) all features that the run's model has, side by side; zeros for items without training clicks."""
    parts = []
    spaces: tuple[SpaceName, ...] = ("text", "image")
    for space in spaces:
        if getattr(setting.config.model, space) is None:
            continue
        features = _features(setting, space)
        rows = np.flatnonzero((setting.data.split.train_counts > 0) & features.present_N)
        _need(rows, f"training item with {space} features")
        made = _transformed(features, rows, components)
        full = np.zeros((len(setting.data.catalog), made.shape[1]), np.float32)
        full[rows] = made
        parts.append(full)
    _need(parts, "features that profiles are made of (model.text or model.image)")
    return np.concatenate(parts, 1)


def _need(found: object, what: str) -> None:
    if not len(found):  # type: ignore[arg-type]
        raise InputError(f"no {what}; there is nothing to learn from")

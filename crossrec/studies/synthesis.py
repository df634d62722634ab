"""Study of generators: train, sample, measure, show."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import torch
from pydantic import BeforeValidator, Field, PlainSerializer, PositiveInt

from crossrec.augment.generators import GENERATORS, VectorGeneratorOptions
from crossrec.augment.generators.application import ClassSource
from crossrec.augment.generators.beta_vae import BetaVae
from crossrec.augment.generators.fit import (
    Fitted,
    LabeledSamples,
    TrainingSamples,
    fit_generator,
    held_back_share,
)
from crossrec.augment.generators.gaussian import Gaussian
from crossrec.augment.generators.image_gan import ImageGan, save_grid, to_images, to_samples
from crossrec.augment.generators.loop import Line
from crossrec.augment.generators.quality import manifold
from crossrec.augment.generators.wgan_gp import WganGp
from crossrec.config import ComponentOptions, Config
from crossrec.encoders.cache import Features, fetch_each
from crossrec.experiment.prepared import PreparedExperiment, frozen_features
from crossrec.experiment.results import console, show
from crossrec.experiment.run_folder import load_experiment
from crossrec.experiment.synthesis import item_classes, segment_classes
from crossrec.model.modalities.layers import FrozenFeatures
from crossrec.model.whitening import Whitening
from crossrec.runtime import distributed
from crossrec.runtime.device import pick_device
from crossrec.runtime.files import write_text
from crossrec.studies.folder import write_config
from crossrec.studies.synthesis_report import quality_table, write_report
from crossrec.types import InputError

if TYPE_CHECKING:
    from accelerate import Accelerator


PROFILE = "profile"
"""The space of users' profiles; the other spaces are named like the run's modalities."""


def _member(name: str) -> BeforeValidator:
    """Read one generator's options, with or without its ``type``."""
    return BeforeValidator(
        lambda value: GENERATORS.parse({"type": name, **value}) if isinstance(value, Mapping) else value
    )


_DUMPED = PlainSerializer(GENERATORS.dump)


class SynthesisConfig(Config):
    """Configuration of a study of generators: data, spaces and generators.

    Args:
        base: configuration file of a run, with data and encoders.
        changes: overrides of the run.
        out: folder of the results; a killed study is resumed.
        spaces: spaces to generate: frozen features by name of the modality, such as ``text`` and ``image``,
            or ``profile``, the users' profiles (means of the features of their training clicks).
        components: number of whitened dimensions of frozen features, or auto, as in ``model.whiten``; null
            only centres and scales them.
        generators: generators of vectors.
        gaussian: options of the Gaussian baseline.
        image_gan: generator of pictures; null for none.
        classes: conditioning labels: categories (a user's is the one clicked most), or the k-means groups of
            items and users of the base's section ``segments``.
        max_classes: maximum number of categories, the most frequent ones.
        grid: columns and rows of the pictures shown.
        seed: seed of all random numbers.
        device: device of the generators.
    """

    base: Path
    changes: tuple[str, ...] = ()
    out: Path = Path("runs/synthesis")
    spaces: tuple[str, ...] = ("text", "image")
    components: Annotated[int, Field(ge=2, le=65_536)] | Literal["auto"] | None = 64
    generators: tuple[VectorGeneratorOptions, ...] = (WganGp.Options(), BetaVae.Options())
    gaussian: Annotated[Gaussian.Options, _member("gaussian"), _DUMPED] = Gaussian.Options()
    image_gan: Annotated[ImageGan.Options, _member("image_gan"), _DUMPED] | None = ImageGan.Options()
    classes: ClassSource = "categories"
    max_classes: int = Field(64, ge=1)
    grid: tuple[PositiveInt, PositiveInt] = (12, 6)
    seed: int = Field(0, ge=0)
    device: str = "auto"


LEAST_CLICKS = 2
"""Minimum number of training clicks of a user with a profile."""


def vectors(prepared: PreparedExperiment, space: str, config: SynthesisConfig) -> LabeledSamples:
    """Return the training items' features or the users' profiles.

    Raises:
        InputError: if the run's model has no such features.
    """
    if space == PROFILE:
        return _profiles(prepared, config)
    features = _features(prepared, space)
    rows = np.flatnonzero((prepared.data.split.train_counts > 0) & features.present_N)
    _need(rows, f"training item with {space} features")
    classes, names = item_classes(prepared, config.classes, config.max_classes)
    return LabeledSamples(_transformed(features, rows, config.components), classes[rows], names)


def pictures(prepared: PreparedExperiment, config: SynthesisConfig) -> LabeledSamples:
    """Return the training items' pictures at 64 pixels; broken ones are logged and left out."""
    catalog = prepared.data.catalog
    rows = np.flatnonzero((prepared.data.split.train_counts > 0) & catalog.has_image)
    found = fetch_each(catalog.image)(rows)
    readable = np.asarray([picture is not None for picture in found], dtype=bool)
    _need(rows[readable], "training item with a picture")
    classes, names = item_classes(prepared, config.classes, config.max_classes)
    samples = to_samples(picture for picture in found if picture is not None)
    return LabeledSamples(samples, classes[rows[readable]], names)


def picture_encoder(prepared: PreparedExperiment) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function from (n, 3, 64, 64) samples to vectors of the run's image encoder."""
    wanted = next(iter(prepared.config.model.of_type("image").values()), None)
    if wanted is None:
        raise InputError("model.image: the run has no image encoder to compare pictures with; name one")
    encoder = wanted.encoder_options().build(prepared.config.data.cache_dir)
    return lambda samples: encoder.encode(to_images(samples))


def _features(prepared: PreparedExperiment, space: str) -> Features:
    parts = prepared.config.model.build_modalities()
    features = parts[space].features(prepared.content) if space in parts else None
    if features is None:
        raise InputError(
            f"spaces: {space} needs model.{space} with frozen features, which this run leaves "
            f"out; it has {', '.join(parts)}"
        )
    return features


def _transformed(features: Features, rows: np.ndarray, components: Whitening) -> np.ndarray:
    """Return features as a model takes them, whitened with statistics of these rows alone."""
    own = np.asarray(features.vectors_ND[rows])
    module = FrozenFeatures(own, np.ones(len(rows), dtype=bool), components=components)
    return np.asarray(module(torch.arange(len(rows))).numpy(), np.float32)


def _profiles(prepared: PreparedExperiment, config: SynthesisConfig) -> LabeledSamples:
    """Return mean features of users' training clicks, with their most clicked category or their segment."""
    train = prepared.data.split.train
    users = np.flatnonzero(train.lengths >= LEAST_CLICKS)
    _need(users, f"user with {LEAST_CLICKS} training clicks")
    values = _item_values(prepared, config.components)
    means = np.stack([values[train.row(user)].mean(0) for user in users.tolist()])
    if config.classes == "segments":
        members, names = segment_classes(prepared)
        classes = members[users]
    else:
        of_items, names = item_classes(prepared, config.classes, config.max_classes)
        counts = np.stack([of_items[train.row(user)].sum(0) for user in users.tolist()])
        classes = np.eye(len(names), dtype=np.float32)[counts.argmax(1)] if names else counts
    reduced = FrozenFeatures(means, np.ones(len(users), dtype=bool), components=config.components)
    return LabeledSamples(reduced(torch.arange(len(users))).numpy(), classes, names)


def _item_values(prepared: PreparedExperiment, components: Whitening) -> np.ndarray:
    """Return (N, D) concatenated features of the run's model; zeros for items without training clicks."""
    parts = []
    for space, features in frozen_features(prepared).items():
        rows = np.flatnonzero((prepared.data.split.train_counts > 0) & features.present_N)
        _need(rows, f"training item with {space} features")
        made = _transformed(features, rows, components)
        full = np.zeros((len(prepared.data.catalog), made.shape[1]), np.float32)
        full[rows] = made
        parts.append(full)
    _need(parts, "features that profiles are made of (model.text or model.image)")
    return np.concatenate(parts, 1)


def _need(found: object, what: str) -> None:
    if not len(found):  # type: ignore[arg-type]
        raise InputError(f"no {what} to learn from")


RESULTS_FILE, PAGE_FILE = "quality.json", "synthesis.html"
REAL_GRID, SYNTHETIC_GRID = "pictures_real.png", "pictures_synthetic.png"


PICTURES = "pictures"
GRID_SEED = 7


def run_synthesis(config: SynthesisConfig) -> None:
    """Train every generator on every space, measure them, and write folder, page and table.

    Trained generators are not trained again; a killed training is resumed.

    Raises:
        InputError: for missing features or pictures, or several processes.
    """
    distributed.require_one_process("a study of generators")
    accelerator = _accelerator(config)
    prepared = PreparedExperiment.of(load_experiment(config.base, config.changes))
    show(f"Data: {prepared.data.name}" + (f" ({prepared.data.note})" if prepared.data.note else ""))
    spaces: list[dict[str, Any]] = []
    logs: dict[str, dict[str, list[Line]]] = {}
    for space in config.spaces:
        material = vectors(prepared, space, config)
        spaces.append(
            _space(space, material, (config.gaussian, *config.generators), config, accelerator, logs)
        )
    if config.image_gan is not None:
        material = pictures(prepared, config)
        encode = picture_encoder(prepared)
        spaces.append(_space(PICTURES, material, (config.image_gan,), config, accelerator, logs, encode))
    found = {"data": prepared.data.name, "note": prepared.data.note, "seed": config.seed, "spaces": spaces}
    text = write_config(config.out, config)
    # Figures of a tiny space may be undefined, which is NaN in this file.
    write_text(config.out / RESULTS_FILE, json.dumps(found, indent=2) + "\n")
    write_report(config.out / PAGE_FILE, found, logs, _grids(config), text)
    for entry in spaces:
        console().print(quality_table(entry))
    show(f"Curves, grids and all numbers: {config.out / PAGE_FILE}, {config.out / RESULTS_FILE}")


def _space(
    name: str,
    material: LabeledSamples,
    generators: tuple[ComponentOptions, ...],
    config: SynthesisConfig,
    accelerator: Accelerator,
    logs: dict[str, dict[str, list[Line]]],
    encode: Callable[[np.ndarray], np.ndarray] | None = None,
) -> dict[str, Any]:
    """Train and measure all generators of one space; their logs are added to ``logs``."""
    # One share for all generators of a space, so that they are compared on the same samples.
    held_back = held_back_share(*generators)
    data = TrainingSamples.divide(material.samples, material.classes, held_back, config.seed)
    show(f"{name}: {int(data.learned.sum()):,} training samples, {int((~data.learned).sum()):,} held back")
    rows, logs[name] = [], {}
    for generator in generators:
        kind = GENERATORS.name_of(generator)
        folder = config.out / name / kind
        fitted = fit_generator(
            generator,
            data,
            seed=config.seed,
            folder=folder,
            accelerator=accelerator,
            class_names=material.class_names,
            encode=encode,
        )
        if fitted.outcome is not None:
            logs[name][kind] = fitted.outcome.log
        if name == PICTURES:
            _save_grids(config, data, fitted)
        rows.append(_row(fitted))
        for warning in fitted.warnings:
            show(f"  warning, {kind}: {warning}")
    return {
        "name": name,
        "shape": list(material.samples.shape[1:]),
        "classes": len(material.class_names),
        "real": _real_halves(data, config.seed, encode),
        "generators": rows,
    }


def _row(fitted: Fitted) -> dict[str, Any]:
    outcome = fitted.outcome
    return {
        "type": GENERATORS.name_of(fitted.generator.options),
        **fitted.quality.row(),
        "warnings": [str(warning) for warning in fitted.warnings],
        "report": fitted.report,
        "steps": outcome.steps if outcome else None,
        "best_step": outcome.best_step if outcome else None,
    }


def _real_halves(
    data: TrainingSamples, seed: int, encode: Callable[[np.ndarray], np.ndarray] | None
) -> dict[str, float]:
    """Return the overlap of two halves of the real training samples: the score of a perfect generator."""
    real = data.samples[data.learned]
    real = real if encode is None else encode(real)
    order = np.random.default_rng(seed).permutation(len(real))
    half = len(real) // 2
    return asdict(manifold(real[order[:half]], real[order[half : 2 * half]]))


def _save_grids(config: SynthesisConfig, data: TrainingSamples, fitted: Fitted) -> None:
    """Save grids of real pictures and generated ones of the same classes."""
    columns, lines = config.grid
    rows = np.flatnonzero(data.learned)
    order = np.random.default_rng([config.seed, GRID_SEED]).permutation(len(rows))
    rows = rows[order[: columns * lines]]
    # Equal classes stand side by side.
    chosen = rows[np.lexsort(data.classes[rows].T)]
    samples = fitted.generator.sample(data.classes[chosen], GRID_SEED).samples
    save_grid(config.out / REAL_GRID, data.samples[chosen], columns)
    save_grid(config.out / SYNTHETIC_GRID, samples, columns)


def _grids(config: SynthesisConfig) -> dict[str, bytes]:
    """Return PNG grids by heading."""
    if config.image_gan is None:
        return {}
    titles = {"Synthetic pictures": SYNTHETIC_GRID, "Real training pictures": REAL_GRID}
    return {title: (config.out / name).read_bytes() for title, name in titles.items()}


def _accelerator(config: SynthesisConfig) -> Accelerator:
    from accelerate import Accelerator

    return Accelerator(cpu=pick_device(config.device).type == "cpu")

"""A whole study of generators: train, sample, measure, look."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml

from crossrec.ablation.synthesis.config import SynthesisConfig
from crossrec.ablation.synthesis.material import picture_encoder, pictures, vectors
from crossrec.ablation.synthesis.page import write_page
from crossrec.ablation.synthesis.tables import quality_table
from crossrec.augment.synthesis.fit import Fitted, TrainingSamples, fit_generator
from crossrec.augment.synthesis.log import Line
from crossrec.augment.synthesis.pictures import save_grid
from crossrec.augment.synthesis.quality import manifold
from crossrec.experiment.assembly import Setting
from crossrec.experiment.augmentation.classes import Material
from crossrec.experiment.run_folder import load_experiment
from crossrec.experiment.tables import console, show
from crossrec.runtime import distributed
from crossrec.runtime.device import pick_device
from crossrec.runtime.files import write_text

if TYPE_CHECKING:
    from accelerate import Accelerator

    from crossrec.augment.synthesis.store import GeneratorConfig

CONFIG_FILE, RESULTS_FILE, PAGE_FILE = "config.yaml", "quality.json", "synthesis.html"
REAL_GRID, SYNTHETIC_GRID = "pictures_real.png", "pictures_synthetic.png"
PICTURES = "pictures"
GRID_SEED = 7


def run_synthesis(config: SynthesisConfig) -> None:
    """Trains every generator on every space, measures all, writes folder, page and table.

    What is trained already is not trained again; a killed training goes on.

    Raises:
        InputError: no such features or pictures, or several processes.
    """
    distributed.require_one_process("a study of generators")
    accelerator = _accelerator(config)
    setting = Setting.of(load_experiment(config.base, config.changes))
    show(f"Data: {setting.data.name}" + (f" ({setting.data.note})" if setting.data.note else ""))
    spaces: list[dict[str, Any]] = []
    logs: dict[str, dict[str, list[Line]]] = {}
    for space in config.spaces:
        material = vectors(setting, space, config)
        spaces.append(
            _space(space, material, (config.gaussian, *config.generators), config, accelerator, logs)
        )
    if config.image_gan is not None:
        material = pictures(setting, config)
        encode = picture_encoder(setting)
        spaces.append(_space(PICTURES, material, (config.image_gan,), config, accelerator, logs, encode))
    found = {"data": setting.data.name, "note": setting.data.note, "seed": config.seed, "spaces": spaces}
    text = yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    write_text(config.out / CONFIG_FILE, text)
    write_text(config.out / RESULTS_FILE, json.dumps(found, indent=2) + "\n")
    write_page(config.out / PAGE_FILE, found, logs, _grids(config), text)
    for entry in spaces:
        console().print(quality_table(entry))
    show(f"Curves, grids and all numbers: {config.out / PAGE_FILE}, {config.out / RESULTS_FILE}")


def _space(
    name: str,
    material: Material,
    generators: tuple[GeneratorConfig, ...],
    config: SynthesisConfig,
    accelerator: Accelerator,
    logs: dict[str, dict[str, list[Line]]],
    encode: Callable[[np.ndarray], np.ndarray] | None = None,
) -> dict[str, Any]:
    """Trains and measures all generators of one space; their logs are added to ``logs``."""
    data = TrainingSamples.divide(material.samples, material.classes, _held_back(generators), config.seed)
    show(f"{name}: {int(data.learned.sum()):,} training samples, {int((~data.learned).sum()):,} held back")
    rows, logs[name] = [], {}
    for generator in generators:
        folder = config.out / name / generator.type
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
            logs[name][generator.type] = fitted.outcome.log
        if name == PICTURES:
            _save_grids(config, data, fitted)
        rows.append(_row(fitted))
        for warning in fitted.warnings:
            show(f"  warning, {generator.type}: {warning}")
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
        "type": fitted.generator.config.type,
        **fitted.quality.row(),
        "warnings": [str(warning) for warning in fitted.warnings],
        "report": fitted.report,
        "steps": outcome.steps if outcome else None,
        "best_step": outcome.best_step if outcome else None,
    }


def _real_halves(
    data: TrainingSamples, seed: int, encode: Callable[[np.ndarray], np.ndarray] | None
) -> dict[str, float]:
    """How much halves of the real training samples overlap: what a perfect generator gets."""
    real = data.samples[data.learned]
    real = real if encode is None else encode(real)
    order = np.random.default_rng(seed).permutation(len(real))
    half = len(real) // 2
    return asdict(manifold(real[order[:half]], real[order[half : 2 * half]]))


def _save_grids(config: SynthesisConfig, data: TrainingSamples, fitted: Fitted) -> None:
    """Real pictures, and generated ones of the same classes in the same places."""
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
    """Heading -> PNG."""
    if config.image_gan is None:
        return {}
    titles = {"Synthetic pictures": SYNTHETIC_GRID, "Real training pictures": REAL_GRID}
    return {title: (config.out / name).read_bytes() for title, name in titles.items()}


def _held_back(generators: tuple[GeneratorConfig, ...]) -> float:
    """One share for all generators of a space, so that they are compared on the same samples."""
    return max((config.loop.held_back for config in generators if hasattr(config, "loop")), default=0.0)


def _accelerator(config: SynthesisConfig) -> Accelerator:
    from accelerate import Accelerator

    return Accelerator(cpu=pick_device(config.device).type == "cpu")

"""Generators on disk: safetensors and JSON, never pickle."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from crossrec.augment.base import count_name
from crossrec.augment.generators import GENERATORS
from crossrec.augment.generators.base import GeneratorTrainer, Sampler, Synthetic
from crossrec.config import Trust, trusting
from crossrec.runtime.files import atomic_path, damage, write_checksums, write_text
from crossrec.types import InputError

WEIGHTS_FILE, CONFIG_FILE = "generator.safetensors", "generator.json"


@dataclass(frozen=True)
class Generator:
    """A trained generator.

    Args:
        options: options of its training.
        sampler: map from noise and classes to samples.
        class_names: G names, in the order of the class vectors' columns.
    """

    options: Any
    sampler: Sampler
    class_names: tuple[str, ...]

    def sample(self, classes_nG: np.ndarray, seed: int) -> Synthetic:
        """Draw synthetic samples for given classes, reproducible by seed.

        Args:
            classes_nG: (n, G) one-hot or multi-hot.
            seed: seed of the noise.

        Raises:
            InputError: if the class vectors have another width.
        """
        if classes_nG.ndim != 2 or classes_nG.shape[1] != self.sampler.n_classes:
            raise InputError(
                f"classes of shape {classes_nG.shape}: this generator takes (n, {self.sampler.n_classes})"
            )
        samples = self.sampler.draw(torch.as_tensor(np.asarray(classes_nG, np.float32)), seed).numpy()
        return Synthetic(samples, np.asarray(classes_nG), seed, count_name(GENERATORS, self.options))

    def save(self, folder: Path) -> None:
        """Write ``generator.safetensors`` and ``generator.json``."""
        state = {name: t.detach().cpu().contiguous() for name, t in self.sampler.state_dict().items()}
        shapes = {name: list(tensor.shape) for name, tensor in state.items()}
        about = {
            "synthetic": True,
            "config": GENERATORS.dump(self.options),
            "class_names": list(self.class_names),
            "n_classes": self.sampler.n_classes,
            "shapes": shapes,
        }
        with atomic_path(folder / WEIGHTS_FILE) as temporary:
            save_file(state, temporary)
        write_text(folder / CONFIG_FILE, json.dumps(about, indent=2) + "\n")
        write_checksums(folder)


def load_generator(folder: Path, *, trust_code: Trust = False) -> Generator:
    """Read what :meth:`Generator.save` wrote.

    Args:
        folder: folder of the generator.
        trust_code: classes outside the project that ``generator.json`` may name.

    Raises:
        InputError: if a file is missing or broken, or the two don't fit.
    """
    missing = [name for name in (WEIGHTS_FILE, CONFIG_FILE) if not (folder / name).exists()]
    if missing:
        raise InputError(f"{folder}: no generator is here, {' and '.join(missing)} is missing; train one")
    try:
        about = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
        with trusting(trust_code):
            options = GENERATORS.parse(about["config"])
        trainer = getattr(options, "component", GeneratorTrainer)
        sampler = trainer.empty_sampler(options, int(about["n_classes"]), about["shapes"])
        sampler.load_state_dict(load_file(folder / WEIGHTS_FILE))
    except (KeyError, TypeError, ValueError, RuntimeError, SafetensorError) as error:
        raise InputError(f"{folder}: the generator can't be read ({error}); train it again") from error
    fault = damage(folder, (WEIGHTS_FILE, CONFIG_FILE))
    if fault is not None:
        raise InputError(f"{fault}; train the generator again")
    return Generator(options, sampler.eval(), tuple(about["class_names"]))

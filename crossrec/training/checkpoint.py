"""Checkpoints that a killed run resumes from, and the best weights of a run."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crossrec.runtime import distributed
from crossrec.runtime.files import atomic_path
from crossrec.types import InputError

if TYPE_CHECKING:
    from accelerate import Accelerator
    from torch import nn

    from crossrec.model.network import SequentialNetwork

WEIGHTS = "model.safetensors"
PROGRESS = "progress.json"


@dataclass
class Progress:
    """Where a training stands.

    Args:
        epoch, batch: the next batch to be worked on.
        step: optimiser steps done.
        best: best validation value so far; None before the first validation.
        stale: validations since then.
        finished: whether training has ended.
    """

    epoch: int = 0
    batch: int = 0
    step: int = 0
    best: float | None = None
    stale: int = 0
    finished: bool = False


def trained_state(module: nn.Module) -> dict[str, Any]:
    """Trained parameters and persistent buffers; frozen pretrained weights are not copied into runs."""
    frozen = {name for name, p in module.named_parameters() if not p.requires_grad}
    return {n: t.detach().cpu().contiguous() for n, t in module.state_dict().items() if n not in frozen}


def load_trained_state(module: nn.Module, path: Path) -> None:
    """Loads what :func:`trained_state` gave.

    Raises:
        InputError: the file lacks a trained weight of the module, or holds one that it doesn't have.
    """
    from safetensors.torch import load_file

    state = load_file(path)
    wanted = trained_state(module).keys()
    if state.keys() != wanted:
        odd = sorted(state.keys() ^ wanted)
        raise InputError(
            f"{path} does not fit this model; {len(odd)} names differ, first: {odd[:3]}. It was trained with "
            f"another configuration or by another version of crossrec: train the run again"
        )
    module.load_state_dict(state, strict=False)


def save_weights(network: SequentialNetwork, folder: Path) -> None:
    """Writes ``model.safetensors`` and each LoRA adapter in peft's layout; on the main process."""
    from safetensors.torch import save_file

    if distributed.is_main():
        with atomic_path(folder) as temporary:
            temporary.mkdir(parents=True)
            save_file(trained_state(network), temporary / WEIGHTS)
            for name, adapter in network.adapters().items():
                adapter.save_pretrained(str(temporary / name), save_embedding_layers=False)
            if folder.exists():
                shutil.rmtree(folder)
    distributed.barrier()


class Checkpoints:
    """The latest state of a training: trained weights, optimiser, progress.

    Args:
        accelerator: holds the prepared model and optimiser.
        folder: ``checkpoints`` of the run.
    """

    def __init__(self, accelerator: Accelerator, folder: Path) -> None:
        self.accelerator = accelerator
        self.folder = folder
        accelerator.register_save_state_pre_hook(self._save_models)
        accelerator.register_load_state_pre_hook(self._load_models)

    def _save_models(self, models: list[Any], weights: list[Any], output: str) -> None:
        from safetensors.torch import save_file

        if distributed.is_main():
            for model in models:
                save_file(trained_state(self.accelerator.unwrap_model(model)), Path(output) / WEIGHTS)
        weights.clear()

    def _load_models(self, models: list[Any], input_dir: str) -> None:
        while models:
            load_trained_state(self.accelerator.unwrap_model(models.pop()), Path(input_dir) / WEIGHTS)

    def save(self, progress: Progress) -> None:
        """Writes a checkpoint to a temporary folder, renames it, then removes older ones."""
        target = self.folder / f"step-{progress.step:07d}"
        temporary = self.folder / f".{target.name}.tmp"
        if distributed.is_main():
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir(parents=True)
        distributed.barrier()
        self.accelerator.save_state(str(temporary))
        distributed.barrier()
        if distributed.is_main():
            (temporary / PROGRESS).write_text(json.dumps(asdict(progress)))
            if target.exists():
                shutil.rmtree(target)
            temporary.rename(target)
            for old in self._all()[:-1]:
                shutil.rmtree(old)
        distributed.barrier()

    def resume(self) -> Progress | None:
        """Loads the latest checkpoint; None where there is none."""
        found = self._all()
        if not found:
            return None
        self.accelerator.load_state(str(found[-1]))
        return Progress(**json.loads((found[-1] / PROGRESS).read_text()))

    def _all(self) -> list[Path]:
        return sorted(p for p in self.folder.glob("step-*") if (p / PROGRESS).exists())

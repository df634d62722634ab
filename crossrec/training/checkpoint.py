"""Checkpoints that a killed run resumes from, and the best weights of a run."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from crossrec.data.identity import BYTES, ENDS, DataIdentity
from crossrec.model.modalities.layers import AdaptedFeatures
from crossrec.model.neighbours import PREFIX as NEIGHBOURS
from crossrec.model.network import SequentialNetwork
from crossrec.runtime import distributed
from crossrec.runtime.files import atomic_path, damage, write_checksums
from crossrec.types import InputError

if TYPE_CHECKING:
    from accelerate import Accelerator


logger = logging.getLogger(__name__)

WEIGHTS = "model.safetensors"
PROGRESS = "progress.json"
TRAINED = ".trained"
"""Suffix of the names of buffers that mark the items an embedding was trained on."""


@dataclass
class Progress:
    """Progress of a training.

    Args:
        epoch, batch: the next batch to process.
        step: optimizer steps done.
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
    """Return trained parameters and persistent buffers; frozen pretrained weights are left out.

    Parameters of encoders that were tuned before the training are no longer trained, and are kept.
    """
    frozen = {name for name, p in module.named_parameters() if not p.requires_grad}
    for prefix, part in module.named_modules():
        if isinstance(part, AdaptedFeatures):
            frozen -= {f"{prefix}.{name}" for name in part.tuned_names}
    return {n: t.detach().cpu().contiguous() for n, t in module.state_dict().items() if n not in frozen}


@dataclass(frozen=True)
class SavedState:
    """Content of a file of weights.

    Args:
        tensors: name -> trained parameter or persistent buffer.
        identity: items that rows of the tensors belong to, and clicks that they were trained on; None in a
            file of a version that did not save them.
    """

    tensors: dict[str, Tensor]
    identity: DataIdentity | None


def save_state(module: nn.Module, path: Path, identity: DataIdentity | None = None) -> None:
    """Write the :func:`trained_state` of a module, with the items that its rows belong to."""
    import torch
    from safetensors.torch import save_file

    arrays, metadata = ({}, None) if identity is None else identity.to_arrays()
    own = {name: torch.from_numpy(array) for name, array in arrays.items()}
    save_file({**trained_state(module), **own}, path, metadata)


def read_state(path: Path) -> SavedState:
    """Read a file that :func:`save_state` wrote.

    Raises:
        InputError: if the file is damaged.
    """
    from safetensors.torch import load_file

    fault = damage(path.parent, (path.name,))
    if fault is not None:
        raise InputError(f"{fault}; copy it again, or remove {path.parent} and train the run again")
    with _explain_damage(path):
        tensors = load_file(path)
    identity = read_identity(path)
    return SavedState({n: t for n, t in tensors.items() if n not in (BYTES, ENDS)}, identity)


def read_identity(path: Path) -> DataIdentity | None:
    """Read the items and digests that were saved with weights, without the weights; None if there are none.

    Raises:
        InputError: if the file is damaged.
    """
    from safetensors import safe_open

    with _explain_damage(path), safe_open(path, "numpy") as file:
        names = set(file.keys())
        arrays = {name: file.get_tensor(name) for name in (BYTES, ENDS) if name in names}
        return DataIdentity.from_arrays(arrays, file.metadata() or {})


@contextmanager
def _explain_damage(path: Path) -> Iterator[None]:
    from safetensors import SafetensorError

    try:
        yield
    except (SafetensorError, OSError, TypeError, ValueError) as error:
        raise InputError(
            f"{path} can't be read ({error}): the file is damaged or was not copied whole; copy it again, or "
            "remove it and train the run again"
        ) from error


def saved_identity(folder: Path) -> DataIdentity | None:
    """Read the identity of a run's data from its best weights, or else from its latest checkpoint.

    Args:
        folder: folder ``checkpoints`` of the run.

    Returns:
        None if nothing is saved, or if the saving version did not store the data's identity.
    """
    latest = [checkpoint / WEIGHTS for checkpoint in finished_checkpoints(folder)[-1:]]
    there = [path for path in (folder / "best" / WEIGHTS, *latest) if path.exists()]
    return read_identity(there[0]) if there else None


def finished_checkpoints(folder: Path) -> list[Path]:
    """Return the complete checkpoints to resume from, oldest first."""
    return sorted(path for path in folder.glob("step-*") if (path / PROGRESS).exists())


def load_trained_state(module: nn.Module, path: Path) -> None:
    """Load a file that :func:`save_state` wrote for the same items in the same order.

    Raises:
        InputError: if the file lacks a trained weight of the module, or holds one that it doesn't have.
    """
    load_tensors(module, read_state(path).tensors, path)


def load_tensors(module: nn.Module, state: Mapping[str, Tensor], path: Path) -> None:
    """Load tensors that were read from a file of weights.

    Args:
        module: module whose rows belong to the same items as those of the tensors.
        state: name -> tensor.
        path: path of the file, for the message.

    Raises:
        InputError: if the file lacks a trained weight of the module, or holds one that it doesn't have.
    """
    wanted = trained_state(module).keys()
    if not any(name.startswith(NEIGHBOURS) for name in wanted):
        # Chosen after the training, and read by build_network where they are wanted.
        state = {name: value for name, value in state.items() if not name.startswith(NEIGHBOURS)}
    # Earlier versions did not save which items had been trained on; the module then has it from its data.
    missing = {name for name in wanted - state.keys() if not name.endswith(TRAINED)}
    odd = sorted(missing | (state.keys() - wanted))
    if odd:
        raise InputError(
            f"{path} does not fit this model; {len(odd)} names differ, first: {odd[:3]}. It was trained with "
            f"another configuration or by another version of crossrec: train the run again"
        )
    own = module.state_dict()
    odd = sorted(name for name, value in state.items() if value.shape != own[name].shape)
    if odd:
        there, here = tuple(state[odd[0]].shape), tuple(own[odd[0]].shape)
        raise InputError(
            f"{path} does not fit this model; {len(odd)} shapes differ, first: {odd[0]}, {there} there, "
            f"{here} here: configuration or items have changed since; train the run again"
        )
    module.load_state_dict(state, strict=False)


def save_weights(network: SequentialNetwork, folder: Path, identity: DataIdentity | None = None) -> None:
    """Write ``model.safetensors`` and each LoRA adapter in peft's layout, on the main process.

    Args:
        network: network with one row per item in the order of ``identity``.
        folder: folder to create or replace.
        identity: identity of the data; None for a network whose items have no ids.
    """
    if distributed.is_main():
        with atomic_path(folder) as temporary:
            temporary.mkdir(parents=True)
            save_state(network, temporary / WEIGHTS, identity)
            for name, adapter in network.adapters().items():
                adapter.save_pretrained(str(temporary / name), save_embedding_layers=False)
            write_checksums(temporary)
            if folder.exists():
                shutil.rmtree(folder)
    distributed.barrier()


class Checkpoints:
    """Checkpoints of a training: trained weights, optimizer, progress.

    Args:
        accelerator: holder of the prepared model and optimizer.
        folder: folder ``checkpoints`` of the run.
        identity: identity of the training data, saved with the weights.
    """

    def __init__(self, accelerator: Accelerator, folder: Path, identity: DataIdentity | None = None) -> None:
        self.accelerator = accelerator
        self.folder = folder
        self.identity = identity
        accelerator.register_save_state_pre_hook(self._save_models)
        accelerator.register_load_state_pre_hook(self._load_models)

    def _save_models(self, models: list[Any], weights: list[Any], output: str) -> None:
        if distributed.is_main():
            for model in models:
                save_state(self.accelerator.unwrap_model(model), Path(output) / WEIGHTS, self.identity)
        weights.clear()

    def _load_models(self, models: list[Any], input_dir: str) -> None:
        while models:
            load_trained_state(self.accelerator.unwrap_model(models.pop()), Path(input_dir) / WEIGHTS)

    def save(self, progress: Progress) -> None:
        """Write a checkpoint to a temporary folder, rename it, then remove older ones."""
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
            write_checksums(temporary)
            if target.exists():
                shutil.rmtree(target)
            temporary.rename(target)
            for old in finished_checkpoints(self.folder)[:-1]:
                shutil.rmtree(old)
        distributed.barrier()

    def resume(self) -> Progress | None:
        """Load the latest undamaged checkpoint; None if there is none at all.

        Raises:
            InputError: if every checkpoint is damaged.
        """
        found = finished_checkpoints(self.folder)
        if not found:
            return None
        # The main process decides for all.
        faults = distributed.gather_objects([damage(folder) for folder in found])[0]
        whole = [folder for folder, fault in zip(found, faults, strict=True) if fault is None]
        if not whole:
            raise InputError(
                f"{faults[-1]}; remove {found[-1]} to train from the start, or set another name (name=...)"
            )
        for fault in [fault for fault in faults if fault is not None and distributed.is_main()]:
            logger.warning("%s: training goes on from %s", fault, whole[-1])
        self.accelerator.load_state(str(whole[-1]))
        return Progress(**json.loads((whole[-1] / PROGRESS).read_text()))

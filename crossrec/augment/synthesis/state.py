"""The state of a training in one safetensors file: weights, averaged weights, optimisers, progress."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.optim import Optimizer

from crossrec.augment.synthesis.base import Learner, Sampler
from crossrec.runtime.files import atomic_path
from crossrec.types import InputError

LEARNER, AVERAGE, BEST, OPTIMISER = "learner.", "average.", "best.", "optimiser."
PROGRESS, KEY = "progress", "key"


@dataclass
class LoopProgress:
    """Where a training stands.

    Args:
        step: the next one.
        best_step: after how many steps the best generator stood.
        best_score: its score on held-back samples; None before the first measurement.
        stale: measurements since then.
        finished: whether training has ended.
    """

    step: int = 0
    best_step: int = 0
    best_score: float | None = None
    stale: int = 0
    finished: bool = False


@dataclass
class LoopState:
    """All that a training changes.

    Args:
        learner: in training.
        average: the sampler's moving average.
        best: weights of the best average so far.
        progress: where training stands.
    """

    learner: Learner
    average: Sampler
    best: dict[str, Tensor]
    progress: LoopProgress

    def save(self, path: Path, key: str) -> None:
        """Writes everything atomically.

        Args:
            path: of the file.
            key: digest of what the training depends on.
        """
        tensors = {
            **_prefixed(LEARNER, self.learner.state_dict()),
            **_prefixed(AVERAGE, self.average.state_dict()),
            **_prefixed(BEST, self.best),
            **_optimiser_tensors(self.learner.players()),
        }
        # Tensors that share memory can't stand twice in a file.
        own = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()}
        with atomic_path(path) as temporary:
            save_file(own, temporary, {PROGRESS: json.dumps(asdict(self.progress)), KEY: key})

    def restore(self, path: Path, key: str) -> None:
        """Loads what :meth:`save` wrote, in place.

        Raises:
            InputError: the file belongs to another training.
        """
        with safe_open(path, framework="pt") as file:
            about = file.metadata() or {}
            if about.get(KEY) != key:
                raise InputError(
                    f"{path}: the state of another training (other settings, data or seed); "
                    "name another folder, or delete this one"
                )
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        self.progress = LoopProgress(**json.loads(about[PROGRESS]))
        self.learner.load_state_dict(_under(LEARNER, tensors))
        self.average.load_state_dict(_under(AVERAGE, tensors))
        self.best = _under(BEST, tensors)
        _restore_optimisers(self.learner.players(), _under(OPTIMISER, tensors))


def _optimiser_tensors(players: Mapping[str, Optimizer]) -> dict[str, Tensor]:
    found = {}
    for player, optimiser in players.items():
        for row, entries in optimiser.state_dict()["state"].items():
            for name, value in entries.items():
                found[f"{OPTIMISER}{player}.{row}.{name}"] = torch.as_tensor(value)
    return found


def _restore_optimisers(players: Mapping[str, Optimizer], tensors: Mapping[str, Tensor]) -> None:
    for player, optimiser in players.items():
        entries: dict[int, dict[str, Tensor]] = {}
        for name, value in _under(f"{player}.", tensors).items():
            row, _, field = name.partition(".")
            entries.setdefault(int(row), {})[field] = value
        # The groups hold settings and rates, which the learner sets again at every step.
        groups = optimiser.state_dict()["param_groups"]
        optimiser.load_state_dict({"state": entries, "param_groups": groups})


def _prefixed(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {prefix + name: tensor for name, tensor in tensors.items()}


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}

"""Training loop of all generators; deterministic, and resumable to the same result."""

from __future__ import annotations

import copy
import hashlib
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from pydantic import TypeAdapter
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.optim import Optimizer

from crossrec.augment.generators import GeneratorOptions
from crossrec.augment.generators.base import GeneratorTrainer, LoopConfig, Sampler, Turn
from crossrec.runtime.files import atomic_path, write_text
from crossrec.runtime.progress import progress_bar
from crossrec.types import InputError

if TYPE_CHECKING:
    from accelerate import Accelerator

STATE_FILE, LOG_FILE = "state.safetensors", "log.jsonl"
Check = Callable[[Sampler], dict[str, float]]
"""Measures a sampler; ``score`` is what decides which one is best."""

SCORE = "score"


@dataclass(frozen=True)
class LoopOutcome:
    """Result of a training.

    Args:
        steps: done.
        best_step: whose averaged generator the learner's sampler now is.
        best_score: score of the best weights; None where nothing was measured.
        log: lines of the log.
    """

    steps: int
    best_step: int
    best_score: float | None
    log: list[Line]


def train_generator(
    learner: GeneratorTrainer,
    samples: Tensor,
    classes: Tensor,
    config: LoopConfig,
    *,
    seed: int,
    folder: Path,
    accelerator: Accelerator,
    check: Check | None = None,
    description: str = "generator",
) -> LoopOutcome:
    """Train a generator; its sampler then holds the averaged weights with the best score.

    Batches depend on (seed, epoch), noise on (seed, step). Accelerate gives the device, numbers are fp32; the
    generators are small, so one process trains and no gradient is shared.

    Args:
        learner: untrained.
        samples: (n, …) training samples.
        classes: (n, G) their classes.
        config: options of the loop.
        seed: seed of batches and noise.
        folder: folder of the state and the log; a training found there is resumed.
        accelerator: accelerator of this process.
        check: measures a sampler every ``check_every`` steps; without it the last average stays.
        description: label of the progress bar.

    Raises:
        InputError: if there are no samples, a loss is not finite, or the folder holds another training.
    """
    if not len(samples):
        raise InputError(f"{description}: there are no training samples to learn from")
    learner.to(accelerator.device)
    average = copy.deepcopy(learner.sampler).requires_grad_(False)
    state = LoopState(learner, average, _weights(average), LoopProgress())
    key = _digest(learner, samples, classes, config, seed)
    if (folder / STATE_FILE).exists():
        state.restore(folder / STATE_FILE, key)
    log = LoopLog(folder / LOG_FILE, state.progress.step)
    run = _Run(state, samples, classes.float(), config, seed, accelerator, check, log)
    with progress_bar(description, config.steps, done=state.progress.step) as advance:
        run.train(lambda: state.save(folder / STATE_FILE, key), advance)
    learner.sampler.load_state_dict(state.best)
    learner.eval()
    done = state.progress
    return LoopOutcome(done.step, done.best_step, done.best_score, log.lines)


@dataclass
class _Run:
    state: LoopState
    samples: Tensor
    classes: Tensor
    config: LoopConfig
    seed: int
    accelerator: Accelerator
    check: Check | None
    log: LoopLog

    def train(self, save: Callable[[], None], advance: Callable[[int], None]) -> None:
        progress, config = self.state.progress, self.config
        self.state.learner.train()
        while not progress.finished:
            figures = self._step(progress.step)
            progress.step += 1
            last = progress.step == config.steps
            if progress.step % config.log_every == 0 or last:
                self.log.add({"kind": "step", "step": progress.step, **figures})
            if last or (config.check_every is not None and progress.step % config.check_every == 0):
                self._measure()
            progress.finished = last or (config.patience is not None and progress.stale >= config.patience)
            if progress.step % config.checkpoint_every == 0 or progress.finished:
                self.log.flush()
                save()
            advance(1)

    def _step(self, step: int) -> dict[str, float]:
        rows = batch_rows(len(self.samples), self.config.batch_size, self.seed, step)
        device = self.accelerator.device
        turn = Turn(step, step / self.config.steps, _source(self.seed, "noise", step), self._optimise)
        figures = self.state.learner.step(self.samples[rows].to(device), self.classes[rows].to(device), turn)
        odd = [name for name, value in figures.items() if not math.isfinite(value)]
        if odd:
            raise InputError(f"step {step}: {odd[0]} is no longer finite; lower the rate (lr)")
        follow(self.state.average, self.state.learner.sampler, min(self.config.ema, (1 + step) / (10 + step)))
        return figures

    def _optimise(self, player: str, loss: Tensor) -> None:
        optimiser = self.state.learner.optimizers()[player]
        # A player's loss also reaches the other's parameters, whose gradients are not used.
        parameters = [p for group in optimiser.param_groups for p in group["params"]]
        self.state.learner.zero_grad(set_to_none=True)
        loss.backward(inputs=parameters)
        optimiser.step()

    def _measure(self) -> None:
        progress = self.state.progress
        if self.check is None:
            self.state.best, progress.best_step = _weights(self.state.average), progress.step
            return
        figures = self.check(self.state.average)
        self.log.add({"kind": "check", "step": progress.step, **figures})
        progress.stale += 1
        if progress.best_score is None or figures[SCORE] > progress.best_score:
            self.state.best = _weights(self.state.average)
            progress.best_score, progress.best_step, progress.stale = figures[SCORE], progress.step, 0


def batch_rows(n: int, batch_size: int, seed: int, step: int) -> Tensor:
    """Return (B,) rows of one batch: the epochs' permutations, concatenated and cut into batches."""
    start = step * batch_size
    epochs = range(start // n, (start + batch_size - 1) // n + 1)
    orders = [torch.randperm(n, generator=_source(seed, "epoch", epoch)) for epoch in epochs]
    first = start - epochs[0] * n
    return torch.cat(orders)[first : first + batch_size]


@torch.no_grad()
def follow(average: Sampler, sampler: Sampler, decay: float) -> None:
    """Update an exponential moving average, buffers included."""
    new = sampler.state_dict()
    for name, old in average.state_dict().items():
        if old.is_floating_point():
            old.lerp_(new[name], 1 - decay)
        else:
            old.copy_(new[name])


def _weights(sampler: Sampler) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in sampler.state_dict().items()}


def _source(*parts: int | str) -> torch.Generator:
    digest = hashlib.blake2b(repr(parts).encode(), digest_size=7).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "little"))


def _digest(
    learner: GeneratorTrainer, samples: Tensor, classes: Tensor, config: LoopConfig, seed: int
) -> str:
    """Hash everything that a training depends on."""
    options = TypeAdapter(GeneratorOptions).dump_json(learner.options).decode()
    settings = [options, config.model_dump_json(), seed]
    digest = hashlib.blake2b(json.dumps(settings).encode(), digest_size=16)
    for tensor in (samples, classes, *learner.state_dict().values()):
        digest.update(np.ascontiguousarray(tensor.detach().cpu().numpy()).tobytes())
    return digest.hexdigest()


LEARNER, AVERAGE, BEST, OPTIMISER = "learner.", "average.", "best.", "optimiser."
PROGRESS, KEY = "progress", "key"


@dataclass
class LoopProgress:
    """Progress of a training.

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
    """State of a training.

    Args:
        learner: in training.
        average: the sampler's moving average.
        best: weights of the best average so far.
        progress: progress of the training.
    """

    learner: GeneratorTrainer
    average: Sampler
    best: dict[str, Tensor]
    progress: LoopProgress

    def save(self, path: Path, key: str) -> None:
        """Write everything atomically.

        Args:
            path: path of the file.
            key: digest of what the training depends on.
        """
        tensors = {
            **_prefixed(LEARNER, self.learner.state_dict()),
            **_prefixed(AVERAGE, self.average.state_dict()),
            **_prefixed(BEST, self.best),
            **_optimiser_tensors(self.learner.optimizers()),
        }
        # Tensors that share memory can't be stored twice in a file.
        own = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()}
        with atomic_path(path) as temporary:
            save_file(own, temporary, {PROGRESS: json.dumps(asdict(self.progress)), KEY: key})

    def restore(self, path: Path, key: str) -> None:
        """Load what :meth:`save` wrote, in place.

        Raises:
            InputError: if the file belongs to another training.
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
        _restore_optimisers(self.learner.optimizers(), _under(OPTIMISER, tensors))


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


Line = dict[str, float | str]


class LoopLog:
    """Log of a training; on resuming, lines after the saved state are dropped.

    Args:
        path: path of the file.
        step: from which the training goes on.
    """

    def __init__(self, path: Path, step: int) -> None:
        self.path = path
        found = path.read_text(encoding="utf-8").splitlines() if path.exists() and step else []
        self.lines: list[Line] = [line for line in map(json.loads, found) if line["step"] <= step]

    def add(self, line: Line) -> None:
        """Keep a line until the next :meth:`flush`."""
        self.lines.append({k: round(v, 6) if isinstance(v, float) else v for k, v in line.items()})

    def flush(self) -> None:
        """Write all lines; called before the state is saved, so that the file is never behind it."""
        write_text(self.path, "".join(json.dumps(line) + "\n" for line in self.lines))

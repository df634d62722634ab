"""Base of generators: sampler, trainer, and layers over vectors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Optimizer

from crossrec.config import Component, Config

CHUNK = 4096
"""Samples generated at once."""

SCALE_FLOOR = 1e-6


class LoopConfig(Config):
    """Options of the training loop of a generator.

    Args:
        steps: number of batches (of the critic, if there is one).
        batch_size: samples per batch.
        ema: decay of the generator's moving average, from which samples are drawn.
        held_back: share of held-out samples, which distinguish copies from new samples.
        check_every: steps between two measurements; null measures at the end only, and keeps the last state.
        patience: measurements without improvement after which training ends; null never ends it early.
        checkpoint_every: steps between two checkpoints.
        log_every: steps between two lines of the log.
    """

    steps: int = Field(6000, ge=1, le=10_000_000)
    batch_size: int = Field(64, ge=1, le=10_000_000)
    ema: float = Field(0.999, ge=0, lt=1)
    held_back: float = Field(0.15, ge=0, le=0.5)
    check_every: int | None = Field(500, ge=1)
    patience: int | None = Field(8, ge=1)
    checkpoint_every: int = Field(1000, ge=1)
    log_every: int = Field(50, ge=1)


@dataclass(frozen=True)
class Synthetic:
    """Generated samples.

    Args:
        samples: (n, …) float32.
        classes: (n, G) the classes they were generated for.
        seed: seed that reproduces them.
        generator: type of the generator.
        synthetic: always true.
    """

    samples: np.ndarray
    classes: np.ndarray
    seed: int
    generator: str
    synthetic: Literal[True] = True

    def __len__(self) -> int:
        return len(self.samples)


class Sampler(nn.Module, ABC):
    """Map of noise and classes to samples: the trained part of a generator.

    Args:
        latent: Z, width of the noise.
        n_classes: G, width of the class vectors.
    """

    def __init__(self, latent: int, n_classes: int) -> None:
        super().__init__()
        self.latent = latent
        self.n_classes = n_classes

    @abstractmethod
    def forward(self, noise_BZ: Tensor, classes_BG: Tensor) -> Tensor:
        """Return (B, …) samples, on the scale of the training samples."""

    @property
    def device(self) -> torch.device:
        """Device of the parameters."""
        return next(iter(self.state_dict().values())).device

    @torch.no_grad()
    def draw(self, classes_nG: Tensor, seed: int) -> Tensor:
        """Draw samples for given classes, reproducible on one kind of device.

        Returns:
            (n, …) float32 on the CPU.
        """
        was_training = self.training
        self.eval()
        source = torch.Generator().manual_seed(seed)
        found = []
        for classes_BG in classes_nG.float().split(CHUNK):
            noise_BZ = torch.randn(len(classes_BG), self.latent, generator=source)
            found.append(self(noise_BZ.to(self.device), classes_BG.to(self.device)).float().cpu())
        self.train(was_training)
        return torch.cat(found)


@dataclass(frozen=True)
class Turn:
    """One step of the training loop, as input of a trainer.

    Args:
        step: number of the step, from 0.
        progress: finished share of the training.
        source: random numbers of this step.
        optimise: ``optimise(player, loss)`` takes an optimizer step of that network.
    """

    step: int
    progress: float
    source: torch.Generator
    optimise: Callable[[str, Tensor], None]

    def normal(self, *shape: int, like: Tensor) -> Tensor:
        """Draw standard normal numbers, the same on every device."""
        return torch.randn(*shape, generator=self.source).to(like)

    def uniform(self, *shape: int, like: Tensor) -> Tensor:
        """Draw uniform numbers from 0 to 1, the same on every device."""
        return torch.rand(*shape, generator=self.source).to(like)


class GeneratorTrainer(Component, nn.Module, ABC):
    """A generator in training: its sampler and the networks that train it."""

    options: Any
    sampler: Sampler

    @abstractmethod
    def optimizers(self) -> dict[str, Optimizer]:
        """Return the optimizer of each network in training, by name."""

    @abstractmethod
    def step(self, samples_BW: Tensor, classes_BG: Tensor, turn: Turn) -> dict[str, float]:
        """Train on one batch.

        Args:
            samples_BW: (B, …) training samples.
            classes_BG: (B, G) their classes.
            turn: state of the training.

        Returns:
            Named losses and figures of this step.
        """

    def report(self, samples_NW: Tensor, classes_NG: Tensor) -> dict[str, float | list[float]]:
        """Return figures of this kind of generator alone, such as KL terms; empty by default."""
        return {}

    @staticmethod
    def empty_sampler(options: Any, n_classes: int, shapes: Mapping[str, list[int]]) -> Sampler:
        """Return a sampler with the shapes of a saved one, to load weights into."""
        # Pictures have their size in the architecture; vectors have it in the mean that centers them.
        width = shapes.get("scale.mean", [1])[0]
        sampler: Sampler = options.build(torch.zeros(2, width), torch.zeros(2, n_classes), 0).sampler
        return sampler


@contextmanager
def seeded_weights(seed: int) -> Iterator[None]:
    """Make initial weights depend on the seed alone; PyTorch's CPU generator is restored afterwards."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


class ConditionalMLP(nn.Module):
    """MLP of residual blocks that all see the classes (ResNet, He et al. 2016, without normalization).

    Batch norm would make a critic's penalty depend on the batch (Gulrajani et al. 2017, section 4).

    Args:
        inputs: width of the input.
        n_classes: G, width of the class vectors.
        width: width of the hidden layers.
        depth: residual blocks.
        outputs: width of the output.
    """

    def __init__(self, inputs: int, n_classes: int, width: int, depth: int, outputs: int) -> None:
        super().__init__()
        self.entry = nn.Linear(inputs + n_classes, width)
        self.inner = nn.ModuleList(nn.Linear(width + n_classes, width) for _ in range(depth))
        self.outer = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.exit = nn.Linear(width, outputs)

    def forward(self, inputs_BW: Tensor, classes_BG: Tensor) -> Tensor:
        """(B, inputs), (B, G) -> (B, outputs)."""
        hidden_BD = self.entry(torch.cat([inputs_BW, classes_BG], 1))
        for inner, outer in zip(self.inner, self.outer, strict=True):
            seen_BD = functional.leaky_relu(hidden_BD, 0.2)
            change_BD = functional.leaky_relu(inner(torch.cat([seen_BD, classes_BG], 1)), 0.2)
            hidden_BD = hidden_BD + outer(change_BD)
        return self.exit(functional.leaky_relu(hidden_BD, 0.2))


class VectorScaler(nn.Module):
    """Standardization of vectors by their mean and one spread; saved with the weights.

    Args:
        samples_NW: (n, W) training vectors.
    """

    mean: Tensor
    spread: Tensor

    def __init__(self, samples_NW: Tensor) -> None:
        super().__init__()
        mean_W = samples_NW.mean(0)
        # One number for all dimensions keeps distances in proportion.
        spread = (samples_NW - mean_W).square().mean().sqrt().clamp(min=SCALE_FLOOR)
        self.register_buffer("mean", mean_W)
        self.register_buffer("spread", spread)

    def forward(self, samples_BW: Tensor) -> Tensor:
        """Return (B, W) scaled samples."""
        return (samples_BW - self.mean) / self.spread

    def back(self, scaled_BW: Tensor) -> Tensor:
        """Return (B, W) on the scale of the training samples."""
        return scaled_BW * self.spread + self.mean


def decayed(optimiser: torch.optim.Optimizer, lr: float, progress: float) -> None:
    """Set a learning rate that falls linearly from ``lr`` to a tenth of it."""
    for group in optimiser.param_groups:
        group["lr"] = lr * (1 - 0.9 * progress)

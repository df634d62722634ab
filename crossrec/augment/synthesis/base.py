"""What all generators share: a sampler, a learner that trains it, and samples that say what they are."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from crossrec.config import Config

CHUNK = 4096
"""Samples generated at once."""


@dataclass(frozen=True)
class Synthetic:
    """Generated samples, which no shop sells and no user is.

    Args:
        samples: (n, …) float32.
        classes: (n, G) the classes they were generated for.
        seed: that gives them again.
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
    """Noise and classes in, samples out: all that is needed of a trained generator.

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
        """(B, …) samples, on the scale of the training samples."""

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return next(iter(self.state_dict().values())).device

    @torch.no_grad()
    def draw(self, classes_nG: Tensor, seed: int) -> Tensor:
        """Samples for given classes, the same for the same seed on the same kind of device.

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
    """One step of the loop, as a learner sees it.

    Args:
        step: its number, from 0.
        progress: share of the training that is done.
        source: random numbers of this step.
        optimise: ``optimise(player, loss)`` moves that player's parameters down the loss.
    """

    step: int
    progress: float
    source: torch.Generator
    optimise: Callable[[str, Tensor], None]

    def normal(self, *shape: int, like: Tensor) -> Tensor:
        """Standard normal numbers, the same on every device."""
        return torch.randn(*shape, generator=self.source).to(like)

    def uniform(self, *shape: int, like: Tensor) -> Tensor:
        """Numbers from 0 to 1."""
        return torch.rand(*shape, generator=self.source).to(like)


class Learner(nn.Module, ABC):
    """A generator in training: its sampler and whoever teaches it."""

    config: Config
    sampler: Sampler

    @abstractmethod
    def players(self) -> dict[str, Optimizer]:
        """Name of each player -> the optimiser of its parameters."""

    @abstractmethod
    def step(self, samples_BW: Tensor, classes_BG: Tensor, turn: Turn) -> dict[str, float]:
        """Learns from one batch.

        Args:
            samples_BW: (B, …) training samples.
            classes_BG: (B, G) their classes.
            turn: where training stands.

        Returns:
            Named losses and figures of this step.
        """

    def report(self, samples_NW: Tensor, classes_NG: Tensor) -> dict[str, float | list[float]]:
        """What only this kind of generator can tell of itself, such as KL terms; nothing by default."""
        return {}

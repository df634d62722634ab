"""A conditional Wasserstein GAN with gradient penalty over vectors."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from crossrec.augment.generators.base import (
    ConditionalMLP,
    GeneratorTrainer,
    LoopConfig,
    Sampler,
    Turn,
    VectorScaler,
    decayed,
    seeded_weights,
)
from crossrec.config import ComponentOptions

GENERATOR, CRITIC = "generator", "critic"


class VectorGenerator(Sampler):
    """Map of noise and classes to vectors.

    Args:
        options: options of the GAN.
        scale: mean and spread of the training vectors.
        n_classes: G, width of the class vectors.
    """

    def __init__(self, options: WganGp.Options, scale: VectorScaler, n_classes: int) -> None:
        super().__init__(options.latent, n_classes)
        self.scale = scale
        self.net = ConditionalMLP(options.latent, n_classes, options.width, options.depth, len(scale.mean))
        # Samples start about as spread as the data: those near the mean would diverge slowly.
        self.start = nn.Linear(options.latent, len(scale.mean), bias=False)
        nn.init.orthogonal_(self.start.weight)

    def scaled(self, noise_BZ: Tensor, classes_BG: Tensor) -> Tensor:
        """Return (B, W) scaled samples, the critic's input."""
        out: Tensor = self.start(noise_BZ) + self.net(noise_BZ, classes_BG)
        return out

    def forward(self, noise_BZ: Tensor, classes_BG: Tensor) -> Tensor:
        """(B, W)."""
        return self.scale.back(self.scaled(noise_BZ, classes_BG))


class WganGp(GeneratorTrainer):
    """Conditional Wasserstein GAN with gradient penalty over vectors.

    Source: Gulrajani et al. 2017, "Improved Training of Wasserstein GANs", algorithm 1. Ours gives both
    networks the classes, adds a linear path to the generator, lets the rate fall, and by default has three
    steps of the critic for each of the generator's (theirs: 5) and a penalty of weight 1 (theirs: 10).

    Args:
        options: sizes and rates.
        samples_NW: (n, W) training vectors, from which width and scale are taken.
        classes_NG: (n, G) their classes.
        seed: seed of the initial weights.
    """

    class Options(ComponentOptions):
        """A conditional Wasserstein GAN with gradient penalty.

        Args:
            latent: width of the noise.
            width: width of the hidden layers.
            depth: residual blocks in generator and critic.
            lr: Adam's rate for both; it falls linearly to a tenth.
            critic_steps: batches on which the critic learns for each step of the generator.
            penalty: weight of the gradient penalty.
            loop: options of the training loop.
        """

        latent: int = Field(64, ge=1, le=65_536)
        width: int = Field(256, ge=1, le=65_536)
        depth: int = Field(2, ge=1, le=1_000)
        lr: float = Field(1e-3, gt=0, le=100)
        critic_steps: int = Field(3, ge=1)
        penalty: float = Field(1.0, ge=0)
        loop: LoopConfig = LoopConfig(steps=12_000, ema=0.995, check_every=500, patience=8)

    def __init__(self, options: Options, samples_NW: Tensor, classes_NG: Tensor, seed: int) -> None:
        super().__init__()
        self.options: WganGp.Options = options
        width, n_classes = samples_NW.shape[1], classes_NG.shape[1]
        with seeded_weights(seed):
            self.sampler: VectorGenerator = VectorGenerator(options, VectorScaler(samples_NW), n_classes)
            self.critic = ConditionalMLP(width, n_classes, options.width, options.depth, 1)
        self._optimisers: dict[str, Optimizer] = {
            GENERATOR: Adam(self.sampler.parameters(), lr=options.lr, betas=(0.5, 0.9)),
            CRITIC: Adam(self.critic.parameters(), lr=options.lr, betas=(0.5, 0.9)),
        }

    def optimizers(self) -> dict[str, Optimizer]:
        """Return the optimizers of generator and critic."""
        return self._optimisers

    def step(self, samples_BW: Tensor, classes_BG: Tensor, turn: Turn) -> dict[str, float]:
        """Train the critic on every batch, the generator on each ``critic_steps``-th.

        Returns:
            ``distance``, the critic's estimate of the Wasserstein distance (eq. 2), ``penalty``, and
            ``generator`` where it learned.
        """
        for optimiser in self._optimisers.values():
            decayed(optimiser, self.options.lr, turn.progress)
        real_BW = self.sampler.scale(samples_BW)
        with torch.no_grad():
            fake_BW = self._fake(real_BW, classes_BG, turn)
        mixed_B1 = turn.uniform(len(real_BW), 1, like=real_BW)
        penalty = gradient_penalty(self.critic, torch.lerp(fake_BW, real_BW, mixed_B1), classes_BG)
        both = self.critic(torch.cat([real_BW, fake_BW]), classes_BG.repeat(2, 1)).view(2, -1).mean(1)
        distance = both[0] - both[1]
        turn.optimise(CRITIC, self.options.penalty * penalty - distance)
        found = {"distance": float(distance.detach()), "penalty": float(penalty.detach())}
        if turn.step % self.options.critic_steps == self.options.critic_steps - 1:
            loss = -self.critic(self._fake(real_BW, classes_BG, turn), classes_BG).mean()
            turn.optimise(GENERATOR, loss)
            found["generator"] = float(loss.detach())
        return found

    def _fake(self, real_BW: Tensor, classes_BG: Tensor, turn: Turn) -> Tensor:
        noise_BZ = turn.normal(len(real_BW), self.sampler.latent, like=real_BW)
        return self.sampler.scaled(noise_BZ, classes_BG)


def gradient_penalty(critic: nn.Module, points_BW: Tensor, classes_BG: Tensor) -> Tensor:
    """Return the mean squared deviation from 1 of the norm of the critic's gradient at some points.

    Source: Gulrajani et al. 2017, eq. 3.
    """
    points_BW = points_BW.detach().requires_grad_(True)
    (slope_BW,) = torch.autograd.grad(critic(points_BW, classes_BG).sum(), points_BW, create_graph=True)
    return (slope_BW.flatten(1).norm(dim=1) - 1).square().mean()

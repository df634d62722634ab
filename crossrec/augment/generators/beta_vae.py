"""A conditional beta-VAE over vectors."""

from __future__ import annotations

import math

import torch
from pydantic import Field
from torch import Tensor
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

VAE = "vae"
LOWEST_LOG_SD = -4.0
COLLAPSED_NATS = 0.01
"""KL term in nats below which a dimension carries no information on the sample."""


class VectorDecoder(Sampler):
    """Map of code and classes to a normal distribution over vectors, from which one is drawn.

    The noise is the code followed by the scatter's draws, so that equal noise gives equal samples.

    Args:
        options: options of the VAE.
        scale: mean and spread of the training vectors.
        n_classes: G, width of the class vectors.
    """

    def __init__(self, options: BetaVae.Options, scale: VectorScaler, n_classes: int) -> None:
        width = len(scale.mean)
        super().__init__(options.latent + width, n_classes)
        self.scale, self.code = scale, options.latent
        self.net = ConditionalMLP(options.latent, n_classes, options.width, options.depth, 2 * width)

    def decode(self, code_BZ: Tensor, classes_BG: Tensor) -> tuple[Tensor, Tensor]:
        """Return (B, W) means and log standard deviations, on the networks' scale."""
        mean_BW, log_sd_BW = self.net(code_BZ, classes_BG).chunk(2, 1)
        return mean_BW, log_sd_BW.clamp(LOWEST_LOG_SD, 2.0)

    def forward(self, noise_BZ: Tensor, classes_BG: Tensor) -> Tensor:
        """(B, W)."""
        mean_BW, log_sd_BW = self.decode(noise_BZ[:, : self.code], classes_BG)
        return self.scale.back(mean_BW + log_sd_BW.exp() * noise_BZ[:, self.code :])


class BetaVae(GeneratorTrainer):
    """Conditional beta-VAE over vectors.

    Source: Higgins et al. 2017, "beta-VAE", eq. 4, with classes given to both sides (Sohn et al. 2015) and
    a KL weight that warms up (Bowman et al. 2016). Ours also learns the decoder's scatter (Rybkin et al.
    2021): with a fixed one all samples would lie on the decoder's means.

    Args:
        options: sizes and rates.
        samples_NW: (n, W) training vectors, from which width and scale are taken.
        classes_NG: (n, G) their classes.
        seed: seed of the initial weights.
    """

    class Options(ComponentOptions):
        """A conditional beta-VAE whose decoder also learns how far samples scatter.

        Args:
            latent: width of the code.
            width: width of the hidden layers.
            depth: residual blocks in encoder and decoder.
            lr: Adam's rate; it falls linearly to a tenth.
            beta: weight of the KL term once it has warmed up.
            warm_up: share of the training over which that weight rises from 0.
            loop: options of the training loop.
        """

        latent: int = Field(32, ge=1, le=65_536)
        width: int = Field(192, ge=1, le=65_536)
        depth: int = Field(2, ge=1, le=1_000)
        lr: float = Field(1e-3, gt=0, le=100)
        beta: float = Field(1.0, ge=0)
        warm_up: float = Field(0.1, ge=0, le=1)
        loop: LoopConfig = LoopConfig(steps=4000, check_every=250, patience=6)

    def __init__(self, options: Options, samples_NW: Tensor, classes_NG: Tensor, seed: int) -> None:
        super().__init__()
        self.options: BetaVae.Options = options
        width, n_classes = samples_NW.shape[1], classes_NG.shape[1]
        with seeded_weights(seed):
            self.sampler: VectorDecoder = VectorDecoder(options, VectorScaler(samples_NW), n_classes)
            self.encoder = ConditionalMLP(width, n_classes, options.width, options.depth, 2 * options.latent)
        self._optimisers: dict[str, Optimizer] = {VAE: Adam(self.parameters(), lr=options.lr)}

    def optimizers(self) -> dict[str, Optimizer]:
        """Return one optimizer of encoder and decoder."""
        return self._optimisers

    def step(self, samples_BW: Tensor, classes_BG: Tensor, turn: Turn) -> dict[str, float]:
        """Train on one batch.

        Returns:
            ``reconstruction`` and ``kl`` in nats per sample, and ``beta``, the KL term's weight now.
        """
        decayed(self._optimisers[VAE], self.options.lr, turn.progress)
        scaled_BW = self.sampler.scale(samples_BW)
        mean_BZ, log_sd_BZ = self.encode(scaled_BW, classes_BG)
        code_BZ = mean_BZ + log_sd_BZ.exp() * turn.normal(*mean_BZ.shape, like=mean_BZ)
        reconstruction = gaussian_nats(scaled_BW, *self.sampler.decode(code_BZ, classes_BG)).sum(1).mean()
        kl = kl_terms(mean_BZ, log_sd_BZ).sum(1).mean()
        warm = min(turn.progress / self.options.warm_up, 1.0) if self.options.warm_up else 1.0
        turn.optimise(VAE, reconstruction + self.options.beta * warm * kl)
        return {
            "reconstruction": float(reconstruction.detach()),
            "kl": float(kl.detach()),
            "beta": self.options.beta * warm,
        }

    def encode(self, scaled_BW: Tensor, classes_BG: Tensor) -> tuple[Tensor, Tensor]:
        """Return (B, Z) means and log standard deviations of the codes."""
        mean_BZ, log_sd_BZ = self.encoder(scaled_BW, classes_BG).chunk(2, 1)
        return mean_BZ, log_sd_BZ.clamp(-6.0, 2.0)

    @torch.no_grad()
    def report(self, samples_NW: Tensor, classes_NG: Tensor) -> dict[str, float | list[float]]:
        """``kl_terms`` in nats for each dimension of the code, and how many ``collapsed`` to the prior.

        They are of the encoder as training left it, the decoder that is kept may be an earlier one.
        """
        device = self.sampler.device
        scaled_NW = self.sampler.scale(samples_NW.to(device))
        terms_Z = kl_terms(*self.encode(scaled_NW, classes_NG.to(device))).mean(0)
        return {
            "kl": float(terms_Z.sum()),
            "kl_terms": [round(float(term), 5) for term in terms_Z.sort(descending=True).values],
            "collapsed": float((terms_Z < COLLAPSED_NATS).sum()),
        }


def kl_terms(mean_BZ: Tensor, log_sd_BZ: Tensor) -> Tensor:
    """Return (B, Z) KL divergence from the standard normal prior, nats (Kingma and Welling 2014, app. B)."""
    return 0.5 * (mean_BZ.square() + (2 * log_sd_BZ).exp() - 1) - log_sd_BZ


def gaussian_nats(samples_BW: Tensor, mean_BW: Tensor, log_sd_BW: Tensor) -> Tensor:
    """Return (B, W) negative log density in nats."""
    squares_BW = ((samples_BW - mean_BW) * (-log_sd_BW).exp()).square()
    return 0.5 * (squares_BW + math.log(2 * math.pi)) + log_sd_BW

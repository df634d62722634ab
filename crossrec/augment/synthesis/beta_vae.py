"""A conditional beta-VAE over vectors."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.optim import Adam, Optimizer

from crossrec.augment.synthesis.base import Learner, Sampler, Turn
from crossrec.augment.synthesis.config import BetaVaeConfig
from crossrec.augment.synthesis.networks import ConditionalMLP, Scale, decayed

VAE = "vae"
LOWEST_LOG_SD = -4.0
COLLAPSED_NATS = 0.01
"""A dimension whose KL term is below this says nothing of the sample."""


class VectorDecoder(Sampler):
    """Code and classes to the mean and the scatter of a vector, of which one is drawn.

    The noise is the code followed by the scatter's draws, so that equal noise gives equal samples.

    Args:
        config: of the VAE.
        scale: of the training vectors.
        n_classes: G, width of the class vectors.
    """

    def __init__(self, config: BetaVaeConfig, scale: Scale, n_classes: int) -> None:
        width = len(scale.mean)
        super().__init__(config.latent + width, n_classes)
        self.scale, self.code = scale, config.latent
        self.net = ConditionalMLP(config.latent, n_classes, config.width, config.depth, 2 * width)

    def decode(self, code_BZ: Tensor, classes_BG: Tensor) -> tuple[Tensor, Tensor]:
        """(B, W) means and log standard deviations, on the networks' scale."""
        mean_BW, log_sd_BW = self.net(code_BZ, classes_BG).chunk(2, 1)
        return mean_BW, log_sd_BW.clamp(LOWEST_LOG_SD, 2.0)

    def forward(self, noise_BZ: Tensor, classes_BG: Tensor) -> Tensor:
        """(B, W)."""
        mean_BW, log_sd_BW = self.decode(noise_BZ[:, : self.code], classes_BG)
        return self.scale.back(mean_BW + log_sd_BW.exp() * noise_BZ[:, self.code :])


class BetaVae(Learner):
    """Encoder and decoder.

    Source: Higgins et al. 2017, "beta-VAE", eq. 4, with classes given to both sides (Sohn et al. 2015) and
    a KL weight that warms up (Bowman et al. 2016). Ours also learns the decoder's scatter (Rybkin et al.
    2021): with a fixed one all samples would lie on the decoder's means.

    Args:
        config: of the VAE.
        sampler: the decoder.
    """

    def __init__(self, config: BetaVaeConfig, sampler: VectorDecoder) -> None:
        super().__init__()
        self.config: BetaVaeConfig = config
        self.sampler: VectorDecoder = sampler
        n_inputs = len(sampler.scale.mean)
        self.encoder = ConditionalMLP(
            n_inputs, sampler.n_classes, config.width, config.depth, 2 * config.latent
        )
        self._optimisers: dict[str, Optimizer] = {VAE: Adam(self.parameters(), lr=config.lr)}

    def players(self) -> dict[str, Optimizer]:
        """Encoder and decoder learn together."""
        return self._optimisers

    def step(self, samples_BW: Tensor, classes_BG: Tensor, turn: Turn) -> dict[str, float]:
        """Learns from one batch.

        Returns:
            ``reconstruction`` and ``kl`` in nats a sample, and ``beta``, the KL term's weight now.
        """
        decayed(self._optimisers[VAE], self.config.lr, turn.progress)
        scaled_BW = self.sampler.scale(samples_BW)
        mean_BZ, log_sd_BZ = self.encode(scaled_BW, classes_BG)
        code_BZ = mean_BZ + log_sd_BZ.exp() * turn.normal(*mean_BZ.shape, like=mean_BZ)
        reconstruction = gaussian_nats(scaled_BW, *self.sampler.decode(code_BZ, classes_BG)).sum(1).mean()
        kl = kl_terms(mean_BZ, log_sd_BZ).sum(1).mean()
        warm = min(turn.progress / self.config.warm_up, 1.0) if self.config.warm_up else 1.0
        turn.optimise(VAE, reconstruction + self.config.beta * warm * kl)
        return {
            "reconstruction": float(reconstruction.detach()),
            "kl": float(kl.detach()),
            "beta": self.config.beta * warm,
        }

    def encode(self, scaled_BW: Tensor, classes_BG: Tensor) -> tuple[Tensor, Tensor]:
        """(B, Z) means and log standard deviations of the codes."""
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
    """(B, Z) KL divergence from the standard normal prior in nats (Kingma and Welling 2014, appendix B)."""
    return 0.5 * (mean_BZ.square() + (2 * log_sd_BZ).exp() - 1) - log_sd_BZ


def gaussian_nats(samples_BW: Tensor, mean_BW: Tensor, log_sd_BW: Tensor) -> Tensor:
    """(B, W) negative log density in nats."""
    squares_BW = ((samples_BW - mean_BW) * (-log_sd_BW).exp()).square()
    return 0.5 * (squares_BW + math.log(2 * math.pi)) + log_sd_BW


def build_beta_vae(config: BetaVaeConfig, samples_NW: Tensor, classes_NG: Tensor, seed: int) -> BetaVae:
    """An untrained VAE whose weights depend on the seed alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return BetaVae(config, VectorDecoder(config, Scale(samples_NW), classes_NG.shape[1]))

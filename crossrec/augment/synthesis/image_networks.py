"""Generator and critic over pictures of 64 pixels."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from crossrec.augment.synthesis.base import Sampler

FIRST_SIDE = 4
FACTORS = (8, 4, 2, 1)
"""Channels at 4, 8, 16 and 32 pixels, as multiples of those at 32."""
INITIAL_SD = 0.02


class PictureGenerator(Sampler):
    """Noise and classes to pictures.

    Source: Radford et al. 2016, section 3 (transposed convolutions of stride 2, batch norm, ReLU, tanh).

    Args:
        latent: Z, width of the noise.
        n_classes: G, width of the class vectors.
        channels: at 32 pixels.
        conditional: whether the classes are looked at.
    """

    def __init__(self, latent: int, n_classes: int, channels: int, conditional: bool) -> None:
        super().__init__(latent, n_classes)
        self.conditional = conditional
        widths = [factor * channels for factor in FACTORS]
        self.first = widths[0]
        self.entry = nn.Linear(latent + (n_classes if conditional else 0), widths[0] * FIRST_SIDE**2)
        layers: list[nn.Module] = [nn.BatchNorm2d(widths[0]), nn.ReLU()]
        for wide, narrow in itertools.pairwise(widths):
            layers += [
                nn.ConvTranspose2d(wide, narrow, 4, 2, 1, bias=False),
                nn.BatchNorm2d(narrow),
                nn.ReLU(),
            ]
        layers += [nn.ConvTranspose2d(widths[-1], 3, 4, 2, 1), nn.Tanh()]
        self.net = nn.Sequential(*layers)
        self.apply(_initialise)

    def forward(self, noise_BZ: Tensor, classes_BG: Tensor) -> Tensor:
        """(B, 3, 64, 64) from -1 to 1."""
        seen = torch.cat([noise_BZ, classes_BG], 1) if self.conditional else noise_BZ
        return self.net(self.entry(seen).view(-1, self.first, FIRST_SIDE, FIRST_SIDE))


class PictureCritic(nn.Module):
    """Pictures and classes to a score.

    Source: Radford et al. 2016 with spectral norm on every layer (Miyato et al. 2018) in place of batch
    norm; classes by projection (Miyato and Koyama 2018, eq. 4).

    Args:
        n_classes: G, width of the class vectors.
        channels: at 32 pixels.
        conditional: whether the classes are looked at.
    """

    def __init__(self, n_classes: int, channels: int, conditional: bool) -> None:
        super().__init__()
        widths = [3, *(factor * channels for factor in reversed(FACTORS))]
        layers: list[nn.Module] = []
        for narrow, wide in itertools.pairwise(widths):
            layers += [spectral_norm(nn.Conv2d(narrow, wide, 4, 2, 1)), nn.LeakyReLU(0.1)]
        self.net = nn.Sequential(*layers)
        flat = widths[-1] * FIRST_SIDE**2
        self.exit = spectral_norm(nn.Linear(flat, 1))
        self.kinds = spectral_norm(nn.Linear(n_classes, flat, bias=False)) if conditional else None

    def forward(self, pictures: Tensor, classes_BG: Tensor) -> Tensor:
        """(B, 3, 64, 64), (B, G) -> (B,)."""
        hidden_BD = self.net(pictures).flatten(1)
        score_B = self.exit(hidden_BD).squeeze(1)
        if self.kinds is None:
            return score_B
        return score_B + (self.kinds(classes_BG) * hidden_BD).sum(1)


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.ConvTranspose2d):
        nn.init.normal_(module.weight, std=INITIAL_SD)

"""A small GAN over pictures: DCGAN with spectral norm and differentiable augmentation."""

from __future__ import annotations

import io
import itertools
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from PIL.Image import Image
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm
from torch.optim import Adam, Optimizer

from crossrec.augment.generators.base import GeneratorTrainer, LoopConfig, Sampler, Turn, seeded_weights
from crossrec.config import ComponentOptions
from crossrec.runtime.files import atomic_path
from crossrec.runtime.pictures import clean_picture
from crossrec.types import InputError

Augmentation = Literal["colour", "translation", "cutout"]
GENERATOR, CRITIC = "generator", "critic"


class ImageGan(GeneratorTrainer):
    """DCGAN with spectral norm and differentiable augmentation.

    Source: Radford et al. 2016; hinge loss Miyato et al. 2018, eqs. 16 and 17, or the non-saturating loss
    of Goodfellow et al. 2014; augmentation of Zhao et al. 2020.

    Args:
        options: sizes and rates.
        samples_NW: (n, 3, 64, 64) training pictures from -1 to 1.
        classes_NG: (n, G) their classes.
        seed: seed of the initial weights.

    Raises:
        InputError: if pictures have another size.
    """

    class Options(ComponentOptions):
        """A DCGAN at 64 pixels with spectral norm in the critic, optionally conditional on classes.

        Args:
            latent: width of the noise.
            channels: channels of the layers at 32 pixels; deeper layers have up to eight times as many.
            lr: Adam's rate of the generator.
            critic_lr: Adam's rate of the critic.
            loss: loss of both networks.
            conditional: whether classes are given to generator and critic.
            augmentations: differentiable ones that the critic sees real and generated pictures through;
                needed where there are only thousands of pictures.
            loop: options of the training loop.
        """

        latent: int = Field(96, ge=1, le=65_536)
        channels: int = Field(16, ge=1, le=4_096)
        lr: float = Field(4e-4, gt=0, le=100)
        critic_lr: float = Field(4e-4, gt=0, le=100)
        loss: Literal["hinge", "non_saturating"] = "hinge"
        conditional: bool = True
        augmentations: tuple[Augmentation, ...] = ("colour", "translation")
        loop: LoopConfig = LoopConfig(
            steps=6000, batch_size=16, ema=0.995, held_back=0.1, check_every=None, patience=None
        )

    def __init__(self, options: Options, samples_NW: Tensor, classes_NG: Tensor, seed: int) -> None:
        super().__init__()
        if samples_NW.ndim == 4 and samples_NW.shape[1:] != (3, SIDE, SIDE):
            shape = tuple(samples_NW.shape[1:])
            raise InputError(f"the image GAN takes pictures of shape (3, {SIDE}, {SIDE}), not {shape}")
        self.options: ImageGan.Options = options
        n_classes, looks = classes_NG.shape[1], (options.channels, options.conditional)
        with seeded_weights(seed):
            self.sampler: PictureGenerator = PictureGenerator(options.latent, n_classes, *looks)
            self.critic = PictureCritic(n_classes, *looks)
        self._optimisers: dict[str, Optimizer] = {
            GENERATOR: Adam(self.sampler.parameters(), lr=options.lr, betas=(0.5, 0.999)),
            CRITIC: Adam(self.critic.parameters(), lr=options.critic_lr, betas=(0.5, 0.999)),
        }

    def optimizers(self) -> dict[str, Optimizer]:
        """Return the optimizers of generator and critic."""
        return self._optimisers

    def step(self, samples_BW: Tensor, classes_BG: Tensor, turn: Turn) -> dict[str, float]:
        """Train both networks on every batch.

        Returns:
            ``critic`` and ``generator``, their losses; ``real`` and ``fake``, the critic's mean scores.
        """
        noise_BZ = turn.normal(len(samples_BW), self.sampler.latent, like=samples_BW)
        fake = self.sampler(noise_BZ, classes_BG)
        see = partial(
            diff_augment, kinds=self.options.augmentations, uniform=partial(turn.uniform, like=samples_BW)
        )
        real_B = self.critic(see(samples_BW), classes_BG)
        fake_B = self.critic(see(fake.detach()), classes_BG)
        critic_loss = self._critic_loss(real_B, fake_B)
        turn.optimise(CRITIC, critic_loss)
        loss = self._generator_loss(self.critic(see(fake), classes_BG))
        turn.optimise(GENERATOR, loss)
        return {
            "critic": float(critic_loss.detach()),
            "generator": float(loss.detach()),
            "real": float(real_B.detach().mean()),
            "fake": float(fake_B.detach().mean()),
        }

    def _critic_loss(self, real_B: Tensor, fake_B: Tensor) -> Tensor:
        if self.options.loss == "hinge":
            return functional.relu(1 - real_B).mean() + functional.relu(1 + fake_B).mean()
        return functional.softplus(-real_B).mean() + functional.softplus(fake_B).mean()

    def _generator_loss(self, fake_B: Tensor) -> Tensor:
        return -fake_B.mean() if self.options.loss == "hinge" else functional.softplus(-fake_B).mean()


FIRST_SIDE = 4
FACTORS = (8, 4, 2, 1)
"""Channels at 4, 8, 16 and 32 pixels, as multiples of those at 32."""

INITIAL_SD = 0.02


class PictureGenerator(Sampler):
    """Map of noise and classes to pictures.

    Source: Radford et al. 2016, section 3 (transposed convolutions of stride 2, batch norm, ReLU, tanh).

    Args:
        latent: Z, width of the noise.
        n_classes: G, width of the class vectors.
        channels: at 32 pixels.
        conditional: whether the classes are used.
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
        """Return (B, 3, 64, 64) from -1 to 1."""
        seen = torch.cat([noise_BZ, classes_BG], 1) if self.conditional else noise_BZ
        return self.net(self.entry(seen).view(-1, self.first, FIRST_SIDE, FIRST_SIDE))


class PictureCritic(nn.Module):
    """Map of pictures and classes to a score.

    Source: Radford et al. 2016 with spectral norm on every layer (Miyato et al. 2018) in place of batch
    norm; classes by projection (Miyato and Koyama 2018, eq. 4).

    Args:
        n_classes: G, width of the class vectors.
        channels: at 32 pixels.
        conditional: whether the classes are used.
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


Uniform = Callable[..., Tensor]
"""``uniform(*shape)`` gives numbers from 0 to 1."""

SHIFT, HOLE = 0.125, 0.4


def diff_augment(pictures: Tensor, kinds: Sequence[Augmentation], uniform: Uniform) -> Tensor:
    """Augment pictures, each by itself.

    Source: Zhao et al. 2020, "Differentiable Augmentation for Data-Efficient GAN Training", section 4. Ours
    cuts holes of 40 % of the side rather than 50 %: products fill the picture.

    Args:
        pictures: (B, 3, S, S) from -1 to 1.
        kinds: in this order.
        uniform: random numbers.
    """
    for kind in kinds:
        pictures = AUGMENTATIONS[kind](pictures, uniform)
    return pictures


def _colour(pictures: Tensor, uniform: Uniform) -> Tensor:
    """Brightness, saturation up to twice, contrast from a half to one and a half."""
    n = len(pictures)
    brightness, saturation, contrast = (uniform(n, 1, 1, 1) for _ in range(3))
    pictures = pictures + (brightness - 0.5)
    grey = pictures.mean(1, keepdim=True)
    pictures = grey + (pictures - grey) * (2 * saturation)
    mean = pictures.mean((1, 2, 3), keepdim=True)
    return mean + (pictures - mean) * (0.5 + contrast)


def _translation(pictures: Tensor, uniform: Uniform) -> Tensor:
    """Move by up to an eighth of the side; uncovered pixels are 0."""
    n, _, size, _ = pictures.shape
    reach = int(size * SHIFT)
    padded = functional.pad(pictures, [reach] * 4)
    starts = (uniform(n, 2) * (2 * reach + 1)).long().clamp(max=2 * reach)
    places = starts[:, :, None] + torch.arange(size, device=pictures.device)
    rows, columns = places[:, 0, :, None], places[:, 1, None, :]
    picked = torch.arange(n, device=pictures.device)[:, None, None]
    return padded.permute(0, 2, 3, 1)[picked, rows, columns].permute(0, 3, 1, 2)


def _cutout(pictures: Tensor, uniform: Uniform) -> Tensor:
    """Set a square to 0."""
    n, _, size, _ = pictures.shape
    side = int(size * HOLE)
    centre = (uniform(n, 2) * size).long()
    away = (torch.arange(size, device=pictures.device) - centre[:, :, None]).abs() < side / 2
    hole = away[:, 0, :, None] & away[:, 1, None, :]
    return pictures * (~hole)[:, None]


AUGMENTATIONS: dict[Augmentation, Callable[[Tensor, Uniform], Tensor]] = {
    "colour": _colour,
    "translation": _translation,
    "cutout": _cutout,
}
SIDE = 64
GAP = 2
WHITE = 255


def to_samples(pictures: Iterable[Image]) -> np.ndarray:
    """Return (n, 3, 64, 64) float32 in [-1, 1]; a non-square picture is squashed, as encoders see it."""
    from PIL.Image import Resampling

    rows = [
        np.asarray(clean_picture(picture).resize((SIDE, SIDE), Resampling.LANCZOS), np.float32)
        for picture in pictures
    ]
    if not rows:
        return np.zeros((0, 3, SIDE, SIDE), np.float32)
    return np.ascontiguousarray(np.stack(rows).transpose(0, 3, 1, 2) / 127.5 - 1)


def to_bytes(samples: np.ndarray) -> np.ndarray:
    """Return (n, 64, 64, 3) uint8 of samples from -1 to 1."""
    return np.clip((samples.transpose(0, 2, 3, 1) + 1) * 127.5 + 0.5, 0, 255).astype(np.uint8)


def to_images(samples: np.ndarray) -> list[Image]:
    """Return Pillow pictures of samples, for an encoder."""
    from PIL import Image

    return [Image.fromarray(pixels) for pixels in to_bytes(samples)]


def grid(samples: np.ndarray, columns: int) -> np.ndarray:
    """Return (H, W, 3) uint8: samples side by side, row by row.

    Raises:
        InputError: if there are no samples.
    """
    if not len(samples):
        raise InputError("a grid needs at least one picture")
    pixels = to_bytes(samples)
    lines, cell = -(-len(pixels) // columns), SIDE + GAP
    canvas = np.full((lines * cell + GAP, columns * cell + GAP, 3), WHITE, np.uint8)
    for place, picture in enumerate(pixels):
        top, left = GAP + place // columns * cell, GAP + place % columns * cell
        canvas[top : top + SIDE, left : left + SIDE] = picture
    return canvas


def png(pixels: np.ndarray) -> bytes:
    """Return an encoded (H, W, 3) uint8 picture."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def save_grid(path: Path, samples: np.ndarray, columns: int) -> None:
    """Write a grid as PNG."""
    content = png(grid(samples, columns))
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)

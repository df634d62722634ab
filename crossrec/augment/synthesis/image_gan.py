"""A small GAN over pictures: DCGAN with spectral norm and differentiable augmentation."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor
from torch.nn import functional
from torch.optim import Adam, Optimizer

from crossrec.augment.synthesis.base import Learner, Turn
from crossrec.augment.synthesis.config import ImageGanConfig
from crossrec.augment.synthesis.diff_augment import diff_augment
from crossrec.augment.synthesis.image_networks import PictureCritic, PictureGenerator
from crossrec.augment.synthesis.pictures import SIDE
from crossrec.types import InputError

GENERATOR, CRITIC = "generator", "critic"


class ImageGan(Learner):
    """Generator and critic.

    Source: Radford et al. 2016; hinge loss Miyato et al. 2018, eqs. 16 and 17, or the non-saturating loss
    of Goodfellow et al. 2014; augmentation of Zhao et al. 2020.

    Args:
        config: of the GAN.
        n_classes: G, width of the class vectors.
    """

    def __init__(self, config: ImageGanConfig, n_classes: int) -> None:
        super().__init__()
        self.config: ImageGanConfig = config
        looks = (config.channels, config.conditional)
        self.sampler: PictureGenerator = PictureGenerator(config.latent, n_classes, *looks)
        self.critic = PictureCritic(n_classes, *looks)
        self._optimisers: dict[str, Optimizer] = {
            GENERATOR: Adam(self.sampler.parameters(), lr=config.lr, betas=(0.5, 0.999)),
            CRITIC: Adam(self.critic.parameters(), lr=config.critic_lr, betas=(0.5, 0.999)),
        }

    def players(self) -> dict[str, Optimizer]:
        """Generator and critic."""
        return self._optimisers

    def step(self, samples_BW: Tensor, classes_BG: Tensor, turn: Turn) -> dict[str, float]:
        """Both learn from every batch.

        Returns:
            ``critic`` and ``generator``, their losses; ``real`` and ``fake``, the critic's mean scores.
        """
        noise_BZ = turn.normal(len(samples_BW), self.sampler.latent, like=samples_BW)
        fake = self.sampler(noise_BZ, classes_BG)
        see = partial(
            diff_augment, kinds=self.config.augmentations, uniform=partial(turn.uniform, like=samples_BW)
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
        if self.config.loss == "hinge":
            return functional.relu(1 - real_B).mean() + functional.relu(1 + fake_B).mean()
        return functional.softplus(-real_B).mean() + functional.softplus(fake_B).mean()

    def _generator_loss(self, fake_B: Tensor) -> Tensor:
        return -fake_B.mean() if self.config.loss == "hinge" else functional.softplus(-fake_B).mean()


def build_image_gan(config: ImageGanConfig, samples_NW: Tensor, classes_NG: Tensor, seed: int) -> ImageGan:
    """An untrained GAN whose weights depend on the seed alone.

    Raises:
        InputError: pictures of another size.
    """
    if samples_NW.ndim == 4 and samples_NW.shape[1:] != (3, SIDE, SIDE):
        raise InputError(
            f"the image GAN takes pictures of shape (3, {SIDE}, {SIDE}), not {tuple(samples_NW.shape[1:])}"
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return ImageGan(config, classes_NG.shape[1])

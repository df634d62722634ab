"""Configuration of generators and of the loop that trains them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from crossrec.config import Config, UnionFamily

if TYPE_CHECKING:
    from torch import Tensor

    from crossrec.augment.synthesis.base import Learner

Augmentation = Literal["colour", "translation", "cutout"]


class LoopConfig(Config):
    """How long and how a generator learns.

    Args:
        steps: batches worked on, the critic's where there is one.
        batch_size: samples in a batch.
        ema: how much of the averaged generator stays at each step; samples come from the average.
        held_back: share of the samples that is not learned from and tells copies from new samples.
        check_every: steps between two measurements; null measures at the end only, and keeps the last state.
        patience: measurements without a better one after which training ends; null never ends it early.
        checkpoint_every: steps between two states that a killed training resumes from.
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


class WganGpConfig(Config):
    """A conditional Wasserstein GAN with gradient penalty.

    Args:
        latent: width of the noise.
        width: of the hidden layers.
        depth: residual blocks in generator and critic.
        lr: Adam's rate for both; it falls linearly to a tenth.
        critic_steps: batches on which the critic learns for each step of the generator.
        penalty: weight of the gradient penalty.
        loop: how long it learns.
    """

    type: Literal["wgan_gp"] = "wgan_gp"
    latent: int = Field(64, ge=1, le=65_536)
    width: int = Field(256, ge=1, le=65_536)
    depth: int = Field(2, ge=1, le=1_000)
    lr: float = Field(1e-3, gt=0, le=100)
    critic_steps: int = Field(3, ge=1)
    penalty: float = Field(1.0, ge=0)
    loop: LoopConfig = LoopConfig(steps=12_000, ema=0.995, check_every=500, patience=8)

    def build(self, samples_NW: Tensor, classes_NG: Tensor, seed: int) -> Learner:
        """An untrained GAN for samples like these.

        Args:
            samples_NW: (n, W) training vectors, from which width and scale are taken.
            classes_NG: (n, G) their classes.
            seed: of the initial weights.
        """
        from crossrec.augment.synthesis.wgan_gp import build_wgan_gp

        return build_wgan_gp(self, samples_NW, classes_NG, seed)


class BetaVaeConfig(Config):
    """A conditional beta-VAE whose decoder also learns how far samples scatter.

    Args:
        latent: width of the code.
        width: of the hidden layers.
        depth: residual blocks in encoder and decoder.
        lr: Adam's rate; it falls linearly to a tenth.
        beta: weight of the KL term once it has warmed up.
        warm_up: share of the training over which that weight rises from 0.
        loop: how long it learns.
    """

    type: Literal["beta_vae"] = "beta_vae"
    latent: int = Field(32, ge=1, le=65_536)
    width: int = Field(192, ge=1, le=65_536)
    depth: int = Field(2, ge=1, le=1_000)
    lr: float = Field(1e-3, gt=0, le=100)
    beta: float = Field(1.0, ge=0)
    warm_up: float = Field(0.1, ge=0, le=1)
    loop: LoopConfig = LoopConfig(steps=4000, check_every=250, patience=6)

    def build(self, samples_NW: Tensor, classes_NG: Tensor, seed: int) -> Learner:
        """An untrained VAE for samples like these; arguments as for :meth:`WganGpConfig.build`."""
        from crossrec.augment.synthesis.beta_vae import build_beta_vae

        return build_beta_vae(self, samples_NW, classes_NG, seed)


class ImageGanConfig(Config):
    """A DCGAN at 64 pixels with spectral norm in the critic, optionally conditional on classes.

    Args:
        latent: width of the noise.
        channels: of the layers at 32 pixels; deeper layers have up to eight times as many.
        lr: Adam's rate of the generator.
        critic_lr: Adam's rate of the critic.
        loss: of both players.
        conditional: whether classes are given to generator and critic.
        augmentations: differentiable ones that the critic sees real and generated pictures through;
            needed where there are only thousands of pictures.
        loop: how long it learns.
    """

    type: Literal["image_gan"] = "image_gan"
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

    def build(self, samples_NW: Tensor, classes_NG: Tensor, seed: int) -> Learner:
        """An untrained GAN.

        Args:
            samples_NW: (n, 3, 64, 64) training pictures from -1 to 1.
            classes_NG: (n, G) their classes.
            seed: of the initial weights.
        """
        from crossrec.augment.synthesis.image_gan import build_image_gan

        return build_image_gan(self, samples_NW, classes_NG, seed)


class GaussianConfig(Config):
    """A Gaussian with full covariance for each class that has enough samples; the baseline of the others.

    Args:
        min_samples: of a class to have a mean and a covariance of its own; the rest share one.
        shrinkage: share of the covariance that is replaced by its mean variance times the identity.
    """

    type: Literal["gaussian"] = "gaussian"
    min_samples: int = Field(50, ge=2)
    shrinkage: float = Field(1e-3, ge=0, le=1)


VectorGeneratorConfig = Annotated[WganGpConfig | BetaVaeConfig, UnionFamily()]
"""Generators over item features and user profiles."""

TrainedGeneratorConfig = Annotated[WganGpConfig | BetaVaeConfig | ImageGanConfig, UnionFamily()]
"""Everything that the loop trains."""

AnyGeneratorConfig = Annotated[WganGpConfig | BetaVaeConfig | ImageGanConfig | GaussianConfig, UnionFamily()]
"""Everything that can be saved."""

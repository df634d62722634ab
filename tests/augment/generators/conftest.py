"""Small samples and settings that the tests of generators share, as one fixture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from accelerate import Accelerator

from crossrec.augment.generators.base import LoopConfig
from crossrec.augment.generators.beta_vae import BetaVae
from crossrec.augment.generators.image_gan import ImageGan
from crossrec.augment.generators.wgan_gp import WganGp

WIDTH, N_KINDS = 6, 3


def ring(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(n, 6) vectors on three rings, which no Gaussian fits, with one-hot classes."""
    generator = np.random.default_rng(seed)
    kind = np.arange(n) % N_KINDS
    angle = generator.uniform(0, 2 * np.pi, n)
    vectors = 0.05 * generator.standard_normal((n, WIDTH))
    vectors[:, 0] += np.cos(angle) + 3 * kind
    vectors[:, 1] += np.sin(angle)
    return vectors.astype(np.float32), np.eye(N_KINDS, dtype=np.float32)[kind]


def modes(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(n, 2) vectors in two heaps a class, between which a Gaussian puts many, with one-hot classes."""
    generator = np.random.default_rng(seed)
    kind = np.arange(n) % N_KINDS
    centres = 3 * np.random.default_rng(99).standard_normal((N_KINDS, 2, 2))
    vectors = centres[kind, generator.integers(0, 2, n)] + 0.3 * generator.standard_normal((n, 2))
    return vectors.astype(np.float32), np.eye(N_KINDS, dtype=np.float32)[kind]


SHORT = LoopConfig(
    steps=24, batch_size=16, check_every=8, checkpoint_every=8, log_every=4, held_back=0.2, patience=None
)
SMALL = {
    "wgan_gp": WganGp.Options(latent=8, width=16, depth=1, loop=SHORT),
    "beta_vae": BetaVae.Options(latent=4, width=16, depth=1, loop=SHORT),
    "image_gan": ImageGan.Options(
        latent=8,
        channels=2,
        augmentations=("colour", "translation", "cutout"),
        loop=SHORT.model_copy(update={"batch_size": 4}),
    ),
}


class Small:
    """What the fixture gives."""

    configs = SMALL
    width = WIDTH
    n_kinds = N_KINDS

    def accelerator(self) -> Accelerator:
        """Of one process on the CPU."""
        return Accelerator(cpu=True)

    def ring(self, n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """See above."""
        return ring(n, seed)

    def modes(self, n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """See above."""
        return modes(n, seed)

    def samples(self, name: str, n: int = 180) -> tuple[np.ndarray, np.ndarray]:
        """Samples that the generator of this name takes."""
        vectors, classes = ring(n, 0)
        if name != "image_gan":
            return vectors, classes
        pictures = np.random.default_rng(0).uniform(-1, 1, (n, 3, 64, 64))
        return pictures.astype(np.float32), classes

    def lines(self, path: Path) -> list[str]:
        """Of a text file."""
        return path.read_text(encoding="utf-8").splitlines()


@pytest.fixture(scope="session")
def small() -> Small:
    """Small settings and samples."""
    return Small()

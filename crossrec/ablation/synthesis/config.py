"""The configuration of a study of generators."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, PositiveInt

from crossrec.augment.synthesis.application_config import ClassSource
from crossrec.augment.synthesis.config import (
    BetaVaeConfig,
    GaussianConfig,
    ImageGanConfig,
    VectorGeneratorConfig,
    WganGpConfig,
)
from crossrec.config import Config

SpaceName = Literal["text", "image", "profile"]


class SynthesisConfig(Config):
    """Which generators are trained on what.

    Args:
        base: a run's configuration file, which names data and encoders.
        changes: overrides of it.
        out: folder of the results; a killed study goes on there.
        spaces: what is generated: items' text features, their image features, or users' profiles (means of
            the features of their training clicks).
        components: dimensions that frozen features are whitened to, or auto, as ``model.whiten``; null only
            centres and scales them.
        generators: over vectors.
        gaussian: the baseline.
        image_gan: over the catalogue's pictures; null for none.
        classes: what generators are told of samples: categories (a user's is the one clicked most), or the
            K-means groups of items and users that the base's section ``segments`` makes.
        max_classes: most frequent categories that generators are told of.
        grid: columns and rows of the pictures shown.
        seed: of everything that is drawn.
        device: where generators learn.
    """

    base: Path
    changes: tuple[str, ...] = ()
    out: Path = Path("runs/synthesis")
    spaces: tuple[SpaceName, ...] = ("text", "image")
    components: Annotated[int, Field(ge=2, le=65_536)] | Literal["auto"] | None = 64
    generators: tuple[VectorGeneratorConfig, ...] = (WganGpConfig(), BetaVaeConfig())
    gaussian: GaussianConfig = GaussianConfig()
    image_gan: ImageGanConfig | None = ImageGanConfig()
    classes: ClassSource = "categories"
    max_classes: int = Field(64, ge=1)
    grid: tuple[PositiveInt, PositiveInt] = (12, 6)
    seed: int = Field(0, ge=0)
    device: str = "auto"

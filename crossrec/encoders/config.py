"""Configurations of the text and image encoders; importing them loads no heavy library."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from crossrec.config import Config
from crossrec.runtime.weights import LoRAOptions

if TYPE_CHECKING:
    from crossrec.encoders.image import ImageEncoder
    from crossrec.encoders.text import TextEncoder


class Training(StrEnum):
    """Which of an encoder's parameters learn."""

    FROZEN = "frozen"
    FINETUNE = "finetune"
    LORA = "lora"


class Precision(StrEnum):
    """Arithmetic of ``encode``: bf16 autocast, fp32, or bf16 where the hardware multiplies it natively."""

    AUTO = "auto"
    BF16 = "bf16"
    FP32 = "fp32"


class Pooling(StrEnum):
    """How the tokens' vectors become one."""

    MEAN = "mean"
    CLS = "cls"


class CropMode(StrEnum):
    """How a picture becomes a square: squashed whole, cut from its centre, or padded."""

    SQUASH = "squash"
    CENTER = "center"
    BORDER = "border"


class TextEncoderConfig(Config):
    """Any encoder of ``transformers``, pooled to one vector a text."""

    type: Literal["transformer"] = "transformer"
    weights: str = Field(default="package:minilm", description="path, package:NAME, hub:ORG/NAME or random")
    architecture: str = Field(
        default="package:minilm", description="with weights: random, where settings and tokenizer come from"
    )
    seed: int = Field(default=0, ge=0, description="of the initialisation with weights: random")
    pooling: Pooling = Pooling.MEAN
    max_tokens: int = Field(default=128, ge=2, le=1_000_000, description="a longer text is cut here")
    training: Training = Training.FROZEN
    lora: LoRAOptions = LoRAOptions()
    batch_size: int = Field(default=64, ge=1, le=10_000_000, description="texts encoded at once")
    precision: Precision = Precision.AUTO

    def check(self, cache_dir: Path) -> None:
        """Refuses what :meth:`build` would, without loading weights.

        Raises:
            InputError: weights can't be had, or ``max_tokens`` is more than the model takes.
        """
        from crossrec.encoders.text import check_text_encoder

        check_text_encoder(self, cache_dir)

    def build(self, cache_dir: Path) -> TextEncoder:
        """Loads tokenizer and weights.

        Args:
            cache_dir: folder for converted weights.
        """
        from crossrec.encoders.text import build_text_encoder

        return build_text_encoder(self, cache_dir)


class ImageEncoderConfig(Config):
    """Any model of ``timm``, without its classifier."""

    type: Literal["timm"] = "timm"
    model: str = Field(default="tf_efficientnet_lite0", description="timm architecture")
    weights: str = Field(
        default="package:efficientnet-lite0", description="path, package:NAME, hub:ORG/NAME, timm or random"
    )
    seed: int = Field(default=0, ge=0, description="of the initialisation with weights: random")
    image_size: int | None = Field(
        default=None, ge=16, le=4_096, description="pixels a side; None for the model's own"
    )
    crop_mode: CropMode = CropMode.SQUASH
    crop_pct: float = Field(default=1.0, gt=0, le=1, description="share of the side that is kept")
    training: Training = Training.FROZEN
    lora: LoRAOptions = LoRAOptions()
    batch_size: int = Field(default=32, ge=1, le=10_000_000, description="pictures encoded at once")
    precision: Precision = Precision.AUTO

    def check(self, cache_dir: Path) -> None:
        """Refuses what :meth:`build` would, without loading weights.

        Raises:
            InputError: there is no such model, weights can't be had, or the model takes another size.
        """
        from crossrec.encoders.image import check_image_encoder

        check_image_encoder(self)

    def build(self, cache_dir: Path) -> ImageEncoder:
        """Builds the model and loads its weights.

        Args:
            cache_dir: folder for converted weights; unused, since no image weights need converting.
        """
        from crossrec.encoders.image import build_image_encoder

        return build_image_encoder(self)

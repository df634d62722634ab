"""Image encoder: a timm model without its classifier."""

from __future__ import annotations

import difflib
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from pydantic import Field, model_validator

from crossrec.config import ComponentOptions
from crossrec.encoders.base import Encoder, EncoderPrecision, Tuning, without_type
from crossrec.runtime.pictures import DECODING, clean_picture
from crossrec.runtime.weights import (
    ResolvedWeights,
    WeightsError,
    WeightsSource,
    read_state_dict,
    resolve,
    ways,
)
from crossrec.runtime.weights.lora import LoRAOptions
from crossrec.types import InputError

if TYPE_CHECKING:
    from PIL.Image import Image


class CropMode(StrEnum):
    """Way to make a picture square: squash, centre crop, or padding."""

    SQUASH = "squash"
    CENTER = "center"
    BORDER = "border"


class ImageEncoder(Encoder):
    """Any image model of ``timm``: one vector per picture.

    Args:
        options: model, weights, preprocessing, and trained parameters.
        cache_dir: not used, since no image weights need converting.
        backbone: a timm model built with ``num_classes=0``, in place of the one that the options name.

    Raises:
        WeightsError: if the weights can't be loaded or don't fit; the message says how to get them.
        InputError: if no layer has a name in ``lora.target_modules``.
    """

    class Options(ComponentOptions):
        """Any model of ``timm``, without its classifier."""

        model: str = Field(default="tf_efficientnet_lite0", description="timm architecture")
        weights: str = Field(
            default="package:efficientnet-lite0",
            description="path, package:NAME, hub:ORG/NAME, timm or random",
        )
        seed: int = Field(default=0, ge=0, description="seed of the initialisation with weights: random")
        image_size: int | None = Field(
            default=None, ge=16, le=4_096, description="side of the input, pixels; None for the model's own"
        )
        crop_mode: CropMode = CropMode.SQUASH
        crop_pct: float = Field(default=1.0, gt=0, le=1, description="share of the side that is kept")
        training: Tuning = Tuning.FROZEN
        lora: LoRAOptions = LoRAOptions()
        batch_size: int = Field(
            default=32, ge=1, le=10_000_000, description="number of pictures encoded at once"
        )
        precision: EncoderPrecision = EncoderPrecision.AUTO

        _type = model_validator(mode="before")(without_type("timm"))

        def check(self, cache_dir: Path) -> None:
            """Check the options, from names and the model's settings alone.

            Raises:
                InputError: if timm has no such model, weights can't be loaded or are another model's, or the
                    model requires another size.
            """
            import timm

            weights = _resolved(self)
            if weights.source is WeightsSource.RANDOM or weights.path is not None:
                with torch.device("meta"):
                    model = timm.create_model(self.model, num_classes=0)
                if self.image_size is not None:
                    _check_input_size(model, self.model, self.image_size)

    def __init__(self, options: Options, cache_dir: Path, backbone: Any = None) -> None:
        from timm.data.config import resolve_data_config
        from timm.data.transforms_factory import create_transform

        model = _load_backbone(options) if backbone is None else backbone
        chosen = {"crop_pct": options.crop_pct, "crop_mode": options.crop_mode.value}
        settings = resolve_data_config(chosen, model=model)
        if options.image_size is not None:
            settings["input_size"] = (3, options.image_size, options.image_size)
        width = int(getattr(model, "head_hidden_size", None) or model.num_features)
        super().__init__(model, training=options.training, lora=options.lora, precision=options.precision)
        self.width, self.batch_size, self.settings = width, options.batch_size, settings
        self.transform = create_transform(**settings, is_training=False)

    @property
    def identity(self) -> str:
        """Identity of weights (by content) and preprocessing: the key of cached features."""
        return self._identity(f"image|{DECODING}|{sorted(self.settings.items())}")

    def preprocess(self, image: Image) -> torch.Tensor:
        """Turn a picture upright and on white, then resize, crop and normalise it as the weights expect.

        Returns:
            (3, H, W) float32.
        """
        return self.transform(clean_picture(image))

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Encode preprocessed pictures.

        Args:
            pixels: (B, 3, H, W) float.

        Returns:
            (B, D) vectors, not normalised.
        """
        return self.backbone(pixels.contiguous(memory_format=torch.channels_last))

    @torch.no_grad()
    def encode(self, images: list[Image]) -> np.ndarray:
        """Encode pictures in evaluation mode.

        Returns:
            (B, D) float32.
        """
        vectors_BD = np.zeros((len(images), self.width), np.float32)
        was_training = self.training
        self.eval()
        for start in range(0, len(images), self.batch_size):
            batch = images[start : start + self.batch_size]
            pixels = torch.stack([self.preprocess(image) for image in batch]).to(self.device)
            with self.autocast():
                vectors_BD[start : start + len(batch)] = self(pixels).float().cpu().numpy()
        self.train(was_training)
        return vectors_BD


def _resolved(options: ImageEncoder.Options) -> ResolvedWeights:
    import timm

    if not timm.is_model(options.model):
        near = difflib.get_close_matches(options.model, timm.list_models(), n=5, cutoff=0.5)
        hint = f"did you mean {', '.join(near)}?" if near else "timm.list_models() lists them"
        raise InputError(f"timm has no model '{options.model}'; {hint}")
    weights = resolve(options.weights)
    _check_package(options.model, weights)
    return weights


def _load_backbone(options: ImageEncoder.Options) -> Any:
    import timm

    weights = _resolved(options)
    if weights.source is WeightsSource.TIMM:
        model = _from_timm(options.model)
    else:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(options.seed)
            model = timm.create_model(options.model, num_classes=0)
    if weights.path is not None:
        _load_strictly(model, options.model, weights)
    if options.image_size is not None:
        _set_input_size(model, options.model, options.image_size)
    return model


def _set_input_size(model: Any, name: str, image_size: int) -> None:
    """Return whether the model has position embeddings; CNNs accept any size."""
    if hasattr(model, "set_input_size"):
        model.set_input_size(img_size=image_size)
    else:
        _check_input_size(model, name, image_size)


def _check_input_size(model: Any, name: str, image_size: int) -> None:
    if not hasattr(model, "set_input_size") and model.pretrained_cfg.get("fixed_input_size"):
        raise InputError(f"image_size={image_size}: {name} takes only its own size; leave image_size out")


def _check_package(name: str, weights: ResolvedWeights) -> None:
    package = weights.package
    if package is not None and package.model != name:
        fits = package.fits if package.model is None else f"those of {package.model}"
        raise WeightsError(f"weights '{weights.identity}' are {fits}, not of {name}. {ways()}")


def _from_timm(name: str) -> Any:
    import timm

    try:
        return timm.create_model(name, pretrained=True, num_classes=0)
    except Exception as error:  # timm and the hub raise many classes when a download fails
        raise WeightsError(f"weights 'timm' of {name}: {error}. {ways()}") from error


def _load_strictly(model: Any, name: str, weights: ResolvedWeights) -> None:
    heads = model.pretrained_cfg.get("classifier") or ()
    prefixes = tuple(f"{head}." for head in ([heads] if isinstance(heads, str) else heads))
    tensors = {k: v for k, v in read_state_dict(weights).items() if not (prefixes and k.startswith(prefixes))}
    try:
        model.load_state_dict(tensors, strict=True)
    except RuntimeError as error:
        raise WeightsError(f"weights '{weights.identity}' are not those of {name}: {error}") from error

"""Image encoder: a timm model without its classifier."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

import numpy as np
import timm
import torch
from timm.data.config import resolve_data_config
from timm.data.transforms_factory import create_transform

from crossrec.encoders.base import Encoder
from crossrec.encoders.config import CropMode, ImageEncoderConfig, Precision, Training
from crossrec.runtime.pictures import DECODING, clean_picture
from crossrec.runtime.weights import (
    LoRAOptions,
    ResolvedWeights,
    Source,
    WeightsError,
    read_state_dict,
    resolve,
    ways,
)
from crossrec.types import InputError

if TYPE_CHECKING:
    from PIL.Image import Image


def build_image_encoder(config: ImageEncoderConfig) -> ImageEncoder:
    """Builds the timm model and loads its weights as the config says.

    Raises:
        WeightsError: the weights can't be had or don't fit; the message says how to get them.
        ValueError: no layer is named as LoRA asks.
    """
    return ImageEncoder(
        _load_backbone(config),
        image_size=config.image_size,
        crop_mode=config.crop_mode,
        crop_pct=config.crop_pct,
        batch_size=config.batch_size,
        training=config.training,
        lora=config.lora,
        precision=config.precision,
    )


class ImageEncoder(Encoder):
    """Pictures to one vector each.

    Args:
        model: a timm model built with ``num_classes=0``.
        image_size: pixels a side; None for the model's own.
        crop_mode: how a picture becomes a square.
        crop_pct: share of the side that is kept.
        batch_size: pictures encoded at once.
        training: which parameters learn.
        lora: settings of the adapters.
        precision: arithmetic of :meth:`encode`.
    """

    def __init__(
        self,
        model: Any,
        *,
        image_size: int | None = None,
        crop_mode: CropMode = CropMode.SQUASH,
        crop_pct: float = 1.0,
        batch_size: int = 32,
        training: Training = Training.FROZEN,
        lora: LoRAOptions | None = None,
        precision: Precision = Precision.AUTO,
    ) -> None:
        settings = resolve_data_config({"crop_pct": crop_pct, "crop_mode": crop_mode.value}, model=model)
        if image_size is not None:
            settings["input_size"] = (3, image_size, image_size)
        width = int(getattr(model, "head_hidden_size", None) or model.num_features)
        super().__init__(model, training=training, lora=lora or LoRAOptions(), precision=precision)
        self.width, self.batch_size, self.settings = width, batch_size, settings
        self.transform = create_transform(**settings, is_training=False)

    @property
    def identity(self) -> str:
        """Names weights (by content) and preprocessing: the key of cached features."""
        return self._identity(f"image|{DECODING}|{sorted(self.settings.items())}")

    def preprocess(self, image: Image) -> torch.Tensor:
        """Resizes, crops and normalises a picture as the weights expect; turned upright and on white before.

        Returns:
            (3, H, W) float32.
        """
        return self.transform(clean_picture(image))

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Encodes preprocessed pictures.

        Args:
            pixels: (B, 3, H, W) float.

        Returns:
            (B, D) vectors, not normalised.
        """
        return self.backbone(pixels.contiguous(memory_format=torch.channels_last))

    @torch.no_grad()
    def encode(self, images: list[Image]) -> np.ndarray:
        """Encodes pictures in evaluation mode.

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


def check_image_encoder(config: ImageEncoderConfig) -> None:
    """Refuses what :func:`build_image_encoder` would, from names and the model's settings alone.

    Raises:
        InputError: there is no such model, weights can't be had or are another model's, or the model takes
            another size.
    """
    weights = _resolved(config)
    if weights.source is Source.RANDOM or weights.path is not None:
        with torch.device("meta"):
            model = timm.create_model(config.model, num_classes=0)
        if config.image_size is not None:
            _check_input_size(model, config.model, config.image_size)


def _resolved(config: ImageEncoderConfig) -> ResolvedWeights:
    if not timm.is_model(config.model):
        near = difflib.get_close_matches(config.model, timm.list_models(), n=5, cutoff=0.5)
        hint = f"did you mean {', '.join(near)}?" if near else "timm.list_models() lists them"
        raise InputError(f"timm has no model '{config.model}'; {hint}")
    weights = resolve(config.weights)
    _check_package(config.model, weights)
    return weights


def _load_backbone(config: ImageEncoderConfig) -> Any:
    weights = _resolved(config)
    if weights.source is Source.TIMM:
        model = _from_timm(config.model)
    else:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            model = timm.create_model(config.model, num_classes=0)
    if weights.path is not None:
        _load_strictly(model, config.model, weights)
    if config.image_size is not None:
        _set_input_size(model, config.model, config.image_size)
    return model


def _set_input_size(model: Any, name: str, image_size: int) -> None:
    """Tells models with position embeddings; CNNs take any size."""
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

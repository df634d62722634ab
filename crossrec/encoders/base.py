"""Base of text and image encoders: trained parameters, batch norms, precision and identity."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Self, cast

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from crossrec.config import Component, UnusableValue
from crossrec.runtime.device import computes_bf16
from crossrec.runtime.weights.lora import LoRAOptions, attach_lora, lora_targets

if TYPE_CHECKING:
    from peft import PeftModel


class Tuning(StrEnum):
    """Trained parameters of an encoder."""

    FROZEN = "frozen"
    FINETUNE = "finetune"
    LORA = "lora"


class EncoderPrecision(StrEnum):
    """Precision of ``encode``: bf16 autocast, fp32, or bf16 if the hardware supports it natively."""

    AUTO = "auto"
    BF16 = "bf16"
    FP32 = "fp32"


class Encoder(Component, nn.Module):
    """Pretrained backbone, frozen, finetuned or with low-rank adapters.

    Args:
        backbone: pretrained model.
        training: trained parameters.
        lora: options of the adapters.
        precision: precision of ``encode``; in a training step the trainer's autocast applies.
    """

    def __init__(
        self, backbone: nn.Module, *, training: Tuning, lora: LoRAOptions, precision: EncoderPrecision
    ) -> None:
        super().__init__()
        if training is Tuning.LORA:
            backbone = attach_lora(backbone, lora, lora_targets(backbone, lora.target_modules))
        else:
            backbone.requires_grad_(training is Tuning.FINETUNE)
        self.backbone = backbone
        self.training_mode = training
        self.tuned_names = frozenset(name for name, p in self.named_parameters() if p.requires_grad)
        """Names of the parameters that are not frozen."""
        self.precision = precision
        self.train(False)

    def train(self, mode: bool = True) -> Self:
        """Switch training mode; a frozen backbone and all batch norms stay in evaluation mode."""
        super().train(mode)
        if self.training_mode is Tuning.FROZEN:
            self.backbone.eval()
        for module in self.backbone.modules():
            if isinstance(module, _BatchNorm):  # an item's features never depend on its batch
                module.eval()
        return self

    def adapter(self) -> PeftModel | None:
        """peft's model: ``adapter().save_pretrained(folder)`` saves in peft's layout; None without LoRA."""
        return cast("PeftModel", self.backbone) if self.training_mode is Tuning.LORA else None

    @property
    def device(self) -> torch.device:
        """Device of the parameters."""
        return next(self.backbone.parameters()).device

    def autocast(self) -> AbstractContextManager[object]:
        """Return the autocast context of the precision."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self._uses_bf16())

    def _uses_bf16(self) -> bool:
        return computes_bf16(self.precision, self.device)

    def _identity(self, preprocessing: str) -> str:
        dtype = EncoderPrecision.BF16 if self._uses_bf16() else EncoderPrecision.FP32
        return f"{preprocessing}|{dtype}|parameters={parameter_digest(self.backbone)}"


def without_type(name: str) -> Callable[[Any], Any]:
    """Return a validator that drops the key ``type``, which earlier versions wrote into every configuration.

    Args:
        name: the only type that there was.
    """

    def drop(value: Any) -> Any:
        if not isinstance(value, Mapping) or "type" not in value:
            return value
        if value["type"] != name:
            raise UnusableValue(("type",), f"'{value['type']}' is no encoder; leave 'type' out")
        return {key: content for key, content in value.items() if key != "type"}

    return drop


def parameter_digest(module: nn.Module) -> str:
    """Return a hash of all parameters and buffers with their names; 0.1 s for 100 MB."""
    digest = hashlib.blake2b(digest_size=16)
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(f"{name}|{tensor.dtype}|{tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()

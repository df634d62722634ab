"""Low-rank adapters (LoRA) on layers of a pretrained model: options and attachment."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pydantic import Field
from torch import nn

from crossrec.config import Config
from crossrec.types import InputError

if TYPE_CHECKING:
    from peft import PeftModel


class LoRAOptions(Config):
    """Low-rank adapters on chosen layers: ``W x + (alpha / r) B A x``, in which only A and B are trained.

    Source:
        Hu et al., LoRA: Low-Rank Adaptation of Large Language Models, ICLR 2022.
    """

    r: int = Field(default=8, ge=1, le=65_536, description="rank")
    alpha: int = Field(
        default=16, gt=0, le=1_000_000, description="scale; the update is multiplied by alpha / r"
    )
    dropout: float = Field(default=0.0, ge=0, lt=1)
    target_modules: tuple[str, ...] | None = Field(
        default=None,
        description="names, or ends of names, of layers; None for the attention layers, or a CNN's convs",
    )


def attach_lora(backbone: nn.Module, options: LoRAOptions, targets: list[str] | str) -> PeftModel:
    """Freeze a model and attach adapters to some of its layers.

    Args:
        backbone: pretrained model; changed in place.
        options: rank, scale and dropout.
        targets: full names of the layers, or a pattern that matches them.
    """
    from peft import LoraConfig, get_peft_model

    settings = LoraConfig(
        r=options.r, lora_alpha=options.alpha, lora_dropout=options.dropout, target_modules=targets
    )
    with warnings.catch_warnings():
        # peft still uses a name that transformers deprecates.
        warnings.filterwarnings("ignore", category=FutureWarning, message=".*is_gradient_checkpointing.*")
        return get_peft_model(backbone, settings)


def lora_targets(backbone: nn.Module, wanted: Sequence[str] | None) -> list[str]:
    """Return full names of the layers that get adapters.

    Args:
        backbone: pretrained model.
        wanted: names, or ends of names; None or empty for :func:`default_lora_targets`.

    Raises:
        InputError: if no layer has such a name, or the model has no layers to choose by default.
    """
    if not wanted:
        return default_lora_targets(backbone)
    names = _adaptable(backbone)
    chosen: list[str] = []
    for target in wanted:
        found = [name for name in names if name == target or name.endswith(f".{target}")]
        if not found:
            raise InputError(
                f"lora.target_modules: no layer of {type(backbone).__name__} is named '{target}'; "
                f"there are {sorted({name.rpartition('.')[2] for name in names})}"
            )
        chosen += found
    return sorted(set(chosen))


def default_lora_targets(backbone: nn.Module) -> list[str]:
    """Return the names of the layers that get adapters if the configuration names none.

    These are the Linear layers of attention blocks; without attention (CNNs), the convolutions that are
    neither grouped nor the first.

    Raises:
        InputError: if the model has neither.
    """
    layers = dict(backbone.named_modules())
    attention = [n for n, m in layers.items() if isinstance(m, nn.Linear) and "attn" in _attention_name(n)]
    if attention:
        return attention
    convolutions = [n for n, m in layers.items() if isinstance(m, nn.Conv2d)]
    dense = [name for name in convolutions[1:] if layers[name].groups == 1]
    if not dense:
        raise InputError(
            f"LoRA: {type(backbone).__name__} has no attention layer and no dense convolution; "
            f"name its layers in lora.target_modules, such as {_adaptable(backbone)[:5]}"
        )
    return dense


def _attention_name(name: str) -> str:
    return name.lower().replace("attention", "attn")


def _adaptable(backbone: nn.Module) -> list[str]:
    kinds = (nn.Linear, nn.Conv2d, nn.Embedding)
    return [name for name, module in backbone.named_modules() if isinstance(module, kinds)]

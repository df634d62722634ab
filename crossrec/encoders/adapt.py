"""Which parameters of a pretrained backbone learn: none, all, or low-rank adapters on chosen layers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from peft import LoraConfig, PeftModel, get_peft_model
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from crossrec.encoders.config import LoraSettings, Training
from crossrec.types import InputError

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def adapt(backbone: nn.Module, training: Training, lora: LoraSettings) -> nn.Module:
    """Sets which parameters require a gradient; with ``lora``, wraps the backbone in a ``PeftModel``.

    Raises:
        InputError: no layer is named as ``lora.target_modules`` says.
    """
    if training is Training.LORA:
        targets = _chosen_targets(backbone, lora.target_modules) or default_targets(backbone)
        settings = LoraConfig(
            r=lora.r, lora_alpha=lora.alpha, lora_dropout=lora.dropout, target_modules=targets
        )
        return get_peft_model(backbone, settings)
    return backbone.requires_grad_(training is Training.FINETUNE)


def default_targets(backbone: nn.Module) -> list[str]:
    """Names of the layers that LoRA adapts where the config names none.

    The Linear layers of attention blocks; without attention (CNNs), the convolutions that are
    neither grouped nor the first.

    Raises:
        InputError: the backbone has neither.
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


def keep_batch_statistics(backbone: nn.Module) -> None:
    """Puts batch norms in evaluation mode: an item's features never depend on its batch."""
    for module in backbone.modules():
        if isinstance(module, _BatchNorm):
            module.eval()


def as_adapter(backbone: nn.Module | PreTrainedModel) -> PeftModel | None:
    """The backbone as peft's model, which saves itself in peft's layout; None without LoRA."""
    return backbone if isinstance(backbone, PeftModel) else None


def _attention_name(name: str) -> str:
    return name.lower().replace("attention", "attn")


def _chosen_targets(backbone: nn.Module, wanted: tuple[str, ...] | None) -> list[str]:
    names = _adaptable(backbone)
    chosen: list[str] = []
    for target in wanted or ():
        found = [name for name in names if name == target or name.endswith(f".{target}")]
        if not found:
            raise InputError(
                f"lora.target_modules: no layer of {type(backbone).__name__} is named '{target}'; "
                f"there are {sorted({name.rpartition('.')[2] for name in names})}"
            )
        chosen += found
    return sorted(set(chosen))


def _adaptable(backbone: nn.Module) -> list[str]:
    kinds = (nn.Linear, nn.Conv2d, nn.Embedding)
    return [name for name, module in backbone.named_modules() if isinstance(module, kinds)]

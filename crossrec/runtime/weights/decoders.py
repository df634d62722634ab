"""Parts of pretrained decoders: their layers, shortened stacks, and the layers that LoRA adapts."""

from __future__ import annotations

import re
from typing import Any

from pydantic import Field
from torch import nn

from crossrec.runtime.weights.lora import LoRAOptions
from crossrec.types import InputError


class DecoderLoRAOptions(LoRAOptions):
    """LoRA with the defaults of a decoder: on all maps of its attention, with some dropout."""

    dropout: float = Field(0.05, ge=0, lt=1)
    target_modules: tuple[str, ...] = ("q_proj", "k_proj", "v_proj", "o_proj")


def check_layers(count: int | None, total: int, key: str) -> None:
    """Check that a decoder has as many layers as are kept.

    Args:
        count: layers to keep; all when None.
        total: layers of the decoder.
        key: section of the options, for the message.

    Raises:
        InputError: if it has fewer.
    """
    if count is not None and count > total:
        raise InputError(f"{key}.layers={count}, but the decoder has only {total} layers")


def layer_stack(decoder: Any, key: str) -> str:
    """Return the name of the decoder's list of layers.

    Raises:
        InputError: if there is none.
    """
    total = decoder.config.num_hidden_layers
    stacks = [n for n, m in decoder.named_modules() if isinstance(m, nn.ModuleList) and len(m) == total]
    if not stacks:
        raise InputError(f"{key}: found no stack of {total} layers in {type(decoder).__name__}")
    return stacks[0]


def keep_first_layers(decoder: Any, stack: str, count: int | None, key: str) -> None:
    """Truncate the decoder in place; arguments as in :func:`check_layers`, ``stack`` its list of layers."""
    check_layers(count, decoder.config.num_hidden_layers, key)
    if count is not None:
        holder, name = stack_holder(decoder, stack)
        setattr(holder, name, getattr(holder, name)[:count])
        decoder.config.num_hidden_layers = count


def stack_holder(decoder: Any, stack: str) -> tuple[nn.Module, str]:
    """Return the module that has the list of layers, and its name there."""
    parent, _, name = stack.rpartition(".")
    return decoder.get_submodule(parent), name


def check_targets(layers: nn.Module, modules: tuple[str, ...], key: str, hint: str = "") -> None:
    """Check that all modules to adapt are there.

    Args:
        layers: layers of the decoder.
        modules: names of the modules to adapt.
        key: section of the options, for the message.
        hint: end of the message.

    Raises:
        InputError: if one is not.
    """
    there = {
        name.rpartition(".")[2] for name, module in layers.named_modules() if isinstance(module, nn.Linear)
    }
    if missing := [name for name in modules if name not in there]:
        raise InputError(
            f"{key}.lora.target_modules: the decoder's layers have no {', '.join(missing)}; there "
            f"are {', '.join(sorted(there))}{hint}"
        )


def target_pattern(modules: tuple[str, ...], stack: str, layers: int | None) -> str:
    """Return a pattern of the adapted modules with layer numbers: it fits the uncut decoder as well."""
    numbers = r"\d+" if layers is None else "|".join(str(i) for i in range(layers))
    names = "|".join(re.escape(module) for module in modules)
    return rf"(.*\.)?{re.escape(stack)}\.({numbers})\.(.*\.)?({names})"

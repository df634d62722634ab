"""Readers of weight files: state dicts in the layouts that the registry's packages use."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crossrec.runtime.weights.resolve import Layout, ResolvedWeights, WeightsError

if TYPE_CHECKING:
    import torch

_SAFETENSORS = ".safetensors"
_WEIGHT_FILES = ("*.safetensors", "*.bin", "*.pth", "*.pt")
_NESTING = ("state_dict", "model_state_dict", "model")
_WRAPPERS = ("module.", "_orig_mod.")

_EFFICIENTNET_BLOCKS_PER_STAGE = (1, 2, 2, 3, 3, 4, 1)
_OUTSIDE_BLOCKS = {
    "_conv_stem": "conv_stem",
    "_bn0": "bn1",
    "_conv_head": "conv_head",
    "_bn1": "bn2",
    "_fc": "classifier",
}
_FIRST_BLOCK = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
_OTHER_BLOCKS = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}


def read_state_dict(weights: ResolvedWeights) -> dict[str, torch.Tensor]:
    """Read the tensors of a file, or of a folder's only weight file, with timm's names.

    Raises:
        WeightsError: if the file can't be read as a state dict.
    """
    tensors = _read_file(_only_file(weights.local()))
    if weights.package is not None and weights.package.layout is Layout.LUKEMELAS_EFFICIENTNET:
        return {efficientnet_name(name): tensor for name, tensor in tensors.items()}
    return tensors


def efficientnet_name(name: str) -> str:
    """Return the name that timm gives to a tensor of lukemelas's EfficientNet-Lite0."""
    block = re.fullmatch(r"_blocks\.(\d+)\.([^.]+)\.(.+)", name)
    if block is None:
        layer, _, rest = name.partition(".")
        return f"{_OUTSIDE_BLOCKS[layer]}.{rest}"
    number, layer, rest = int(block[1]), block[2], block[3]
    stage, first = 0, 0
    while number >= first + _EFFICIENTNET_BLOCKS_PER_STAGE[stage]:
        first += _EFFICIENTNET_BLOCKS_PER_STAGE[stage]
        stage += 1
    layers = _FIRST_BLOCK if number == 0 else _OTHER_BLOCKS
    return f"blocks.{stage}.{number - first}.{layers[layer]}.{rest}"


def _only_file(path: Path) -> Path:
    if path.is_file():
        return path
    for pattern in _WEIGHT_FILES:
        found = sorted(path.glob(pattern))
        if len(found) == 1:
            return found[0]
        if found:
            raise WeightsError(f"{path}: several weight files ({', '.join(f.name for f in found)}); name one")
    raise WeightsError(f"{path}: no weight file ({', '.join(_WEIGHT_FILES)}) in this folder")


def _read_file(path: Path) -> dict[str, torch.Tensor]:
    try:
        content = _load(path)
    except Exception as error:  # torch and safetensors raise many classes for a file that isn't theirs
        raise WeightsError(f"{path}: can't be read as weights: {error}") from error
    for key in _NESTING:
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
            break
    if not isinstance(content, dict) or not content or not all(hasattr(v, "shape") for v in content.values()):
        raise WeightsError(f"{path}: holds no state dict (a mapping of names to tensors)")
    for wrapper in _WRAPPERS:
        content = {name.removeprefix(wrapper): tensor for name, tensor in content.items()}
    return content


def _load(path: Path) -> Any:
    if path.suffix == _SAFETENSORS:
        from safetensors.torch import load_file

        return load_file(path)
    import torch

    return torch.load(path, map_location="cpu", weights_only=True)

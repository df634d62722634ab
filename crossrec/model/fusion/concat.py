"""Fusion by concatenation."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from crossrec.config import ComponentOptions
from crossrec.model.fusion.base import Fusion


class ConcatFusion(Fusion):
    """Linear map of the concatenated modalities and M indicators of missing ones."""

    class Options(ComponentOptions):
        """Concatenation of all modalities, then a linear map."""

    def __init__(self, options: Options, n_modalities: int, width: int) -> None:
        super().__init__(n_modalities, width)
        self.project = nn.Linear(n_modalities * (width + 1), width)

    def fuse(self, features_BMD: Tensor, mask_BM: Tensor) -> Tensor:
        """Fuse to (B, D)."""
        return self.project(torch.cat([features_BMD.flatten(1), mask_BM.to(features_BMD.dtype)], dim=1))

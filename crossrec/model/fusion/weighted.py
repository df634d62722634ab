"""Fusion by learned modality weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from crossrec.config import ComponentOptions
from crossrec.model.fusion.base import Fusion


class WeightedFusion(Fusion):
    """Weighted mean with one learned weight per modality, a softmax over the present ones."""

    class Options(ComponentOptions):
        """One learned weight per modality, normalised over those present."""

    def __init__(self, options: Options, n_modalities: int, width: int) -> None:
        super().__init__(n_modalities, width)
        self.logits = nn.Parameter(torch.zeros(n_modalities))

    def fuse(self, features_BMD: Tensor, mask_BM: Tensor) -> Tensor:
        """Fuse to (B, D)."""
        weights_BM = self.masked_softmax(self.logits.expand_as(mask_BM), mask_BM)
        return (features_BMD * weights_BM.unsqueeze(-1)).sum(1)

"""Fusion by gates."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from crossrec.config import ComponentOptions
from crossrec.model.fusion.base import Fusion


class GatedFusion(Fusion):
    """Gated multimodal unit: gates computed from all modalities weight them in each dimension.

    Source: Arevalo et al. 2017, Gated Multimodal Units for Information Fusion, eq. 1 to 4. Differs:
    the gates of M modalities are a softmax over those present rather than independent sigmoids, so
    that a missing modality leaves the scale of the result alone.
    """

    class Options(ComponentOptions):
        """Gated multimodal unit: gates weight the modalities by item and dimension."""

    def __init__(self, options: Options, n_modalities: int, width: int) -> None:
        super().__init__(n_modalities, width)
        self.transform = nn.ModuleList([nn.Linear(width, width) for _ in range(n_modalities)])
        self.gate = nn.Linear(n_modalities * (width + 1), n_modalities * width)

    def fuse(self, features_BMD: Tensor, mask_BM: Tensor) -> Tensor:
        """Fuse to (B, D)."""
        context = torch.cat([features_BMD.flatten(1), mask_BM.to(features_BMD.dtype)], dim=1)
        logits_BMD = self.gate(context).view(features_BMD.shape)
        gates_BMD = self.masked_softmax(logits_BMD, mask_BM.unsqueeze(-1))
        transformed = [layer(features_BMD[:, m]) for m, layer in enumerate(self.transform)]
        return (gates_BMD * torch.stack(transformed, dim=1)).sum(1)

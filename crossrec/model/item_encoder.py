"""From what is known of an item to its vector: project every modality, then fuse."""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import Tensor, nn

from crossrec.model.embeddings import ItemId
from crossrec.model.fusion.base import Fusion
from crossrec.model.modalities import Modality
from crossrec.runtime.dropout import Dropout


class ItemEncoder(nn.Module):
    """Item vectors from the modalities that are present.

    Args:
        modalities: name ("text", "image", "id") to source.
        fusion: fuses (B, M, D), in the order of ``modalities``.
        width: D.
        dropout: rate on projected features.
        modality_dropout: chance that training hides a modality of an item that has others.
    """

    def __init__(
        self,
        modalities: dict[str, Modality],
        fusion: Fusion,
        width: int,
        *,
        dropout: float,
        modality_dropout: float,
    ) -> None:
        super().__init__()
        self.modalities = nn.ModuleDict(modalities)
        self.project = nn.ModuleDict({name: _projection(m, width) for name, m in modalities.items()})
        self.fusion = fusion
        self.dropout = Dropout(dropout)
        self.modality_dropout = modality_dropout

    def forward(self, items_K: Tensor, shown: Collection[str] | None = None) -> Tensor:
        """(K, D) vectors of catalogue indices (K,).

        Args:
            items_K: catalogue indices.
            shown: names of the modalities that may be looked at, the others counting as missing; all when
                None.
        """
        features = [self.project[name](source(items_K)) for name, source in self.modalities.items()]
        dtype = features[0].dtype
        features_KMD = torch.stack([self.dropout(f).to(dtype) for f in features], dim=1)
        mask_KM = self.mask(items_K)
        if shown is not None:
            mask_KM = mask_KM & self._among(shown).to(mask_KM.device)
        return self.fusion(features_KMD, mask_KM)

    def _among(self, shown: Collection[str]) -> Tensor:
        """(M,) bool, which modalities are named."""
        return torch.tensor([name in shown for name in self.modalities])

    def projected(self, items_K: Tensor) -> tuple[Tensor, Tensor]:
        """(K, M, D) features of each modality before fusion, and (K, M) bool, which of them are present."""
        features = [self.project[name](source(items_K)) for name, source in self.modalities.items()]
        dtype = features[0].dtype
        present_KM = torch.stack([m.get_buffer("present")[items_K] for m in self.modalities.values()], dim=1)
        return torch.stack([f.to(dtype) for f in features], dim=1), present_KM

    def mask(self, items_K: Tensor) -> Tensor:
        """(K, M) bool, which modalities are used: present, and not hidden by modality dropout."""
        present_KM = torch.stack([m.get_buffer("present")[items_K] for m in self.modalities.values()], dim=1)
        if not self.training or self.modality_dropout == 0:
            return present_KM
        kept_KM = present_KM & (torch.rand(present_KM.shape, device=items_K.device) >= self.modality_dropout)
        return torch.where(kept_KM.any(1, keepdim=True), kept_KM, present_KM)


def _projection(modality: Modality, width: int) -> nn.Module:
    if isinstance(modality, ItemId):
        return nn.Identity() if modality.width == width else nn.Linear(modality.width, width)
    return nn.Sequential(nn.Linear(modality.width, width), nn.LayerNorm(width))

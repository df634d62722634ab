"""Base of fusions: masking, and the vector of items without any modality."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from crossrec.config import Component


class Fusion(Component, nn.Module):
    """Base of fusions of M modality vectors of each item into one.

    Subclasses implement :meth:`fuse`, which sees zeros in masked places and at least one modality
    present in each row (rows without any are replaced afterwards).

    Args:
        n_modalities: M.
        width: D of each modality vector and of the result.
    """

    def __init__(self, n_modalities: int, width: int) -> None:
        super().__init__()
        self.n_modalities = n_modalities
        self.width = width
        # Items without any modality share one learned vector: as negatives they push it down, so that
        # they rank below items with a modality.
        self.nothing = nn.Parameter(torch.zeros(width))

    def forward(self, features_BMD: Tensor, mask_BM: Tensor) -> Tensor:
        """Fuse.

        Args:
            features_BMD: (B, M, D) projected features; arbitrary in masked places, even NaN.
            mask_BM: (B, M) bool, true where the modality is present.

        Returns:
            (B, D).
        """
        clean_BMD = torch.where(mask_BM.unsqueeze(-1), features_BMD, 0)
        known_B1 = mask_BM.any(1, keepdim=True)
        fused_BD = self.fuse(clean_BMD, mask_BM | ~known_B1)
        return torch.where(known_B1, fused_BD, self.nothing.to(fused_BD.dtype))

    def follow(self, saved: Mapping[str, Tensor]) -> None:
        """Take the form of weights that an earlier version saved; nothing to do where there is one form.

        Args:
            saved: name within the fusion -> weight.
        """

    def fuse(self, features_BMD: Tensor, mask_BM: Tensor) -> Tensor:
        """Fuse zero-filled (B, M, D) features to (B, D); the mask has at least one true value per row."""
        raise NotImplementedError("a fusion implements fuse()")

    def masked_softmax(self, logits: Tensor, mask: Tensor) -> Tensor:
        """Compute a softmax over dimension 1 in which masked modalities are exactly zero."""
        return logits.float().masked_fill(~mask, -torch.inf).softmax(1).to(logits.dtype)


class SingleModality(Fusion):
    """Identity for the vectors of the only modality, in place of a fusion's layers."""

    def fuse(self, features_BMD: Tensor, mask_BM: Tensor) -> Tensor:
        """Return (B, D) from (B, 1, D)."""
        return features_BMD.squeeze(1)

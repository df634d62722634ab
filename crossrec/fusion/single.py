"""One modality: nothing to fuse."""

from __future__ import annotations

from torch import Tensor

from crossrec.fusion.base import Fusion


class SingleModality(Fusion):
    """Hands the vectors of the only modality on, so that a fusion's layers don't stand between them."""

    def fuse(self, features_BMD: Tensor, mask_BM: Tensor) -> Tensor:
        """(B, D) from (B, 1, D)."""
        return features_BMD.squeeze(1)

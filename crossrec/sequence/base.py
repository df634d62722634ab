"""The contract of sequence models."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor, nn


class SequenceModel(nn.Module):
    """Turns item vectors of a history into hidden states, causally.

    Histories are padded on the right, so a causal model never sees padding from a real position and
    needs no mask; hidden states at padded positions are meaningless.

    Attributes:
        max_length: clicks that the model sees at once.
    """

    max_length: int

    def forward(self, vectors_BLD: Tensor) -> Tensor:
        """Hidden states; position l depends on vectors 0..l only.

        Args:
            vectors_BLD: (B, L, D) item vectors, oldest first, L <= max_length.

        Returns:
            (B, L, D), float32 or the autocast type.
        """
        raise NotImplementedError("a sequence model implements forward()")

    def save_adapter(self, folder: Path) -> bool:
        """Writes adapters in peft's own layout; False where the model has none."""
        return False

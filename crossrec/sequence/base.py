"""The contract of sequence models."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

if TYPE_CHECKING:
    from peft import PeftModel


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

    def adapter(self) -> PeftModel | None:
        """peft's model, where the model has one: ``save_pretrained`` writes peft's own layout."""
        return None

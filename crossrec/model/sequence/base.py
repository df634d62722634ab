"""Base of the sequence models, of their options, and the histories that they read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from crossrec.config import Component, ComponentOptions

if TYPE_CHECKING:
    from peft import PeftModel


@dataclass(frozen=True)
class History:
    """Input of a sequence model: clicked items of B users, oldest first, padded on the right.

    Args:
        vectors_BLD: item vectors; arbitrary in padded places.
        lengths_B: int64 number of clicks in each row, at least 1.
        times_BL: int64 seconds; None if unknown.
        masked_BL: bool, masked clicks to predict; None if none is masked. Only for bidirectional models.
    """

    vectors_BLD: Tensor
    lengths_B: Tensor
    times_BL: Tensor | None = None
    masked_BL: Tensor | None = None

    def real(self) -> Tensor:
        """Return (B, L) bool, False in padded places."""
        steps_L = torch.arange(self.vectors_BLD.shape[1], device=self.vectors_BLD.device)
        return steps_L < self.lengths_B[:, None]

    def append_mask(self) -> History:
        """Return the history with one masked click after each row's last, at the last one's time."""
        rows_B = torch.arange(len(self.lengths_B), device=self.lengths_B.device)
        masked_BL = torch.zeros(
            len(rows_B), self.vectors_BLD.shape[1] + 1, dtype=torch.bool, device=rows_B.device
        )
        masked_BL[rows_B, self.lengths_B] = True
        times_BL = None
        if self.times_BL is not None:
            times_BL = F.pad(self.times_BL, (0, 1))
            times_BL[rows_B, self.lengths_B] = self.times_BL[rows_B, self.lengths_B - 1]
        return History(F.pad(self.vectors_BLD, (0, 0, 0, 1)), self.lengths_B + 1, times_BL, masked_BL)


class SequenceModelOptions(ComponentOptions):
    """Options of every sequence model; ``build(width, cache_dir)`` returns the model."""

    max_length: int = Field(
        50, ge=1, le=100_000, description="maximum number of clicks read, the latest ones"
    )

    @property
    def pretrained(self) -> bool:
        """Whether the model contains pretrained weights, which are loaded when it is built."""
        return False

    @property
    def has_adapters(self) -> bool:
        """Whether pretrained weights are frozen and have LoRA adapters."""
        return False

    @property
    def generates(self) -> bool:
        """Whether next items are generated as codes, instead of compared by their vectors."""
        return False

    def check(self, cache_dir: Path) -> None:
        """Check the options without loading weights.

        Args:
            cache_dir: folder of converted weights.

        Raises:
            InputError: if weights can't be loaded, or the model is too small for the options.
        """

    def follow(self, saved: Mapping[str, Tensor]) -> Self:
        """Return the options of weights that an earlier version saved; these ones where there is one form.

        Args:
            saved: name within the sequence model -> weight.
        """
        return self


class SequenceModel(Component, nn.Module):
    """Base of sequence models: maps the item vectors of a history to hidden states.

    A causal model's state at position l depends on clicks 0..l only; since padding is on the right, it needs
    no mask. A bidirectional model reads the whole row, learns by predicting masked clicks, and must mask
    padding itself. Hidden states at padded positions are meaningless.

    Attributes:
        max_length: maximum number of clicks that the model reads.
        mask_share: None for a causal model; for a bidirectional one the probability that training masks
            a click.
        reads_times: whether the model reads ``History.times_BL``.
    """

    max_length: int
    mask_share: float | None = None
    reads_times: bool = False

    def forward(self, history: History) -> Tensor:
        """Return hidden states.

        Args:
            history: L <= max_length.

        Returns:
            (B, L, D), float32 or the autocast type.
        """
        raise NotImplementedError("a sequence model implements forward()")

    def last(self, history: History) -> Tensor:
        """Return (B, D) hidden states at each row's last click, all that recommending needs.

        A model that can skip work for the other positions overrides it.
        """
        return at_last(self(history), history.lengths_B).squeeze(1)

    def adapter(self) -> PeftModel | None:
        """Return peft's model if there is one: ``save_pretrained`` writes peft's own layout."""
        return None


def at_last(states_BLD: Tensor, lengths_B: Tensor) -> Tensor:
    """Return (B, 1, D) states at each row's last click."""
    rows_B = torch.arange(len(lengths_B), device=lengths_B.device)
    return states_BLD[rows_B, lengths_B - 1].unsqueeze(1)

"""Base of the sequence models, of their options, and the histories that they read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from crossrec.config import Component, ComponentOptions

if TYPE_CHECKING:
    from peft import PeftModel


@dataclass(frozen=True)
class History:
    """What a sequence model reads: clicked items of B users, oldest first, padded on the right.

    Args:
        vectors_BLD: item vectors; anything in padded places.
        lengths_B: int64 real clicks in each row, at least 1.
        times_BL: int64 seconds; None where times are not known.
        masked_BL: bool, clicks whose item is hidden and to be guessed; None where all are shown. Only
            bidirectional models take it.
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
    """Options of every sequence model; ``build(width, cache_dir)`` gives the model."""

    max_length: int = Field(50, ge=1, le=100_000, description="clicks seen at once, the latest ones")

    @property
    def pretrained(self) -> bool:
        """Whether the model contains pretrained weights, which are large and loaded when it is built."""
        return False

    @property
    def has_adapters(self) -> bool:
        """Whether pretrained weights are frozen beside LoRA adapters."""
        return False

    def check(self, cache_dir: Path) -> None:
        """Reject options that can't be used, without loading weights.

        Args:
            cache_dir: folder of converted weights.

        Raises:
            InputError: if weights can't be loaded, or the model is too small for the options.
        """


class SequenceModel(Component, nn.Module):
    """Turns the item vectors of a history into hidden states.

    A causal model's state at position l depends on clicks 0..l only; since padding stands on the right,
    it needs no mask. A bidirectional one sees the whole row, learns by guessing masked clicks, and
    must itself leave padding out. Hidden states at padded positions are meaningless.

    Attributes:
        max_length: clicks that the model sees at once.
        mask_share: None for a causal model; for a bidirectional one the chance that training masks a
            click.
        reads_times: whether ``History.times_BL`` is wanted.
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

        A model that can leave out work for the other positions overrides it.
        """
        return at_last(self(history), history.lengths_B).squeeze(1)

    def adapter(self) -> PeftModel | None:
        """peft's model, where the model has one: ``save_pretrained`` writes peft's own layout."""
        return None


def at_last(states_BLD: Tensor, lengths_B: Tensor) -> Tensor:
    """Return (B, 1, D) states at each row's last click."""
    rows_B = torch.arange(len(lengths_B), device=lengths_B.device)
    return states_BLD[rows_B, lengths_B - 1].unsqueeze(1)

"""GRU4Rec: a recurrent network over the clicked items."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

from crossrec.runtime.dropout import Dropout
from crossrec.sequence.base import History, SequenceModel
from crossrec.sequence.parts.click_dropout import ClickDropout

if TYPE_CHECKING:
    from crossrec.sequence.config import GRU4RecConfig


class GRU4Rec(SequenceModel):
    """Gated recurrent units.

    Source: Hidasi et al. 2016, Session-based Recommendations with Recurrent Neural Networks, section 3;
    Hidasi and Karatzoglou 2018 for dropout of the input and of hidden states. Windows of a user start
    from an empty state, where the authors carry the state on between parallel mini-batches.

    Args:
        config: sizes and rates.
        width: D of item vectors and hidden states.
    """

    def __init__(self, config: GRU4RecConfig, width: int) -> None:
        super().__init__()
        self.max_length = config.max_length
        inner = config.hidden or width
        self.click_dropout = ClickDropout(config.click_dropout)
        self.dropout = Dropout(config.dropout)
        self.gru = nn.GRU(
            width,
            inner,
            config.layers,
            batch_first=True,
            dropout=config.dropout if config.layers > 1 else 0.0,
        )
        for name, parameter in self.gru.named_parameters():
            if name.startswith("weight_hh"):
                for gate in parameter.chunk(3):
                    nn.init.orthogonal_(gate)
        self.out = nn.Linear(inner, width) if inner != width else None

    def forward(self, history: History) -> Tensor:
        """Hidden states (B, L, D)."""
        hidden, _ = self.gru(self.dropout(self.click_dropout(history.vectors_BLD)))
        hidden = self.dropout(hidden)
        return hidden if self.out is None else self.out(hidden)

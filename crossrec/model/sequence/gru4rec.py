"""GRU4Rec: a recurrent network over the clicked items."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from torch import Tensor, nn

from crossrec.model.sequence.base import History, SequenceModel, SequenceModelOptions
from crossrec.model.sequence.layers import ClickDropout
from crossrec.runtime.dropout import Dropout


class GRU4Rec(SequenceModel):
    """Gated recurrent units.

    Source: Hidasi et al. 2016, Session-based Recommendations with Recurrent Neural Networks, section 3;
    Hidasi and Karatzoglou 2018 for dropout of the input and of hidden states. Windows of a user start
    from an empty state, where the authors carry the state on between parallel mini-batches.

    Args:
        options: sizes and rates.
        width: D of item vectors and hidden states.
        cache_dir: not used.
    """

    class Options(SequenceModelOptions):
        """Recurrent network over item vectors."""

        layers: int = Field(1, ge=1, le=1_000)
        hidden: int | None = Field(
            None, ge=1, le=65_536, description="width of the state; the item vectors' when null"
        )
        dropout: float = Field(
            0.2, ge=0, lt=1, description="dropout rate of the input and of each layer's states"
        )
        click_dropout: float = Field(
            0.0, ge=0, lt=1, description="share of clicks that training hides entirely"
        )

    def __init__(self, options: Options, width: int, cache_dir: Path) -> None:
        super().__init__()
        self.max_length = options.max_length
        inner = options.hidden or width
        self.click_dropout = ClickDropout(options.click_dropout)
        self.dropout = Dropout(options.dropout)
        self.gru = nn.GRU(
            width,
            inner,
            options.layers,
            batch_first=True,
            dropout=options.dropout if options.layers > 1 else 0.0,
        )
        for name, parameter in self.gru.named_parameters():
            if name.startswith("weight_hh"):
                for gate in parameter.chunk(3):
                    nn.init.orthogonal_(gate)
        self.out = nn.Linear(inner, width) if inner != width else None

    def forward(self, history: History) -> Tensor:
        """Return hidden states (B, L, D)."""
        hidden, _ = self.gru(self.dropout(self.click_dropout(history.vectors_BLD)))
        hidden = self.dropout(hidden)
        return hidden if self.out is None else self.out(hidden)

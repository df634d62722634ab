"""SASRec: a causal Transformer over the clicked items."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field
from torch import Tensor, nn
from torch.nn import functional as F

from crossrec.model.sequence.base import History, SequenceModel, SequenceModelOptions, at_last
from crossrec.model.sequence.layers import (
    Activation,
    Attention,
    ClickDropout,
    Norm,
    Positions,
    Rotary,
    TimeGaps,
    feed_forward,
    head_width,
    learned_positions,
    make_norm,
    required_times,
)
from crossrec.runtime.dropout import Dropout


def _positions_of_old_configs(value: Any) -> Any:
    """Read true and false, from run folders written while learned positions were the only choice."""
    return {True: "learned", False: "none"}[value] if isinstance(value, bool) else value


class SASRec(SequenceModel):
    """Self-attentive sequential recommendation.

    Source: Kang and McAuley 2018, Self-Attentive Sequential Recommendation, section III: each
    sub-layer is x + Dropout(g(LayerNorm(x))), point-wise feed-forward with ReLU. Positions are
    counted from the start of the (right-padded) window. Rotary positions, other norms and activations,
    dropout of clicks and time gaps are not the paper's, nor are they on by default.

    Args:
        options: sizes, rates and choice of parts.
        width: D of item vectors and hidden states.
        cache_dir: not used.
    """

    class Options(SequenceModelOptions):
        """Causal Transformer over item vectors."""

        layers: int = Field(2, ge=1, le=1_000)
        heads: int = Field(1, ge=1, le=1_024)
        feedforward: float = Field(
            1.0, gt=0, le=64, description="inner width of the feed-forward part, in widths"
        )
        activation: Activation = Field("relu", description="activation of the feed-forward part")
        norm: Norm = "layer"
        positions: Annotated[Positions, BeforeValidator(_positions_of_old_configs)] = "learned"
        time_gaps: bool = Field(False, description="read the time since the previous click")
        dropout: float = Field(
            0.2, ge=0, lt=1, description="dropout rate of the input and of both sub-layers' outputs"
        )
        attention_dropout: float = Field(
            0.0,
            ge=0,
            lt=1,
            description="dropout rate of attention weights; above 0 they are stored in memory, far slower",
        )
        click_dropout: float = Field(
            0.0, ge=0, lt=1, description="share of clicks that training hides entirely"
        )

    def __init__(self, options: Options, width: int, cache_dir: Path) -> None:
        super().__init__()
        self.max_length = options.max_length
        self.reads_times = options.time_gaps
        learned = options.positions == "learned"
        self.positions = learned_positions(options.max_length, width) if learned else None
        self.dropout = Dropout(options.dropout)
        rotary = None
        if options.positions == "rotary":
            rotary = Rotary(head_width(width, options.heads), options.max_length)
        self.blocks = nn.ModuleList([self.make_block(options, width, rotary) for _ in range(options.layers)])
        self.norm = make_norm(options.norm, width)
        self.click_dropout = ClickDropout(options.click_dropout)
        self.time_gaps = TimeGaps(width) if options.time_gaps else None

    def make_block(self, options: SASRec.Options, width: int, rotary: Rotary | None) -> nn.Module:
        """Return one layer, from (B, L, D) to (B, L, D)."""
        return PreNormBlock(options, width, rotary)

    def forward(self, history: History) -> Tensor:
        """Return hidden states (B, L, D)."""
        hidden = self._embedded(history)
        for block in self.blocks:
            hidden = block(hidden)
        return self.norm(hidden)

    def last(self, history: History) -> Tensor:
        """Return (B, D) hidden states at each row's last click; the last layer is computed there alone."""
        hidden = self._embedded(history)
        for block in self.blocks[:-1]:
            hidden = block(hidden)
        return self.norm(self.blocks[-1](hidden, history.lengths_B)).squeeze(1)

    def _embedded(self, history: History) -> Tensor:
        hidden = self.click_dropout(history.vectors_BLD)
        if self.time_gaps is not None:
            hidden = hidden + self.time_gaps(required_times(history, "time_gaps")).to(hidden.dtype)
        if self.positions is not None:
            hidden = hidden + self.positions[: hidden.shape[1]].to(hidden.dtype)
        return self.dropout(hidden)


class PreNormBlock(nn.Module):
    """Causal attention and a feed-forward part, each x + Dropout(g(Norm(x))).

    Args:
        options: sizes, rates and choice of parts.
        width: D.
        rotary: rotation of queries and keys; None if positions are learned or not used.
    """

    def __init__(self, options: SASRec.Options, width: int, rotary: Rotary | None) -> None:
        super().__init__()
        self.attention = Attention(
            width, options.heads, causal=True, dropout=options.attention_dropout, rotary=rotary
        )
        self.norm_attention = make_norm(options.norm, width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.norm_feedforward = make_norm(options.norm, width)
        inner = int(width * options.feedforward)
        self.feedforward = feed_forward(options.activation, width, inner, options.dropout)
        self.dropout = Dropout(options.dropout)

    def attended(self, hidden_BLD: Tensor, lengths_B: Tensor | None) -> Tensor:
        """Return attention's update of (B, L, D), or of the states (B, 1, D) at each row's last click."""
        normed_BLD = self.norm_attention(hidden_BLD)
        if lengths_B is None:
            return self.dropout(self.out(self.attention(self.qkv(normed_BLD))))
        width = hidden_BLD.shape[2]
        weights, biases = self.qkv.weight, self.qkv.bias
        query_B1D = F.linear(at_last(normed_BLD, lengths_B), weights[:width], biases[:width])
        rest_BLE = F.linear(normed_BLD, weights[width:], biases[width:])
        return self.dropout(self.out(self.attention.last(query_B1D, rest_BLE, lengths_B)))

    def fed(self, hidden_BLD: Tensor) -> Tensor:
        """Return the feed-forward part's update of (B, L, D)."""
        return self.dropout(self.feedforward(self.norm_feedforward(hidden_BLD)))

    def forward(self, hidden_BLD: Tensor, lengths_B: Tensor | None = None) -> Tensor:
        """Map (B, L, D) to (B, L, D); with lengths to (B, 1, D), the states at each row's last click."""
        asked = hidden_BLD if lengths_B is None else at_last(hidden_BLD, lengths_B)
        hidden = asked + self.attended(hidden_BLD, lengths_B)
        return hidden + self.fed(hidden)

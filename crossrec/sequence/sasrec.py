"""SASRec: a causal Transformer over the clicked items."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn
from torch.nn import functional as F

from crossrec.runtime.dropout import Dropout
from crossrec.sequence.base import History, SequenceModel, at_last
from crossrec.sequence.parts.attention import Attention, head_width
from crossrec.sequence.parts.click_dropout import ClickDropout
from crossrec.sequence.parts.feedforward import feed_forward
from crossrec.sequence.parts.norm import make_norm
from crossrec.sequence.parts.positions import Rotary, learned_positions
from crossrec.sequence.parts.times import TimeGaps, required_times

if TYPE_CHECKING:
    from crossrec.sequence.config import CausalTransformerConfig


class SASRec(SequenceModel):
    """Self-attentive sequential recommendation.

    Source: Kang and McAuley 2018, Self-Attentive Sequential Recommendation, section III: each
    sub-layer is x + Dropout(g(LayerNorm(x))), point-wise feed-forward with ReLU. Positions are
    counted from the start of the (right-padded) window. Rotary positions, other norms and activations,
    dropout of clicks and time gaps are not the paper's, nor are they on by default.

    Args:
        config: sizes, rates and choice of parts.
        width: D of item vectors and hidden states.
    """

    def __init__(self, config: CausalTransformerConfig, width: int) -> None:
        super().__init__()
        self.max_length = config.max_length
        self.reads_times = config.time_gaps
        learned = config.positions == "learned"
        self.positions = learned_positions(config.max_length, width) if learned else None
        self.dropout = Dropout(config.dropout)
        rotary = None
        if config.positions == "rotary":
            rotary = Rotary(head_width(width, config.heads), config.max_length)
        self.blocks = nn.ModuleList([self.make_block(config, width, rotary) for _ in range(config.layers)])
        self.norm = make_norm(config.norm, width)
        self.click_dropout = ClickDropout(config.click_dropout)
        self.time_gaps = TimeGaps(width) if config.time_gaps else None

    def make_block(self, config: CausalTransformerConfig, width: int, rotary: Rotary | None) -> nn.Module:
        """One layer, from (B, L, D) to (B, L, D)."""
        return PreNormBlock(config, width, rotary)

    def forward(self, history: History) -> Tensor:
        """Hidden states (B, L, D)."""
        hidden = self._embedded(history)
        for block in self.blocks:
            hidden = block(hidden)
        return self.norm(hidden)

    def last(self, history: History) -> Tensor:
        """(B, D) hidden states at each row's last click; the last layer is computed there alone."""
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
        config: sizes, rates and choice of parts.
        width: D.
        rotary: turns queries and keys; None where positions are learned or left out.
    """

    def __init__(self, config: CausalTransformerConfig, width: int, rotary: Rotary | None) -> None:
        super().__init__()
        self.attention = Attention(
            width, config.heads, causal=True, dropout=config.attention_dropout, rotary=rotary
        )
        self.norm_attention = make_norm(config.norm, width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.norm_feedforward = make_norm(config.norm, width)
        inner = int(width * config.feedforward)
        self.feedforward = feed_forward(config.activation, width, inner, config.dropout)
        self.dropout = Dropout(config.dropout)

    def attended(self, hidden_BLD: Tensor, lengths_B: Tensor | None) -> Tensor:
        """What attention adds to (B, L, D), or to the states (B, 1, D) at each row's last click."""
        normed_BLD = self.norm_attention(hidden_BLD)
        if lengths_B is None:
            return self.dropout(self.out(self.attention(self.qkv(normed_BLD))))
        width = hidden_BLD.shape[2]
        weights, biases = self.qkv.weight, self.qkv.bias
        query_B1D = F.linear(at_last(normed_BLD, lengths_B), weights[:width], biases[:width])
        rest_BLE = F.linear(normed_BLD, weights[width:], biases[width:])
        return self.dropout(self.out(self.attention.last(query_B1D, rest_BLE, lengths_B)))

    def fed(self, hidden_BLD: Tensor) -> Tensor:
        """What the feed-forward part adds to (B, L, D)."""
        return self.dropout(self.feedforward(self.norm_feedforward(hidden_BLD)))

    def forward(self, hidden_BLD: Tensor, lengths_B: Tensor | None = None) -> Tensor:
        """(B, L, D) to (B, L, D); with lengths to (B, 1, D), the states at each row's last click."""
        asked = hidden_BLD if lengths_B is None else at_last(hidden_BLD, lengths_B)
        hidden = asked + self.attended(hidden_BLD, lengths_B)
        return hidden + self.fed(hidden)

"""eSASRec: SASRec with gated residuals."""

from __future__ import annotations

from pydantic import Field
from torch import Tensor, nn

from crossrec.model.sequence.base import at_last
from crossrec.model.sequence.layers import Activation, Rotary
from crossrec.model.sequence.sasrec import PreNormBlock, SASRec


class ESASRec(SASRec):
    """SASRec with LiGR layers.

    Source: Tikhonovich et al. 2025, eSASRec: Enhancing Transformer-based Recommendations in a Modular
    Fashion. Unlike the authors' code, hidden states are normalised at the end, as SASRec's
    are, and attention weights have no dropout by default.

    Args:
        options: sizes, rates and choice of parts.
        width: D of item vectors and hidden states.
        cache_dir: not used.
    """

    class Options(SASRec.Options):
        """SASRec with gated residuals and SwiGLU."""

        feedforward: float = Field(
            4.0, gt=0, le=64, description="inner width of the feed-forward part, in widths"
        )
        activation: Activation = Field("swiglu", description="activation of the feed-forward part")

    def make_block(self, options: SASRec.Options, width: int, rotary: Rotary | None) -> nn.Module:
        """Return one LiGR layer."""
        return LiGRBlock(options, width, rotary)


class LiGRBlock(PreNormBlock):
    """Causal attention and a feed-forward part, each x + sigmoid(W x + b) * Dropout(g(Norm(x))).

    Source: Borisyuk et al. 2025, From Features to Transformers: Redefining Ranking for Scalable Impact
    (LiGR). The gate reads the residual stream before its norm, as in eSASRec's code.

    Args:
        options: sizes, rates and choice of parts.
        width: D.
        rotary: turns queries and keys; None where positions are learned or left out.
    """

    def __init__(self, options: SASRec.Options, width: int, rotary: Rotary | None) -> None:
        super().__init__(options, width, rotary)
        self.gate_attention = nn.Linear(width, width)
        self.gate_feedforward = nn.Linear(width, width)

    def forward(self, hidden_BLD: Tensor, lengths_B: Tensor | None = None) -> Tensor:
        """Map (B, L, D) to (B, L, D); with lengths to (B, 1, D), the states at each row's last click."""
        asked = hidden_BLD if lengths_B is None else at_last(hidden_BLD, lengths_B)
        hidden = asked + self.gate_attention(asked).sigmoid() * self.attended(hidden_BLD, lengths_B)
        return hidden + self.gate_feedforward(hidden).sigmoid() * self.fed(hidden)

"""SASRec: a causal Transformer over the clicked items."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from crossrec.sequence.base import SequenceModel


class SASRec(SequenceModel):
    """Self-attentive sequential recommendation.

    Source: Kang and McAuley 2018, Self-Attentive Sequential Recommendation, section III: each
    sub-layer is x + Dropout(g(LayerNorm(x))), point-wise feed-forward with ReLU. Positions are
    counted from the start of the (right-padded) window.

    Args:
        width: D of item vectors and hidden states.
        max_length: longest window.
        layers: blocks of attention and feed-forward.
        heads: attention heads; must divide the width.
        feedforward: inner width of the feed-forward part as a multiple of D (1 in the paper).
        dropout: rate on the input and in both sub-layers.
        attention_dropout: rate on attention weights (the paper's is ``dropout``).
        positions: whether learned position embeddings are added.
    """

    def __init__(
        self,
        width: int,
        *,
        max_length: int,
        layers: int,
        heads: int,
        feedforward: float,
        dropout: float,
        attention_dropout: float,
        positions: bool,
    ) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"sequence.heads={heads} does not divide the item width {width}")
        self.max_length = max_length
        self.positions = nn.Parameter(torch.randn(max_length, width) * 0.02) if positions else None
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(
            [_Block(width, heads, feedforward, dropout, attention_dropout) for _ in range(layers)]
        )
        self.norm = nn.LayerNorm(width)

    def forward(self, vectors_BLD: Tensor) -> Tensor:
        """Hidden states (B, L, D)."""
        hidden = vectors_BLD
        if self.positions is not None:
            hidden = hidden + self.positions[: hidden.shape[1]].to(hidden.dtype)
        hidden = self.dropout(hidden)
        for block in self.blocks:
            hidden = block(hidden)
        return self.norm(hidden)


class _Block(nn.Module):
    def __init__(
        self, width: int, heads: int, feedforward: float, dropout: float, attention_dropout: float
    ) -> None:
        super().__init__()
        self.heads = heads
        self.attention_dropout = attention_dropout
        self.norm_attention = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.norm_feedforward = nn.LayerNorm(width)
        inner = int(width * feedforward)
        self.feedforward = nn.Sequential(
            nn.Linear(width, inner), nn.ReLU(), nn.Dropout(dropout), nn.Linear(inner, width)
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, hidden_BLD: Tensor) -> Tensor:
        batch, length, width = hidden_BLD.shape
        qkv = self.qkv(self.norm_attention(hidden_BLD))
        query, key, value = qkv.view(batch, length, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(
            query, key, value, dropout_p=self.attention_dropout if self.training else 0.0, is_causal=True
        )
        hidden = hidden_BLD + self.dropout(self.out(mixed.transpose(1, 2).reshape(batch, length, width)))
        return hidden + self.dropout(self.feedforward(self.norm_feedforward(hidden)))

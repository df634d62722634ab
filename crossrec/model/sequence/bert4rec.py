"""BERT4Rec: a bidirectional Transformer that predicts masked clicks."""

from __future__ import annotations

from pathlib import Path

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from crossrec.model.sequence.base import History, SequenceModel, SequenceModelOptions
from crossrec.model.sequence.layers import Attention, feed_forward, learned_positions
from crossrec.runtime.dropout import Dropout


class BERT4Rec(SequenceModel):
    """Bidirectional encoder of clicks; a masked click's state predicts its item.

    Source: Sun et al. 2019, BERT4Rec, section 3; the norms after the input and in the head are those
    of the authors' code, which is BERT's. The scores have no bias by item (equation 7), since new items
    could not have one.

    Args:
        options: sizes and rates.
        width: D of item vectors and hidden states.
        cache_dir: not used.
    """

    class Options(SequenceModelOptions):
        """Bidirectional Transformer that learns by predicting masked clicks."""

        max_length: int = Field(
            50, ge=2, le=100_000, description="maximum number of clicks read, including the masked one"
        )
        layers: int = Field(2, ge=1, le=1_000)
        heads: int = Field(2, ge=1, le=1_024)
        feedforward: float = Field(
            4.0, gt=0, le=64, description="inner width of the feed-forward part, in widths"
        )
        dropout: float = Field(
            0.2, ge=0, lt=1, description="dropout rate of the input and of both sub-layers' outputs"
        )
        attention_dropout: float = Field(
            0.0,
            ge=0,
            lt=1,
            description="dropout rate of attention weights; above 0 they are stored in memory, far slower",
        )
        mask_share: float = Field(0.2, gt=0, lt=1, description="probability that training masks a click")

    def __init__(self, options: Options, width: int, cache_dir: Path) -> None:
        super().__init__()
        self.max_length = options.max_length
        self.mask_share = options.mask_share
        # As large as the item vectors that it replaces.
        self.mask_vector = nn.Parameter(torch.randn(width))
        self.positions = learned_positions(options.max_length, width)
        self.norm_in = nn.LayerNorm(width)
        self.dropout = Dropout(options.dropout)
        self.blocks = nn.ModuleList([PostNormBlock(options, width) for _ in range(options.layers)])
        self.head = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width)

    def forward(self, history: History) -> Tensor:
        """Return hidden states (B, L, D)."""
        hidden = history.vectors_BLD
        if history.masked_BL is not None:
            hidden = torch.where(history.masked_BL.unsqueeze(2), self.mask_vector.to(hidden.dtype), hidden)
        hidden = hidden + self.positions[: hidden.shape[1]].to(hidden.dtype)
        hidden = self.dropout(self.norm_in(hidden))
        real_BL = history.real()
        for block in self.blocks:
            hidden = block(hidden, real_BL)
        return self.norm(F.gelu(self.head(hidden)))


class PostNormBlock(nn.Module):
    """Attention to all real clicks and a feed-forward part, each LayerNorm(x + Dropout(g(x))).

    Source: Sun et al. 2019, equations 1 to 6; Devlin et al. 2019, BERT.

    Args:
        options: sizes and rates.
        width: D.
    """

    def __init__(self, options: BERT4Rec.Options, width: int) -> None:
        super().__init__()
        self.attention = Attention(width, options.heads, causal=False, dropout=options.attention_dropout)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.norm_attention = nn.LayerNorm(width)
        self.feedforward = feed_forward("gelu", width, int(width * options.feedforward), dropout=0.0)
        self.norm_feedforward = nn.LayerNorm(width)
        self.dropout = Dropout(options.dropout)

    def forward(self, hidden_BLD: Tensor, real_BL: Tensor) -> Tensor:
        """Map (B, L, D) to (B, L, D); padding is masked."""
        mixed = self.out(self.attention(self.qkv(hidden_BLD), real_BL))
        hidden = self.norm_attention(hidden_BLD + self.dropout(mixed))
        return self.norm_feedforward(hidden + self.dropout(self.feedforward(hidden)))

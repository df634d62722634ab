"""BERT4Rec: a bidirectional Transformer that guesses masked clicks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from crossrec.runtime.dropout import Dropout
from crossrec.sequence.base import History, SequenceModel
from crossrec.sequence.parts.attention import Attention
from crossrec.sequence.parts.feedforward import feed_forward
from crossrec.sequence.parts.positions import learned_positions

if TYPE_CHECKING:
    from crossrec.sequence.config import BERT4RecConfig


class BERT4Rec(SequenceModel):
    """Bidirectional encoder of clicks; a masked click's state says which item it was.

    Source: Sun et al. 2019, BERT4Rec, section 3; the norms after the input and in the head are those
    of the authors' code, which is BERT's. The scores have no bias by item (equation 7), since new items
    could not have one.

    Args:
        config: sizes and rates.
        width: D of item vectors and hidden states.
    """

    def __init__(self, config: BERT4RecConfig, width: int) -> None:
        super().__init__()
        self.max_length = config.max_length
        self.mask_share = config.mask_share
        # As large as the item vectors in whose place it stands.
        self.mask_vector = nn.Parameter(torch.randn(width))
        self.positions = learned_positions(config.max_length, width)
        self.norm_in = nn.LayerNorm(width)
        self.dropout = Dropout(config.dropout)
        self.blocks = nn.ModuleList([PostNormBlock(config, width) for _ in range(config.layers)])
        self.head = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width)

    def forward(self, history: History) -> Tensor:
        """Hidden states (B, L, D)."""
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
        config: sizes and rates.
        width: D.
    """

    def __init__(self, config: BERT4RecConfig, width: int) -> None:
        super().__init__()
        self.attention = Attention(width, config.heads, causal=False, dropout=config.attention_dropout)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.norm_attention = nn.LayerNorm(width)
        self.feedforward = feed_forward("gelu", width, int(width * config.feedforward), dropout=0.0)
        self.norm_feedforward = nn.LayerNorm(width)
        self.dropout = Dropout(config.dropout)

    def forward(self, hidden_BLD: Tensor, real_BL: Tensor) -> Tensor:
        """(B, L, D) to (B, L, D); places that are not real are not seen."""
        mixed = self.out(self.attention(self.qkv(hidden_BLD), real_BL))
        hidden = self.norm_attention(hidden_BLD + self.dropout(mixed))
        return self.norm_feedforward(hidden + self.dropout(self.feedforward(hidden)))

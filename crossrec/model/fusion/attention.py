"""Fusion by cross-modal attention."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from crossrec.config import ComponentOptions
from crossrec.model.fusion.base import Fusion
from crossrec.runtime.dropout import Dropout
from crossrec.types import InputError


class AttentionFusion(Fusion):
    """Cross-modal attention: modality tokens attend to each other, read by a learned query token.

    Source: Vaswani et al. 2017, Attention Is All You Need (pre-norm encoder blocks), with the class
    token of Dosovitskiy et al. 2021 as the reader.
    """

    class Options(ComponentOptions):
        """Cross-modal attention among modality tokens."""

        heads: int = Field(2, ge=1, le=1_024)
        layers: int = Field(1, ge=1, le=1_000)
        dropout: float = Field(0.1, ge=0, lt=1)

    def __init__(self, options: Options, n_modalities: int, width: int) -> None:
        super().__init__(n_modalities, width)
        heads, dropout = options.heads, options.dropout
        if width % heads:
            raise InputError(f"model.fusion.heads={heads} does not divide the item width {width}")
        self.kind = nn.Parameter(torch.randn(n_modalities, width) * 0.02)
        self.reader = nn.Parameter(torch.randn(width) * 0.02)
        self.blocks = nn.ModuleList([_Block(width, heads, dropout) for _ in range(options.layers)])
        self.norm = nn.LayerNorm(width)

    def fuse(self, features_BMD: Tensor, mask_BM: Tensor) -> Tensor:
        """Fuse to (B, D)."""
        batch = features_BMD.shape[0]
        reader = self.reader.to(features_BMD.dtype).expand(batch, 1, -1)
        tokens = torch.cat([reader, features_BMD + self.kind.to(features_BMD.dtype)], dim=1)
        visible = torch.cat([mask_BM.new_ones(batch, 1), mask_BM], dim=1)
        for block in self.blocks:
            tokens = block(tokens, visible)
        return self.norm(tokens[:, 0])


class _Block(nn.Module):
    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.norm_attention = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.norm_feedforward = nn.LayerNorm(width)
        self.feedforward = nn.Sequential(
            nn.Linear(width, 2 * width), nn.GELU(), Dropout(dropout), nn.Linear(2 * width, width)
        )
        self.dropout = Dropout(dropout)

    def forward(self, tokens: Tensor, visible: Tensor) -> Tensor:
        batch, count, width = tokens.shape
        qkv = self.qkv(self.norm_attention(tokens)).view(batch, count, 3, self.heads, width // self.heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=visible[:, None, None, :])
        tokens = tokens + self.dropout(self.out(mixed.transpose(1, 2).reshape(batch, count, width)))
        return tokens + self.dropout(self.feedforward(self.norm_feedforward(tokens)))

"""Fusion by cross-modal attention."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from crossrec.config import ComponentOptions
from crossrec.model.fusion.base import Fusion
from crossrec.runtime.dropout import Dropout
from crossrec.types import InputError


class AttentionFusion(Fusion):
    """Cross-modal attention: modality tokens attend to each other, and a reader token to all of them.

    The reader starts as the mean of the modalities that are present, and every block starts as the identity
    (its output maps are zero), so that training starts from that mean and learns what to add. A learned
    constant as reader would start with nearly the same vector for all items, from which training
    recovers slowly.

    Source: Vaswani et al. 2017, Attention Is All You Need (pre-norm encoder blocks), with a reader in place
    of the class token of Dosovitskiy et al. 2021; zero output maps as in Goyal et al. 2017, Accurate, Large
    Minibatch SGD.
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
        self.reader: nn.Parameter | None = None
        self.norm: nn.Module = nn.Identity()
        self.blocks = nn.ModuleList([_Block(width, heads, dropout) for _ in range(options.layers)])

    def follow(self, saved: Mapping[str, Tensor]) -> None:
        """Read with a learned constant and a final norm if the weights have them, as in version 0.1."""
        if "reader" in saved:
            self.reader = nn.Parameter(torch.zeros(self.width))
            self.norm = nn.LayerNorm(self.width)

    def fuse(self, features_BMD: Tensor, mask_BM: Tensor) -> Tensor:
        """Fuse to (B, D)."""
        if self.reader is None:
            counts_B1 = mask_BM.sum(1, keepdim=True).to(features_BMD.dtype)
            reader_BD = features_BMD.sum(1) / counts_B1  # missing ones are zeros
        else:
            reader_BD = self.reader.to(features_BMD.dtype).expand(len(features_BMD), -1)
        typed_BMD = features_BMD + self.kind.to(features_BMD.dtype)
        tokens = torch.cat([reader_BD.unsqueeze(1), typed_BMD], dim=1)
        visible = torch.cat([mask_BM.new_ones(len(mask_BM), 1), mask_BM], dim=1)
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
        last = nn.Linear(2 * width, width)
        self.feedforward = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), Dropout(dropout), last)
        self.dropout = Dropout(dropout)
        for layer in (self.out, last):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, tokens: Tensor, visible: Tensor) -> Tensor:
        batch, count, width = tokens.shape
        qkv = self.qkv(self.norm_attention(tokens)).view(batch, count, 3, self.heads, width // self.heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=visible[:, None, None, :])
        tokens = tokens + self.dropout(self.out(mixed.transpose(1, 2).reshape(batch, count, width)))
        return tokens + self.dropout(self.feedforward(self.norm_feedforward(tokens)))

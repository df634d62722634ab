"""Multi-head attention over one tensor of queries, keys and values."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from crossrec.sequence.parts.positions import Rotary
from crossrec.types import InputError


def head_width(width: int, heads: int) -> int:
    """Width of one head.

    Raises:
        InputError: the heads don't divide the width.
    """
    if width % heads:
        raise InputError(f"model.sequence.heads={heads} does not divide the item width {width}")
    return width // heads


class Attention(nn.Module):
    """Scaled dot-product attention; the projections before and after it belong to the block.

    Source: Vaswani et al. 2017, Attention Is All You Need, section 3.2.

    Args:
        width: D.
        heads: must divide the width.
        causal: whether a position sees only itself and earlier ones.
        dropout: rate on attention weights; above 0 they must be held in memory, which is far slower.
        rotary: turns queries and keys by their positions; None leaves them.
    """

    def __init__(
        self, width: int, heads: int, *, causal: bool, dropout: float = 0.0, rotary: Rotary | None = None
    ) -> None:
        super().__init__()
        self.heads = heads
        self.head_width = head_width(width, heads)
        self.causal = causal
        self.dropout = dropout
        self.rotary = rotary

    def forward(self, qkv_BLE: Tensor, real_BL: Tensor | None = None) -> Tensor:
        """Mixed values.

        Args:
            qkv_BLE: (B, L, 3 D) queries, keys and values side by side.
            real_BL: bool, positions that may be seen; only where attention is not causal, since causal
                attention never sees padding on the right.

        Returns:
            (B, L, D).
        """
        batch, length, _ = qkv_BLE.shape
        split = qkv_BLE.view(batch, length, 3, self.heads, self.head_width)
        query, key, value = split.permute(2, 0, 3, 1, 4)
        if self.rotary is not None:
            query, key = self.rotary(query), self.rotary(key)
        mixed = F.scaled_dot_product_attention(
            query,
            key,
            value,
            attn_mask=None if real_BL is None else real_BL[:, None, None, :],
            dropout_p=self.dropout if self.training else 0.0,
            is_causal=self.causal,
        )
        return mixed.transpose(1, 2).reshape(batch, length, -1)

    def last(self, query_B1D: Tensor, rest_BLE: Tensor, lengths_B: Tensor) -> Tensor:
        """Mixed values at each row's last position alone, as :meth:`forward` gives them there.

        Args:
            query_B1D: its query.
            rest_BLE: (B, L, 2 D) keys and values side by side.
            lengths_B: positions of each row that are real.

        Returns:
            (B, 1, D).
        """
        batch, length, _ = rest_BLE.shape
        split = rest_BLE.view(batch, length, 2, self.heads, self.head_width)
        key, value = split.permute(2, 0, 3, 1, 4)
        query = query_B1D.view(batch, 1, self.heads, self.head_width).transpose(1, 2)
        if self.rotary is not None:
            query, key = self.rotary(query, lengths_B - 1), self.rotary(key)
        real_BL = torch.arange(length, device=lengths_B.device) < lengths_B[:, None]
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=real_BL[:, None, None, :])
        return mixed.transpose(1, 2).reshape(batch, 1, -1)

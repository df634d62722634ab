"""Layers shared by sequence models: attention, positions, feed-forward parts, norms, times."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from crossrec.model.sequence.base import History
from crossrec.runtime.dropout import Dropout
from crossrec.types import InputError

Positions = Literal["learned", "rotary", "none"]


Norm = Literal["layer", "rms"]


Activation = Literal["relu", "gelu", "swiglu"]


def learned_positions(max_length: int, width: int) -> nn.Parameter:
    """Return (max_length, D) position vectors, to be added to item vectors.

    They are initialised small relative to item vectors, whose entries have about unit size.
    """
    return nn.Parameter(torch.randn(max_length, width) * 0.02)


class Rotary(nn.Module):
    """Rotary position embedding: rotates pairs of entries by angles that grow with the position.

    The product of a rotated query and a rotated key depends only on their distance.

    Source: Su et al. 2021, RoFormer, equation 34. Entry i is paired with entry i + D/2 instead of with
    its neighbour, which is the same up to the order of entries.

    Args:
        width: width of one attention head, an even number.
        max_length: number of positions.
        base: base of the angles' geometric series.
    """

    cos: Tensor
    sin: Tensor

    def __init__(self, width: int, max_length: int, base: float = 10_000.0) -> None:
        super().__init__()
        if width % 2:
            raise InputError(
                f"model.sequence.positions=rotary rotates pairs of entries, but a head is {width} wide: "
                "choose heads that leave an even width"
            )
        rates = base ** (-torch.arange(0, width, 2, dtype=torch.float64) / width)
        angles = torch.arange(max_length, dtype=torch.float64)[:, None] * rates
        self.register_buffer("cos", angles.cos().repeat(1, 2).float(), persistent=False)
        # The first half of a pair gets minus the second, so the sign is in the table.
        self.register_buffer("sin", torch.cat([-angles.sin(), angles.sin()], 1).float(), persistent=False)

    def forward(self, states: Tensor, place_B: Tensor | None = None) -> Tensor:
        """Rotate queries or keys (B, heads, L, width of a head).

        Args:
            states: states at positions 0 to L - 1, or all of a row at its ``place_B``.
            place_B: one position per row.
        """
        length, width = states.shape[-2:]
        cos, sin = self.cos[:length].to(states.dtype), self.sin[:length].to(states.dtype)
        if place_B is not None:
            cos, sin = (table[place_B, None, None].to(states.dtype) for table in (self.cos, self.sin))
        return states * cos + states.roll(width // 2, dims=-1) * sin


def head_width(width: int, heads: int) -> int:
    """Return the width of one head.

    Raises:
        InputError: if the heads don't divide the width.
    """
    if width % heads:
        raise InputError(f"model.sequence.heads={heads} does not divide the item width {width}")
    return width // heads


class Attention(nn.Module):
    """Scaled dot-product attention; the projections before and after it belong to the block.

    Source: Vaswani et al. 2017, Attention Is All You Need, section 3.2.

    Args:
        width: D.
        heads: number of heads, a divisor of the width.
        causal: whether a position attends only to itself and earlier ones.
        dropout: dropout rate of attention weights; above 0 they are stored in memory, which is far slower.
        rotary: rotation of queries and keys by their positions; None for none.
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
        """Return values mixed by attention.

        Args:
            qkv_BLE: (B, L, 3 D) concatenated queries, keys and values.
            real_BL: bool, positions without padding; only for attention that is not causal, since causal
                attention never reads padding on the right.

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
        """Return the result of :meth:`forward` at each row's last position alone.

        Args:
            query_B1D: query of the last position.
            rest_BLE: (B, L, 2 D) concatenated keys and values.
            lengths_B: number of positions of each row without padding.

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


class MLP(nn.Sequential):
    """Linear, activation, dropout, linear.

    Args:
        width: D of input and output.
        inner: width between the two maps.
        activation: activation between them.
        dropout: dropout rate after the activation.
    """

    def __init__(self, width: int, inner: int, activation: nn.Module, dropout: float) -> None:
        super().__init__(nn.Linear(width, inner), activation, Dropout(dropout), nn.Linear(inner, width))


class SwiGLU(nn.Module):
    """Gated feed-forward part: W3 (SiLU(W1 x) * W2 x), without biases.

    Source: Shazeer 2020, GLU Variants Improve Transformer, equation 6.

    Args:
        width: D of input and output.
        inner: number of gated entries.
        dropout: dropout rate after the gate.
    """

    def __init__(self, width: int, inner: int, dropout: float) -> None:
        super().__init__()
        self.into = nn.Linear(width, 2 * inner, bias=False)
        self.dropout = Dropout(dropout)
        self.out = nn.Linear(inner, width, bias=False)

    def forward(self, hidden: Tensor) -> Tensor:
        """Map (..., D) to (..., D)."""
        gate, value = self.into(hidden).chunk(2, dim=-1)
        return self.out(self.dropout(F.silu(gate) * value))


def feed_forward(activation: Activation, width: int, inner: int, dropout: float) -> nn.Module:
    """Return the feed-forward part with this activation, from (..., D) to (..., D)."""
    if activation == "swiglu":
        return SwiGLU(width, inner, dropout)
    return MLP(width, inner, {"relu": nn.ReLU, "gelu": nn.GELU}[activation](), dropout)


def make_norm(kind: Norm, width: int) -> nn.Module:
    """Return layer (Ba et al. 2016) or root-mean-square normalisation (Zhang and Sennrich 2019)."""
    return {"layer": nn.LayerNorm, "rms": nn.RMSNorm}[kind](width, eps=1e-5)


class ClickDropout(nn.Module):
    """Dropout of clicks: in training, the item vectors of random clicks become zeros.

    Unlike dropout of single entries it does not rescale the others.

    Args:
        rate: probability of a click to be hidden.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, vectors_BLD: Tensor) -> Tensor:
        """Return (B, L, D), in training with some rows of zeros."""
        if not self.training or self.rate == 0:
            return vectors_BLD
        kept_BL1 = torch.rand(vectors_BLD.shape[:2], device=vectors_BLD.device).unsqueeze(2) >= self.rate
        return vectors_BLD * kept_BL1.to(vectors_BLD.dtype)


BUCKETS = 80
"""Number of buckets, each a third longer than the one before; the last begins at 670 years."""


def required_times(history: History, option: str) -> Tensor:
    """Return (B, L) int64 seconds.

    Args:
        history: input of the model.
        option: configuration key that requires times.

    Raises:
        InputError: if the history has none.
    """
    if history.times_BL is None:
        raise InputError(
            f"model.sequence.{option} needs the times of clicks, which these histories lack: give times, "
            f"or set model.sequence.{option}=false"
        )
    return history.times_BL


def log_buckets(seconds: Tensor) -> Tensor:
    """Return the logarithmic buckets of time differences, int32 in [0, ``BUCKETS``).

    Source: Zhai et al. 2024, Actions Speak Louder than Words: floor(ln(max(|t|, 1)) / 0.301).
    """
    logs = seconds.abs().clamp(min=1).float().log() / 0.301
    return logs.int().clamp(max=BUCKETS - 1)


class TimeGaps(nn.Module):
    """Embedding of the time since the previous click, to be added to the item vector.

    A window's first click has its own vector, whatever preceded the window.

    Args:
        width: D.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(BUCKETS + 1, width) * 0.02)

    def forward(self, times_BL: Tensor) -> Tensor:
        """Return (B, L, D) from seconds; position l reads the times of l and l - 1 only."""
        buckets_BL = F.pad(log_buckets(times_BL.diff(dim=1)), (1, 0), value=BUCKETS)
        return F.embedding(buckets_BL, self.weight)


class TimeBias(nn.Module):
    """Attention bias by the time between two clicks."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(BUCKETS, 1) * 0.02)

    def forward(self, buckets_BLL: Tensor) -> Tensor:
        """Return (B, L, L) from the buckets of :func:`log_buckets`."""
        return F.embedding(buckets_BLL, self.weight).squeeze(-1)

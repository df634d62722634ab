"""Positions of clicks, counted from the start of the (right-padded) window."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from crossrec.types import InputError


def learned_positions(max_length: int, width: int) -> nn.Parameter:
    """(max_length, D) position vectors, to be added to item vectors.

    They start small beside item vectors, whose entries are of about unit size.
    """
    return nn.Parameter(torch.randn(max_length, width) * 0.02)


class Rotary(nn.Module):
    """Turns pairs of entries by angles that grow with the position.

    A product of a turned query with a turned key depends on the distance between them alone.

    Source: Su et al. 2021, RoFormer, equation 34. Entry i is paired with entry i + D/2 instead of with
    its neighbour, which is the same up to the order of entries.

    Args:
        width: of one attention head, an even number.
        max_length: positions.
        base: of the angles' geometric series.
    """

    cos: Tensor
    sin: Tensor

    def __init__(self, width: int, max_length: int, base: float = 10_000.0) -> None:
        super().__init__()
        if width % 2:
            raise InputError(
                f"model.sequence.positions=rotary turns pairs of entries, but a head is {width} wide: "
                "choose heads that leave an even width"
            )
        rates = base ** (-torch.arange(0, width, 2, dtype=torch.float64) / width)
        angles = torch.arange(max_length, dtype=torch.float64)[:, None] * rates
        self.register_buffer("cos", angles.cos().repeat(1, 2).float(), persistent=False)
        # The first half of a pair takes minus the second, so the sign stands in the table.
        self.register_buffer("sin", torch.cat([-angles.sin(), angles.sin()], 1).float(), persistent=False)

    def forward(self, states: Tensor, place_B: Tensor | None = None) -> Tensor:
        """Turned queries or keys (B, heads, L, width of a head), of the same shape and type.

        Args:
            states: at positions 0 to L - 1, or all of a row at its ``place_B``.
            place_B: one position a row.
        """
        length, width = states.shape[-2:]
        cos, sin = self.cos[:length].to(states.dtype), self.sin[:length].to(states.dtype)
        if place_B is not None:
            cos, sin = (table[place_B, None, None].to(states.dtype) for table in (self.cos, self.sin))
        return states * cos + states.roll(width // 2, dims=-1) * sin

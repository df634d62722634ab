"""HSTU's attention weights, which no softmax makes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from crossrec.explain.sharing import sharing_copy
from crossrec.model.sequence.hstu import HSTU, HSTUBlock


def recorded_hstu(model: HSTU) -> tuple[HSTU, list[Tensor]]:
    """A copy of a model that shares its weights, and a list that fills with attention when the copy runs.

    The hooks that fill it are the copy's: the model itself may be in use elsewhere.

    Returns:
        The copy, and (B, heads, L, L) weights a layer, once it has run.
    """
    twin = sharing_copy(model)
    found: list[Tensor] = []

    def record(block: nn.Module, inputs: tuple[Any, ...]) -> None:
        assert isinstance(block, HSTUBlock)
        found.append(hstu_weights(block, *inputs))

    for block in twin.blocks:
        block.register_forward_pre_hook(record)
    return twin, found


def hstu_weights(block: HSTUBlock, hidden_BLD: Tensor, buckets_BLL: Tensor | None) -> Tensor:
    """(B, heads, L, L) weights that a block mixes values with; they may be negative.

    Args:
        block: one layer.
        hidden_BLD: what it reads.
        buckets_BLL: buckets of the times between clicks; None where times are not read.
    """
    batch, length, _ = hidden_BLD.shape
    parts = F.silu(block.uvqk(block.norm(hidden_BLD))).view(batch, length, 4, block.heads, block.head_width)
    query, key = parts[:, :, 2].transpose(1, 2), parts[:, :, 3].transpose(1, 2)
    steps_L = torch.arange(length, device=hidden_BLD.device)
    bias = block.position_bias[(steps_L[:, None] - steps_L).clamp(min=0)][None, None]
    if block.time_bias is not None:
        bias = bias + block.time_bias(buckets_BLL).unsqueeze(1)
    return F.silu(query @ key.transpose(2, 3) + bias).tril() / block.longest

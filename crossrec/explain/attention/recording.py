"""Attention weights of models that call PyTorch's scaled dot-product attention, which never shows them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode


class AttentionRecorder(TorchFunctionMode):
    """Inside ``with``, attention is computed step by step on this thread, and its weights are kept.

    The model itself is left alone: outside, and on other threads, it runs at its own speed. Works for every
    model that calls ``scaled_dot_product_attention``: those of this package, transformers with its default
    attention, timm with fused attention. The weights hang in the graph, so that a score's gradient with
    respect to them can be had.

    Attributes:
        weights: one (B, heads, queries, keys) float32 a call, in the order of the calls.
    """

    def __init__(self) -> None:
        super().__init__()
        self.weights: list[Tensor] = []

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Every call of a PyTorch function passes here; all but attention go their way."""
        named = kwargs or {}
        if func is not F.scaled_dot_product_attention:
            return func(*args, **named)
        return self._attend(*args, **named)

    def _attend(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attn_mask: Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        scale: float | None = None,
        enable_gqa: bool = False,
    ) -> Tensor:
        """As PyTorch defines the function, without dropout: what is explained is a model in evaluation."""
        if enable_gqa:
            key, value = (
                states.repeat_interleave(query.shape[1] // key.shape[1], 1) for states in (key, value)
            )
        logits = (query @ key.transpose(-2, -1)).float() * (
            query.shape[-1] ** -0.5 if scale is None else scale
        )
        if is_causal:
            seen = torch.ones(logits.shape[-2:], dtype=torch.bool, device=logits.device).tril()
            logits = logits.masked_fill(~seen, -torch.inf)
        if attn_mask is not None and attn_mask.dtype == torch.bool:
            logits = logits.masked_fill(~attn_mask, -torch.inf)
        elif attn_mask is not None:
            logits = logits + attn_mask
        weights = logits.softmax(-1)
        self.weights.append(weights)
        return weights.to(value.dtype) @ value

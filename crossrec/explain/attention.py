"""Attention of sequence models and vision transformers: recorded weights, rollout, weights per click."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from crossrec.explain.explanation import HistoryAttention, Unavailable
from crossrec.explain.score import Pair, sharing_copy
from crossrec.model.network import SequentialNetwork
from crossrec.model.sequence.base import History
from crossrec.model.sequence.hstu import HSTU, HSTUBlock


class AttentionRecorder(TorchFunctionMode):
    """Context that computes attention explicitly on this thread and records its weights.

    The model is not modified: outside, and on other threads, it runs at full speed. It works for every model
    that calls ``scaled_dot_product_attention``: those of this package, transformers with its default
    attention, timm with fused attention. The weights are part of the graph, so a score can be differentiated
    with respect to them.

    Attributes:
        weights: one (B, heads, queries, keys) float32 tensor per call, in the order of the calls.
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
        """Intercept attention among the calls of PyTorch functions; all others pass unchanged."""
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
        """Compute attention as PyTorch defines it, without dropout: models are in evaluation mode."""
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


def recorded_hstu(model: HSTU) -> tuple[HSTU, list[Tensor]]:
    """Return a copy of a model with shared weights, and the list that its runs fill with attention.

    Only the copy has the hooks that fill it: the model itself may be in use elsewhere.

    Returns:
        The copy, and a list with (B, heads, L, L) weights per layer once it has run.
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
    """Return (B, heads, L, L) weights with which a block mixes values; they may be negative.

    Args:
        block: one layer.
        hidden_BLD: input of the block.
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


def rollout(layers: list[Tensor]) -> Tensor:
    """Return the share of each input in each position after all layers, by attention weights alone.

    Heads are averaged, the residual connection is an identity of the same weight as attention, and the
    layers' maps are multiplied: R = A_S ... A_1 with A = (mean over heads + I) / 2. Rows sum to 1.

    Args:
        layers: (heads, L, L) attention weights per layer, first layer first; rows sum to 1.

    Returns:
        (L, L).

    Source:
        Abnar, Zuidema: Quantifying attention flow in transformers (ACL 2020).
    """
    length = layers[0].shape[-1]
    total_LL = torch.eye(length, dtype=layers[0].dtype, device=layers[0].device)
    for weights_HLL in layers:
        mixed_LL = (weights_HLL.mean(0) + torch.eye(length, device=total_LL.device)) / 2
        total_LL = mixed_LL @ total_LL
    return total_LL


def gradient_rollout(layers: list[Tensor], gradients: list[Tensor]) -> Tensor:
    """Return the relevance of each input to each position, from attention that raises the score.

    R starts as I and becomes R + A R layer by layer, where A is the mean over heads of the positive part of
    attention times the score's gradient with respect to it.

    Args:
        layers: (heads, L, L) attention weights per layer.
        gradients: gradients of the score with respect to them.

    Returns:
        (L, L).

    Source:
        Chefer, Gur, Wolf: Generic attention-model explainability for interpreting bi-modal and
        encoder-decoder transformers (ICCV 2021), section 3.
    """
    total_LL = torch.eye(layers[0].shape[-1], dtype=layers[0].dtype, device=layers[0].device)
    for weights_HLL, gradient_HLL in zip(layers, gradients, strict=True):
        positive_LL = (weights_HLL * gradient_HLL).clamp(min=0).mean(0)
        total_LL = total_LL + positive_LL @ total_LL
    return total_LL


def history_attention(pair: Pair) -> HistoryAttention:
    """Return the query position's attention to each click, by layer and head, and its rollout.

    The query position is the last click, or the masked position of a bidirectional model. Attention shows
    where a layer looked, not its effect; :mod:`crossrec.explain.faithfulness` tests it.

    Args:
        pair: a history; the scored item does not matter.

    Raises:
        Unavailable: if the model has no attention over the history, or computes it in a way that hides it.
    """
    layers, softmax = attention_maps(pair)
    length = len(pair.clicks_L)
    # A prompt precedes the clicks, and the masked position follows them.
    after = int(pair.network.sequence.mask_share is not None)
    before = layers[0].shape[-1] - length - after
    asked_SHL = torch.stack([weights_HLL[:, -1] for weights_HLL in layers]).double().cpu()
    rolled_L = rollout(layers)[-1].double().cpu()
    clicks = slice(before, before + length)
    return HistoryAttention(
        by_head=asked_SHL[:, :, clicks].numpy(),
        elsewhere=(asked_SHL.sum(2) - asked_SHL[:, :, clicks].sum(2)).numpy(),
        rollout_L=rolled_L[clicks].numpy(),
        rollout_elsewhere=float(rolled_L.sum() - rolled_L[clicks].sum()),
        softmax=softmax,
    )


@torch.no_grad()
def attention_maps(pair: Pair) -> tuple[list[Tensor], bool]:
    """Return (heads, L', L') weights of every layer, and whether a softmax made them.

    L' counts all positions that the model reads: clicks, a prompt's tokens, a masked position. HSTU's
    weights, which come from no softmax, are divided by the sum of their sizes, so that their rows sum to 1
    too.

    Raises:
        Unavailable: as in :func:`history_attention`.
    """
    network = pair.network
    history = pair.history(pair.vectors_KD[None, :-1])
    if network.sequence.mask_share is not None:
        history = history.append_mask()
    if isinstance(network.sequence, HSTU):
        return _pointwise(network, network.sequence, history), False
    with AttentionRecorder() as recorder:
        network.hidden(history)
    if not recorder.weights:
        raise Unavailable(
            f"{type(network.sequence).__name__} has no attention over the history, or computes it by other "
            "means than PyTorch's scaled_dot_product_attention, so that its weights can't be seen"
        )
    return [weights_BHLL[0] for weights_BHLL in recorder.weights], True


def _pointwise(network: SequentialNetwork, sequence: HSTU, history: History) -> list[Tensor]:
    twin, found = recorded_hstu(sequence)
    SequentialNetwork(
        network.items,
        twin,
        network.n_items,
        similarity="cosine" if network.normalise else "dot",
        temperature=network.temperature,
        history_scale=network.history_scale,
    ).eval().hidden(history)
    sizes = [weights_BHLL[0].abs() for weights_BHLL in found]
    return [size / size.sum(-1, keepdim=True).clamp(min=torch.finfo(size.dtype).tiny) for size in sizes]

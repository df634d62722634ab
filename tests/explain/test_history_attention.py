"""Attention over the history, beside references."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from crossrec.explain.attention import (
    AttentionRecorder,
    attention_maps,
    gradient_rollout,
    history_attention,
    hstu_weights,
    rollout,
)
from crossrec.explain.explanation import Unavailable
from crossrec.explain.score import Pair
from crossrec.model.recommender import NeuralRecommender
from crossrec.model.sequence.hstu import HSTUBlock
from crossrec.model.sequence.llm import LLMSequenceModel
from crossrec.model.sequence.sasrec import PreNormBlock
from crossrec.types import Sequences

Networks = Callable[..., NeuralRecommender]
WITH_ATTENTION: list[dict[str, Any]] = [
    {"type": "sasrec"},
    {"type": "sasrec", "positions": "rotary", "time_gaps": True},
    {"type": "esasrec"},
    {"type": "bert4rec"},
    {"type": "hstu"},
]


@pytest.mark.parametrize("sequence", WITH_ATTENTION, ids=str)
def test_rows_sum_to_one(networks: Networks, history: Sequences, sequence: dict[str, Any]) -> None:
    found = history_attention(Pair.of(networks(sequence), history, 13))
    assert found.by_head.shape == (2, 2, 5)
    assert found.elsewhere.shape == (2, 2)
    assert (found.by_head >= 0).all()
    np.testing.assert_allclose(found.by_head.sum(2) + found.elsewhere, 1, atol=1e-5)
    assert found.rollout_L.sum() + found.rollout_elsewhere == pytest.approx(1, abs=1e-5)
    guesses = sequence["type"] == "bert4rec"
    assert (found.elsewhere > 1e-3).all() if guesses else np.abs(found.elsewhere).max() < 1e-6
    assert found.softmax == (sequence["type"] != "hstu")


@torch.no_grad()
def test_the_first_layer_of_sasrec_by_hand(networks: Networks, history: Sequences) -> None:
    recommender = networks()
    pair = Pair.of(recommender, history, 13)
    model: Any = recommender.network.sequence
    block = model.blocks[0]
    assert isinstance(block, PreNormBlock)
    hidden_LD = pair.vectors_KD[:-1] * 4 + model.positions[:5]  # 4: the root of a width of 16
    query, key, _ = block.qkv(block.norm_attention(hidden_LD)).view(5, 3, 2, 8).unbind(1)
    for head in range(2):
        logits = query[4, head] @ key[:, head].T / 8**0.5
        expected = logits.exp() / logits.exp().sum()
        np.testing.assert_allclose(history_attention(pair).by_head[0, head], expected, atol=1e-6)


@torch.no_grad()
def test_causal_models_never_look_ahead(networks: Networks, history: Sequences) -> None:
    for type_ in ("sasrec", "hstu"):
        layers, _ = attention_maps(Pair.of(networks({"type": type_}), history, 13))
        assert all(torch.equal(weights, weights.tril()) for weights in layers)


@pytest.mark.parametrize("sequence", WITH_ATTENTION[:-1], ids=str)
def test_recording_changes_no_state_and_leaves_nothing_behind(
    networks: Networks, history: Sequences, sequence: dict[str, Any]
) -> None:
    network = networks(sequence).network.eval()
    pair = Pair.of(networks(sequence), history, 13)
    read = pair.history(pair.vectors_KD[None, :-1])
    before = network.hidden(read)
    with AttentionRecorder() as recorder:
        during = network.hidden(read)
    assert len(recorder.weights) == 2
    torch.testing.assert_close(during, before, rtol=1e-4, atol=1e-5)
    assert torch.equal(network.hidden(read), before)
    assert len(recorder.weights) == 2


@torch.no_grad()
@pytest.mark.parametrize("time_bias", [True, False])
def test_hstu_mixes_its_values_with_the_weights_shown(time_bias: bool) -> None:
    from crossrec.model.sequence.hstu import HSTU

    torch.manual_seed(0)
    block = HSTUBlock(HSTU.Options(max_length=9, heads=2, time_bias=time_bias), 16).eval()
    hidden = torch.randn(3, 7, 16)
    buckets = torch.randint(0, 80, (3, 7, 7)) if time_bias else None
    weights = hstu_weights(block, hidden, buckets)
    gate, value, _, _ = F.silu(block.uvqk(block.norm(hidden))).view(3, 7, 4, 2, 8).unbind(2)
    mixed = (weights @ value.transpose(1, 2)).transpose(1, 2).flatten(2)
    expected = hidden + block.out(block.norm(mixed) * gate.flatten(2))
    torch.testing.assert_close(block(hidden, buckets), expected, rtol=1e-4, atol=1e-5)


def test_hstu_is_left_without_hooks(networks: Networks, history: Sequences) -> None:
    recommender = networks({"type": "hstu"})
    history_attention(Pair.of(recommender, history, 13))
    assert not any(module._forward_pre_hooks for module in recommender.network.modules())


@torch.no_grad()
@pytest.mark.parametrize("lora", [True, False])
def test_a_decoder_shows_what_its_own_eager_attention_says(
    networks: Networks, history: Sequences, tiny_llama: Path, lora: bool
) -> None:
    settings: dict[str, Any] = {"type": "llm", "weights": str(tiny_llama), "prompt": "shopper viewed"}
    if not lora:
        settings["lora"] = None
    recommender = networks(settings)
    pair = Pair.of(recommender, history, 13)
    found = history_attention(pair)
    model = recommender.network.sequence
    assert isinstance(model, LLMSequenceModel)
    seen: list[torch.Tensor] = []
    handle = model.decoder.register_forward_pre_hook(
        lambda _, args, kwargs: seen.append(kwargs["inputs_embeds"]), with_kwargs=True
    )
    recommender.network.hidden(pair.history(pair.vectors_KD[None, :-1]))
    handle.remove()
    decoder = model.decoder.get_base_model() if lora else model.decoder
    decoder.set_attn_implementation("eager")
    eager = decoder(inputs_embeds=seen[0], output_attentions=True).attentions
    for layer, weights in enumerate(eager):
        np.testing.assert_allclose(found.by_head[layer], weights[0, :, -1, 2:], atol=1e-5)
    np.testing.assert_allclose(found.by_head.sum(2) + found.elsewhere, 1, atol=1e-5)
    assert (found.elsewhere > 1e-3).all()
    with pytest.raises(Unavailable, match="no attention over the history"):
        history_attention(pair)


def test_a_recurrent_network_says_that_it_has_none(networks: Networks, history: Sequences) -> None:
    with pytest.raises(Unavailable, match="GRU4Rec has no attention"):
        history_attention(Pair.of(networks({"type": "gru4rec"}), history, 13))


def test_rollout_by_hand() -> None:
    first = torch.tensor([[[1.0, 0.0], [0.4, 0.6]], [[1.0, 0.0], [0.8, 0.2]]])
    second = torch.tensor([[[1.0, 0.0], [0.5, 0.5]]])
    # Means of the heads, halved beside the identity: [[1, 0], [.3, .7]] and [[1, 0], [.25, .75]].
    expected = torch.tensor([[1.0, 0.0], [0.25 + 0.75 * 0.3, 0.75 * 0.7]])
    torch.testing.assert_close(rollout([first, second]), expected)


def test_gradient_rollout_by_hand() -> None:
    weights, gradient = torch.tensor([[[0.5, 0.5], [0.2, 0.8]]]), torch.tensor([[[2.0, -1.0], [0.0, 1.0]]])
    # The positive part is [[1, 0], [0, .8]], so R = I + A after one layer, and (I + A) R after two.
    expected = torch.diag(torch.tensor([2.0, 1.8])) @ torch.diag(torch.tensor([2.0, 1.8]))
    torch.testing.assert_close(gradient_rollout([weights, weights], [gradient, gradient]), expected)

"""Models against plain references written from their papers' formulas, and against transformers."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from crossrec.model.sequence.base import History, SequenceModel

B, L, D, HEADS, LONGEST = 2, 6, 16, 2, 9
LENGTHS = torch.tensor([6, 4])
Build = Callable[..., SequenceModel]


def clicks() -> History:
    torch.manual_seed(1)
    times = 1_600_000_000 + torch.randint(0, 10**6, (B, L)).cumsum(1)
    return History(torch.randn(B, L, D), LENGTHS, times)


def weights_of(model: torch.nn.Module) -> dict[str, Tensor]:
    """The weights, moved away from zeros and ones so that none can be forgotten."""
    torch.manual_seed(2)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return {name: value.detach() for name, value in model.state_dict().items()}


def linear(x: Tensor, w: dict[str, Tensor], name: str) -> Tensor:
    return x @ w[f"{name}.weight"].T + w.get(f"{name}.bias", torch.zeros(1))


def layer_norm(x: Tensor, w: dict[str, Tensor], name: str) -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    scaled = centred / (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt()
    return scaled * w[f"{name}.weight"] + w[f"{name}.bias"]


def causal_attention(x_LD: Tensor, w: dict[str, Tensor], block: str) -> Tensor:
    """Softmax attention of one history, head by head and position by position."""
    query, key, value = linear(x_LD, w, f"{block}.qkv").split(D, dim=-1)
    mixed = torch.zeros(len(x_LD), D)
    for head in range(HEADS):
        at = slice(head * D // HEADS, (head + 1) * D // HEADS)
        for i in range(len(x_LD)):
            scores = key[: i + 1, at] @ query[i, at] / math.sqrt(D // HEADS)
            mixed[i, at] = (scores.exp() / scores.exp().sum()) @ value[: i + 1, at]
    return linear(mixed, w, f"{block}.out")


def assert_same(states: Tensor, rows: list[Tensor]) -> None:
    for found, row in zip(states, rows, strict=True):
        torch.testing.assert_close(found[: len(row)], row, rtol=1e-4, atol=2e-5)  # measured: 2.1e-6


def test_sasrec_is_the_papers(build: Build) -> None:
    model = build({"type": "sasrec", "heads": HEADS, "feedforward": 2}).eval()
    w, given = weights_of(model), clicks()
    rows = []
    for vectors, length in zip(given.vectors_BLD, LENGTHS, strict=True):
        x = vectors[:length] + w["positions"][:length]
        for block in ("blocks.0", "blocks.1"):
            x = x + causal_attention(layer_norm(x, w, f"{block}.norm_attention"), w, block)
            inner = linear(layer_norm(x, w, f"{block}.norm_feedforward"), w, f"{block}.feedforward.0")
            x = x + linear(inner.clamp(min=0), w, f"{block}.feedforward.3")
        rows.append(layer_norm(x, w, "norm"))
    assert_same(model(given), rows)


def test_esasrec_is_sasrec_with_ligr_layers(build: Build) -> None:
    model = build({"type": "esasrec", "heads": HEADS}).eval()
    w, given = weights_of(model), clicks()
    assert w["blocks.0.feedforward.into.weight"].shape == (2 * 4 * D, D)
    rows = []
    for vectors, length in zip(given.vectors_BLD, LENGTHS, strict=True):
        x = vectors[:length] + w["positions"][:length]
        for block in ("blocks.0", "blocks.1"):
            added = causal_attention(layer_norm(x, w, f"{block}.norm_attention"), w, block)
            x = x + torch.sigmoid(linear(x, w, f"{block}.gate_attention")) * added
            normed = layer_norm(x, w, f"{block}.norm_feedforward")
            first, second = w[f"{block}.feedforward.into.weight"].split(4 * D)
            swish = (normed @ first.T) * torch.sigmoid(normed @ first.T)
            added = (swish * (normed @ second.T)) @ w[f"{block}.feedforward.out.weight"].T
            x = x + torch.sigmoid(linear(x, w, f"{block}.gate_feedforward")) * added
        rows.append(layer_norm(x, w, "norm"))
    assert_same(model(given), rows)


def test_hstu_is_the_papers(build: Build) -> None:
    model = build({"type": "hstu", "heads": HEADS}).eval()
    w, given = weights_of(model), clicks()
    assert given.times_BL is not None
    rows = []
    for vectors, times, length in zip(given.vectors_BLD, given.times_BL.tolist(), LENGTHS, strict=True):
        x = vectors[:length] + w["positions"][:length]
        for block in ("blocks.0", "blocks.1"):
            x = x + _hstu_unit(x, times, w, block)
        rows.append(x)
    assert_same(model(given), rows)


def _hstu_unit(x: Tensor, times: list[int], w: dict[str, Tensor], block: str) -> Tensor:
    projected = linear(F.layer_norm(x, (D,), eps=1e-6), w, f"{block}.uvqk")
    gate, value, query, key = (projected * torch.sigmoid(projected)).split(D, dim=-1)
    mixed = torch.zeros_like(x)
    for head in range(HEADS):
        at = slice(head * D // HEADS, (head + 1) * D // HEADS)
        for i in range(len(x)):
            for j in range(i + 1):
                bucket = int(math.log(max(times[i] - times[j], 1)) / 0.301)
                bias = w[f"{block}.position_bias"][i - j] + w[f"{block}.time_bias.weight"][bucket, 0]
                score = query[i, at] @ key[j, at] + bias
                mixed[i, at] += score * torch.sigmoid(score) / LONGEST * value[j, at]
    return linear(F.layer_norm(mixed, (D,), eps=1e-6) * gate, w, f"{block}.out")


def test_hstu_without_times_has_the_bias_of_positions_alone(build: Build) -> None:
    timed = build({"type": "hstu"}).eval()
    plain = build({"type": "hstu", "time_bias": False}).eval()
    with torch.no_grad():
        for name, parameter in timed.named_parameters():
            if "time_bias" in name:
                parameter.zero_()
    plain.load_state_dict({k: v for k, v in timed.state_dict().items() if "time_bias" not in k})
    assert not plain.reads_times
    given = clicks()
    torch.testing.assert_close(plain(given), timed(given), rtol=1e-5, atol=1e-6)


def test_bert4rec_block_is_berts(build: Build) -> None:
    from transformers import BertConfig
    from transformers.models.bert.modeling_bert import BertLayer

    block = build({"type": "bert4rec", "heads": HEADS}).eval().get_submodule("blocks.0")
    w = weights_of(block)
    eager: dict[str, Any] = {"attn_implementation": "eager"}  # known to all configurations
    config = BertConfig(
        hidden_size=D,
        num_attention_heads=HEADS,
        intermediate_size=4 * D,
        hidden_act="gelu",
        layer_norm_eps=1e-5,
        **eager,
    )
    bert = BertLayer(config).eval()
    query, key, value = w["qkv.weight"].split(D)
    query_bias, key_bias, value_bias = w["qkv.bias"].split(D)
    theirs = {
        "attention.self.query.weight": query,
        "attention.self.query.bias": query_bias,
        "attention.self.key.weight": key,
        "attention.self.key.bias": key_bias,
        "attention.self.value.weight": value,
        "attention.self.value.bias": value_bias,
    }
    names = {
        "attention.output.dense": "out",
        "attention.output.LayerNorm": "norm_attention",
        "intermediate.dense": "feedforward.0",
        "output.dense": "feedforward.3",
        "output.LayerNorm": "norm_feedforward",
    }
    for name, ours in names.items():
        theirs |= {f"{name}.{end}": w[f"{ours}.{end}"] for end in ("weight", "bias")}
    bert.load_state_dict(theirs)
    given = clicks()
    real = given.real()
    hidden = torch.where(real[:, None, None, :], 0.0, torch.finfo(torch.float32).min)
    output = bert(given.vectors_BLD, hidden)
    output = output if isinstance(output, Tensor) else output[0]
    torch.testing.assert_close(block(given.vectors_BLD, real)[real], output[real], rtol=1e-4, atol=1e-5)


def test_bert4rec_reads_the_mask_vector_and_ends_in_berts_head(build: Build) -> None:
    model = build({"type": "bert4rec", "heads": HEADS}).eval()
    w, given = weights_of(model), clicks()
    masked = torch.zeros(B, L, dtype=torch.bool)
    masked[0, 1] = masked[1, 3] = True
    x = given.vectors_BLD.clone()
    x[masked] = w["mask_vector"]
    x = layer_norm(x + w["positions"][:L], w, "norm_in")
    for block in model.blocks:
        x = block(x, given.real())
    head = linear(x, w, "head")
    expected = layer_norm(head * 0.5 * (1 + torch.erf(head / math.sqrt(2))), w, "norm")
    found = model(History(given.vectors_BLD, LENGTHS, None, masked))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_gru4rec_is_a_gated_recurrent_unit(build: Build) -> None:
    model = build({"type": "gru4rec", "hidden": 8}).eval()
    w, given = weights_of(model), clicks()
    rows = []
    for vectors, length in zip(given.vectors_BLD, LENGTHS, strict=True):
        state, states = torch.zeros(8), []
        for vector in vectors[:length]:
            into = w["gru.weight_ih_l0"] @ vector + w["gru.bias_ih_l0"]
            back = w["gru.weight_hh_l0"] @ state + w["gru.bias_hh_l0"]
            reset, update = torch.sigmoid(into + back)[:16].split(8)
            state = (1 - update) * torch.tanh(into[16:] + reset * back[16:]) + update * state
            states.append(linear(state, w, "out"))
        rows.append(torch.stack(states))
    assert_same(model(given), rows)

"""The contract of every sequence model, and what only the decoder offers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import TypeAdapter

from crossrec.sequence import SequenceConfig
from crossrec.sequence.base import SequenceModel

B, L, D = 3, 7, 16
MODELS: dict[str, dict[str, Any]] = {
    "sasrec": {"type": "sasrec", "max_length": 9, "heads": 2, "feedforward": 2},
    "sasrec without positions": {"type": "sasrec", "max_length": 9, "positions": False},
    "llm": {"type": "llm", "max_length": 9},
    "llm cut": {"type": "llm", "max_length": 9, "layers": 2},
    "llm with prompt": {"type": "llm", "max_length": 9, "layers": 1, "prompt": "the shopper viewed"},
    "llm without lora": {"type": "llm", "max_length": 9, "layers": 1, "lora": None},
}


def build(name: str, tiny_llama: Path, **changes: Any) -> SequenceModel:
    settings = {**MODELS[name], **changes}
    if settings["type"] == "llm":
        settings["weights"] = str(tiny_llama)
    torch.manual_seed(0)
    return TypeAdapter(SequenceConfig).validate_python(settings).build(D, tiny_llama.parent)


@pytest.mark.parametrize("name", MODELS)
def test_shape_and_causality(name: str, tiny_llama: Path) -> None:
    model = build(name, tiny_llama).eval()
    vectors = torch.randn(B, L, D)
    before = model(vectors)
    assert before.shape == (B, L, D)
    for position in range(L):
        changed = vectors.clone()
        changed[:, position] += torch.randn(B, D)
        after = model(changed)
        torch.testing.assert_close(after[:, :position], before[:, :position], rtol=1e-5, atol=1e-5)
        assert (after[:, position] - before[:, position]).abs().max() > 1e-4


@pytest.mark.parametrize("name", MODELS)
def test_padding_on_the_right_changes_nothing(name: str, tiny_llama: Path) -> None:
    model = build(name, tiny_llama).eval()
    vectors = torch.randn(B, L, D)
    padded = torch.cat([vectors, torch.randn(B, 2, D)], dim=1)
    torch.testing.assert_close(model(padded)[:, :L], model(vectors), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_every_parameter_is_trained_or_declared_frozen(name: str, tiny_llama: Path) -> None:
    model = build(name, tiny_llama, dropout=0.0).train()
    # Adapters start with one factor at zero, which stops the other's gradient: move them first.
    with torch.no_grad():
        for label, parameter in model.named_parameters():
            if "lora_B" in label:
                parameter.normal_(std=0.1)
    (model(torch.randn(B, 9, D)) * torch.randn(B, 9, D)).sum().backward()
    for label, parameter in model.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, label
            assert parameter.grad.abs().sum() > 0, label
        else:
            assert parameter.grad is None, label
            assert label.startswith("decoder."), label


def test_only_adapters_of_the_decoder_learn(tiny_llama: Path) -> None:
    model = build("llm cut", tiny_llama)
    trained = {n for n, p in model.decoder.named_parameters() if p.requires_grad}
    assert trained
    assert all("lora_" in name for name in trained)


def test_cutting_keeps_the_first_layers(tiny_llama: Path) -> None:
    whole = build("llm", tiny_llama, lora=None)
    cut = build("llm cut", tiny_llama, lora=None)
    assert len(cut.decoder.layers) == 2
    for ours, theirs in zip(cut.decoder.layers, whole.decoder.layers, strict=False):
        torch.testing.assert_close(ours.state_dict(), theirs.state_dict())
    with pytest.raises(ValueError, match="only 3 layers"):
        build("llm cut", tiny_llama, layers=4)


def test_the_prompt_changes_states_but_not_their_number(tiny_llama: Path) -> None:
    plain = build("llm with prompt", tiny_llama, prompt=None).eval()
    prompted = build("llm with prompt", tiny_llama).eval()
    prompted.load_state_dict(plain.state_dict())
    vectors = torch.randn(B, L, D)
    assert prompted(vectors).shape == (B, L, D)
    assert (prompted(vectors) - plain(vectors)).abs().max() > 1e-3


def test_peft_loads_the_adapter_by_itself_onto_the_uncut_decoder(tiny_llama: Path, tmp_path: Path) -> None:
    from peft import PeftModel
    from safetensors.torch import load_file
    from transformers import AutoModel

    model = build("llm cut", tiny_llama).eval()
    with torch.no_grad():
        for label, parameter in model.named_parameters():
            if "lora_B" in label:
                parameter.normal_(std=0.1)
    adapter = model.adapter()
    assert adapter is not None
    adapter.save_pretrained(tmp_path / "adapter", save_embedding_layers=False)
    saved = load_file(tmp_path / "adapter" / "adapter_model.safetensors")
    assert len(saved) == 2 * 4 * 2  # layers, projections, factors
    loaded = PeftModel.from_pretrained(AutoModel.from_pretrained(tiny_llama), tmp_path / "adapter")
    loaded.base_model.model.layers = loaded.base_model.model.layers[:2]
    loaded.config.num_hidden_layers = 2
    tokens = torch.randn(B, L, 32)
    ours = model.decoder(inputs_embeds=tokens).last_hidden_state
    theirs = loaded(inputs_embeds=tokens).last_hidden_state
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


def test_sasrec_needs_heads_that_divide_the_width(tiny_llama: Path) -> None:
    with pytest.raises(ValueError, match="does not divide"):
        build("sasrec", tiny_llama, heads=3)

"""What only the decoder offers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from crossrec.model.sequence.base import History

B, L, D = 3, 7, 16
LLM = {"type": "llm"}
Build = Callable[..., Any]


def test_only_adapters_of_the_decoder_learn(build: Build) -> None:
    model = build(LLM, layers=2)
    trained = {n for n, p in model.decoder.named_parameters() if p.requires_grad}
    assert trained
    assert all("lora_" in name for name in trained)


def test_cutting_keeps_the_first_layers(build: Build) -> None:
    whole = build(LLM, lora=None)
    cut = build(LLM, layers=2, lora=None)
    assert len(cut.decoder.layers) == 2
    for ours, theirs in zip(cut.decoder.layers, whole.decoder.layers, strict=False):
        torch.testing.assert_close(ours.state_dict(), theirs.state_dict())
    with pytest.raises(ValueError, match="only 3 layers"):
        build(LLM, layers=4)


def test_the_prompt_changes_states_but_not_their_number(build: Build) -> None:
    plain = build(LLM, layers=1).eval()
    prompted = build(LLM, layers=1, prompt="the shopper viewed").eval()
    prompted.load_state_dict(plain.state_dict())
    history = History(torch.randn(B, L, D), torch.full((B,), L))
    assert prompted(history).shape == (B, L, D)
    assert (prompted(history) - plain(history)).abs().max() > 1e-3


def test_peft_loads_the_adapter_by_itself_onto_the_uncut_decoder(
    build: Build, tiny_llama: Path, tmp_path: Path
) -> None:
    from peft import PeftModel
    from safetensors.torch import load_file
    from transformers import AutoModel

    model = build(LLM, layers=2).eval()
    with torch.no_grad():
        for label, parameter in model.named_parameters():
            if "lora_B" in label:
                parameter.normal_(std=0.1)
    adapter = model.adapter()
    assert adapter is not None
    adapter.save_pretrained(str(tmp_path / "adapter"), save_embedding_layers=False)
    saved = load_file(tmp_path / "adapter" / "adapter_model.safetensors")
    assert len(saved) == 2 * 4 * 2  # layers, projections, factors
    loaded: Any = PeftModel.from_pretrained(AutoModel.from_pretrained(tiny_llama), tmp_path / "adapter")
    loaded.base_model.model.layers = loaded.base_model.model.layers[:2]
    loaded.config.num_hidden_layers = 2
    tokens = torch.randn(B, L, 32)
    ours = model.decoder(inputs_embeds=tokens).last_hidden_state
    theirs = loaded(inputs_embeds=tokens).last_hidden_state
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)

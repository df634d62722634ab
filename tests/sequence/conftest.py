"""A tiny decoder on disk, as transformers saves it, and models from short settings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import TypeAdapter

from crossrec.sequence import SequenceConfig
from crossrec.sequence.base import SequenceModel

WIDTH = 16


@pytest.fixture(scope="session")
def tiny_llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a random three-layer Llama of width 32 and a word tokenizer."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    words = Tokenizer(
        WordLevel({"[UNK]": 0, "[PAD]": 1, "the": 2, "shopper": 3, "viewed": 4}, unk_token="[UNK]")
    )
    words.pre_tokenizer = Whitespace()
    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=8,
            hidden_size=32,
            intermediate_size=48,
            num_hidden_layers=3,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=64,
        )
    )
    folder = tmp_path_factory.mktemp("tiny-llama")
    model.save_pretrained(folder)
    PreTrainedTokenizerFast(tokenizer_object=words, pad_token="[PAD]", unk_token="[UNK]").save_pretrained(
        folder
    )
    return folder


@pytest.fixture
def build(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[..., SequenceModel]:
    """``build(settings, seed=0, **changes)``: a model of width 16; decoders are the tiny one."""

    def make(settings: dict[str, Any], seed: int = 0, **changes: Any) -> SequenceModel:
        settings = {"max_length": 9, **settings, **changes}
        if settings["type"] == "llm":
            settings["weights"] = str(request.getfixturevalue("tiny_llama"))
        torch.manual_seed(seed)
        return TypeAdapter(SequenceConfig).validate_python(settings).build(WIDTH, tmp_path)

    return make

"""What tests of several folders share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import settings

# A busy machine is no failure.
settings.register_profile("crossrec", deadline=None)
settings.load_profile("crossrec")

N_ITEMS = 30
WORDS = (
    *("a", "dog", "puppy", "tax", "law", "red", "shirt", "blue", "shoe", "linen"),
    *("of", "wool", "for", "winter", "the", "and", "with", "##s", ".", "-"),
)
"""What ``tiny_bert`` can read, besides what is unknown."""
SPREAD = 0.3
"""Standard deviation of random weights: with transformers' own .02 a small model hardly tells texts apart."""


@pytest.fixture(scope="module")
def id_shop(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The configuration of a model by ids on a small shop that it can learn; 30 items of five kinds."""
    folder: Path = tmp_path_factory.mktemp("shop")
    generator = np.random.default_rng(0)
    pl.DataFrame(
        {
            "item_id": [f"i{i}" for i in range(N_ITEMS)],
            "title": [f"Thing {i}" for i in range(N_ITEMS)],
            "categories": [f"kind {i % 5}" for i in range(N_ITEMS)],
        }
    ).write_csv(folder / "items.csv")
    rows = [
        (f"u{user}", f"i{(user * 7 + step * int(generator.integers(1, 4))) % N_ITEMS}", 100 * step + user)
        for user in range(60)
        for step in range(int(generator.integers(5, 12)))
    ]
    pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp"], orient="row").write_csv(
        folder / "interactions.csv"
    )
    return {
        "runs_dir": str(folder / "runs"),
        "data": {"source": {"type": "table"}, "root": str(folder), "split": {"type": "leave_one_out"}},
        "model": {
            "text": None,
            "image": None,
            "item_id": True,
            "width": 16,
            "sequence": {"type": "sasrec", "max_length": 8},
        },
        "trainer": {"epochs": 2, "batch_size": 16, "lr": 0.01},
        "spaces": {"text": None, "image": None},
        "baselines": [],
        "evaluation": {"n_bootstrap": 20},
    }


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a random BERT of width 32 and two layers, whose tokens are words or pieces of them."""
    import torch
    from tokenizers import Tokenizer
    from tokenizers.models import WordPiece
    from tokenizers.pre_tokenizers import BertPreTokenizer
    from tokenizers.processors import TemplateProcessing
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    vocabulary = {token: i for i, token in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS])}
    words = Tokenizer(WordPiece(vocabulary, unk_token="[UNK]"))
    words.pre_tokenizer = BertPreTokenizer()
    words.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", model_max_length=64
    )
    torch.manual_seed(0)
    model = BertModel(
        BertConfig(
            vocab_size=len(vocabulary),
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=4,
            intermediate_size=64,
            max_position_embeddings=64,
            initializer_range=SPREAD,
        )
    )
    folder = tmp_path_factory.mktemp("tiny-bert")
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


READ = (
    *("the", "shopper", "viewed", "next", "yes", "no", "Answer", ":", ";", "?", "."),
    *("red", "blue", "shirt", "shoe", "hat", "coat", "bag", "wool", "linen", "silk", "new", "old"),
)
"""Words that ``reading_llama`` can read."""


def random_llama(folder: Path, words: Sequence[str], **sizes: Any) -> Path:
    """Write a random Llama of width 32 and a word tokenizer into a folder."""
    import torch
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    vocabulary = {word: number for number, word in enumerate(["[UNK]", "[PAD]", *words])}
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    torch.manual_seed(0)
    heads = {"hidden_size": 32, "num_attention_heads": 4, "num_key_value_heads": 2}
    LlamaForCausalLM(LlamaConfig(**heads, **sizes)).save_pretrained(folder)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]")
    fast.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def reading_llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a random two-layer Llama of width 32 that can read a few words, and answer yes and no."""
    return random_llama(
        tmp_path_factory.mktemp("reading-llama"),
        READ,
        vocab_size=2 + len(READ),
        intermediate_size=64,
        num_hidden_layers=2,
        max_position_embeddings=128,
        initializer_range=SPREAD,
    )


@pytest.fixture(scope="session")
def tiny_llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a random three-layer Llama of width 32, whose heads share keys, and a word tokenizer."""
    return random_llama(
        tmp_path_factory.mktemp("tiny-llama"),
        ("the", "shopper", "viewed"),
        vocab_size=8,
        intermediate_size=48,
        num_hidden_layers=3,
        max_position_embeddings=64,
    )

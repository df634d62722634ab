"""Two small tables, and a small random language model."""

import tempfile

import polars as pl
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

import crossrec as cr  # noqa: F401

words = ("[UNK]", "viewed", "next", "yes", "no", ";", "red", "blue", "shirt", "shoe")
tokenizer = Tokenizer(WordLevel({word: number for number, word in enumerate(words)}, unk_token="[UNK]"))
tokenizer.pre_tokenizer = Whitespace()
language_model = tempfile.mkdtemp()
PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="[UNK]").save_pretrained(language_model)
torch.manual_seed(0)
LlamaForCausalLM(
    LlamaConfig(
        vocab_size=len(words),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=256,
    )
).save_pretrained(language_model)
prompt = "viewed {history} next {item}"

items = pl.DataFrame(
    {
        "item_id": [f"i{item}" for item in range(40)],
        "title": [f"{'red' if item % 2 else 'blue'} {'shirt' if item % 3 else 'shoe'}" for item in range(40)],
    }
)
clicks = pl.DataFrame(
    [
        (f"u{user}", f"i{(3 * user + step) % 40}", 1_700_000_000 + 86_400 * step + user)
        for user in range(40)
        for step in range(4 + user % 5)
    ],
    schema=["user_id", "item_id", "timestamp"],
    orient="row",
)

"""Drawing lines from language models, which here are random and tiny."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crossrec.augment.base import SampleRng
from crossrec.augment.content.text.generation import LineGenerator, Prompt, draw_tokens
from crossrec.augment.content.text.paraphrase import Paraphrase, load_generator
from crossrec.types import InputError

WORDS = "a an the dog doctor moves city when rain falls old house sees to and . , \n".split(" ")  # noqa: SIM905


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = {"<pad>": 0, "</s>": 1, "<unk>": 2} | {word: i + 3 for i, word in enumerate(WORDS)}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Split(Regex(" +"), "removed")
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    )


def tiny_model(seq2seq: bool, n_tokens: int) -> Any:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM, T5Config, T5ForConditionalGeneration

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        if seq2seq:
            start: dict[str, Any] = {"decoder_start_token_id": 0}  # known to all configurations
            t5 = T5Config(vocab_size=n_tokens, d_model=16, d_kv=8, d_ff=32, num_layers=1, num_heads=2,
                          pad_token_id=0, eos_token_id=1, **start)  # fmt: skip
            return T5ForConditionalGeneration(t5).eval()
        llama = LlamaConfig(vocab_size=n_tokens, hidden_size=16, intermediate_size=32, num_hidden_layers=2,
                            num_attention_heads=2, pad_token_id=0, eos_token_id=1)  # fmt: skip
        return LlamaForCausalLM(llama).eval()


def line_generator(tokenizer: Any, seq2seq: bool = False) -> LineGenerator:
    model = tiny_model(seq2seq, len(tokenizer))
    return LineGenerator(model, tokenizer, seq2seq=seq2seq, temperature=1.0, top_k=50, top_p=0.95)


PROMPTS = [
    Prompt("the old house", " " + own) for own in ("a dog", "a dog sees the city and rain falls", "to", "the")
]


@pytest.mark.parametrize("seq2seq", [False, True])
def test_a_line_depends_on_its_own_key(tokenizer: Any, seq2seq: bool) -> None:
    generator = line_generator(tokenizer, seq2seq)
    draws = SampleRng(0, (), range(4))
    whole = generator.draw(PROMPTS, list(draws), 40)
    alone = [generator.draw([prompt], [draws.of(row)], 40)[0] for row, prompt in enumerate(PROMPTS)]
    assert whole == alone
    assert len({line for line in whole if line}) > 1
    assert generator.draw(PROMPTS, list(SampleRng(1, (), range(4))), 40) != whole
    assert all(line is None or "\n" not in line for line in whole)


def test_shared_beginning_is_read_once_to_the_same_end(tokenizer: Any) -> None:
    generator, draws = line_generator(tokenizer), SampleRng(0, (), range(4))
    unshared = [Prompt("", prompt.shared + prompt.own) for prompt in PROMPTS]
    assert generator.draw(PROMPTS, list(draws), 40) == generator.draw(unshared, list(draws), 40)


def test_no_end_is_told(tokenizer: Any) -> None:
    generator = line_generator(tokenizer)
    lines = [generator.draw(PROMPTS, list(SampleRng(seed, (), range(4))), 1) for seed in range(20)]
    assert None in lines[0]


@pytest.mark.parametrize(("top_k", "top_p"), [(6, 1.0), (3, 1.0), (6, 0.6), (1, 0.5)])
def test_draws_follow_the_cut_distribution(top_k: int, top_p: float) -> None:
    import torch

    scores = np.log([0.05, 0.4, 0.1, 0.2, 0.05, 0.2])
    n = 4000
    uniform = torch.linspace(0, 1 - 1e-9, n, dtype=torch.float64)
    drawn = draw_tokens(torch.tensor(np.tile(scores, (n, 1))), uniform, 0.5, top_k, top_p)
    share = np.bincount(drawn.numpy(), minlength=6) / n
    wanted = np.exp(scores / 0.5) / np.exp(scores / 0.5).sum()
    order = np.argsort(-wanted, kind="stable")[:top_k]
    kept = [token for i, token in enumerate(order) if wanted[order[:i]].sum() < top_p]
    expected = np.zeros(6)
    expected[kept] = wanted[kept] / wanted[kept].sum()
    assert np.abs(share - expected).max() < 2 / n * 3


def test_a_device_that_is_not_there_is_named(
    tokenizer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = tiny_model(False, len(tokenizer)), tokenizer
    monkeypatch.setattr("crossrec.augment.content.text.paraphrase.load_model", lambda *_: loaded)
    with pytest.raises(InputError, match="device: 'tpu9' can't be used here"):
        load_generator(Paraphrase.Options(device="tpu9"), tmp_path)
    assert load_generator(Paraphrase.Options(device="cpu"), tmp_path).model is loaded[0]

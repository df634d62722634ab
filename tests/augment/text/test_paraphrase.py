"""Paraphrases: drawing, filters, cache and putting together; the language models here are random and tiny."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crossrec.augment.base import Draws
from crossrec.augment.text.config import LanguageModel, ParaphraseConfig, ParaphraseFilters
from crossrec.augment.text.drafts import Drafts
from crossrec.augment.text.generation import LineGenerator, draw_tokens
from crossrec.augment.text.outcome import Outcome
from crossrec.augment.text.paraphrase import Paraphrase
from crossrec.augment.text.paraphrase_filters import Drop, likeness, new_names, numbers, reason_to_drop
from crossrec.augment.text.paraphrase_store import RecordStore
from crossrec.augment.text.prompts import Prompt, prompt_for
from crossrec.augment.text.similarity import Similarities
from crossrec.runtime import distributed
from crossrec.runtime.weights import PACKAGES
from crossrec.types import InputError

SOURCE = "A young doctor moves to Paris after 12 years at sea."
GOOD = "After 12 years at sea, a young doctor settles in Paris."
WORDS = "a an the dog doctor moves city when rain falls old house sees to and . , \n".split(" ")  # noqa: SIM905


class Scripted:
    """Answers of a language model that are written down; counts how often it is asked."""

    def __init__(self, answers: dict[str, str | None]) -> None:
        self.answers, self.asked = answers, []

    def draw(
        self, prompts: list[Prompt], generators: Sequence[np.random.Generator], max_new_tokens: int
    ) -> list[str | None]:
        self.asked += [prompt.own for prompt in prompts]
        assert len(prompts) == len(generators)
        assert max_new_tokens > 0
        return [next(a for s, a in self.answers.items() if s in prompt.own) for prompt in prompts]


def bag(texts: list[str]) -> np.ndarray:
    """Counts of letters: an encoder that anagrams fool."""
    return np.asarray([[text.lower().count(chr(97 + i)) for i in range(26)] for text in texts], np.float32)


def augmenter(folder: Path, model: Any, encode: Any = bag, **fields: Any) -> Paraphrase:
    config = ParaphraseConfig(**fields)
    drafts = Drafts(config, "scripted", RecordStore(folder / "drafts"), lambda: model)
    return Paraphrase(config, drafts, Similarities(encode, RecordStore(folder / "similarities")))


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
            t5 = T5Config(vocab_size=n_tokens, d_model=16, d_kv=8, d_ff=32, num_layers=1, num_heads=2,
                          decoder_start_token_id=0, pad_token_id=0, eos_token_id=1)  # fmt: skip
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
    draws = Draws(0, (), range(4))
    whole = generator.draw(PROMPTS, list(draws), 40)
    alone = [generator.draw([prompt], [draws.of(row)], 40)[0] for row, prompt in enumerate(PROMPTS)]
    assert whole == alone
    assert len({line for line in whole if line}) > 1
    assert generator.draw(PROMPTS, list(Draws(1, (), range(4))), 40) != whole
    assert all(line is None or "\n" not in line for line in whole)


def test_shared_beginning_is_read_once_to_the_same_end(tokenizer: Any) -> None:
    generator, draws = line_generator(tokenizer), Draws(0, (), range(4))
    unshared = [Prompt("", prompt.shared + prompt.own) for prompt in PROMPTS]
    assert generator.draw(PROMPTS, list(draws), 40) == generator.draw(unshared, list(draws), 40)


def test_no_end_is_told(tokenizer: Any) -> None:
    generator = line_generator(tokenizer)
    lines = [generator.draw(PROMPTS, list(Draws(seed, (), range(4))), 1) for seed in range(20)]
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


@pytest.mark.parametrize(
    ("candidate", "reason"),
    [
        (GOOD, None),
        (None, Drop.UNFINISHED),
        ("😀.", Drop.BLANK),
        ("Sure, a doctor moves to Paris after 12 years at sea.", Drop.PROMPT),
        ("A doctor moves to Paris. In other words: he went to Paris after 12 years.", Drop.PROMPT),
        ("After 12 years at sea, a young doctor settles in a remote village in Wales.", Drop.PROMPT),
        ("A doctor goes to Paris and goes to Paris and goes to Paris and stays.", Drop.REPETITION),
        ("Paris doctor.", Drop.LENGTH),
        (SOURCE, Drop.NEAR_COPY),
        ("一位年轻的医生在海上工作多年以后搬到了巴黎。", Drop.LANGUAGE),
        ("After 13 years at sea, a young doctor settles in Paris.", Drop.NEW_NUMBER),
        ("After twelve years at sea, two young doctors settle in Paris.", Drop.NEW_NUMBER),
        ("After 12 years at sea, a young doctor settles in Paris with Anna.", Drop.NEW_NAME),
        ("Anna, a young doctor, settles in Paris after 12 years at sea.", Drop.NEW_NAME),
        ("After 12 years at sea, a young doctor goes to live in a city.", Drop.LOST_NAME),
        ("After 12 years at sea, a young doctor never settles in Paris.", Drop.NEGATION),
        ("After 12 years at sea, a young doctor leaves her ship for Paris.", Drop.NEW_PERSON),
        ("A young doctor, after 12 years at sea, goes to Paris, young doctor.", Drop.REPETITION),
        ("A young doctor moves to Paris. That is after 12 years at sea.", Drop.MORE_SENTENCES),
        ("After years at sea, a young doctor settles in Paris.", Drop.LOST_NUMBER),
        ("In Paris, a brave woman hunts for gold and 12 stolen diamonds.", Drop.NEW_WORDS),
    ],
)
def test_reasons_to_drop(candidate: str | None, reason: Drop | None) -> None:
    assert reason_to_drop(SOURCE, candidate, ParaphraseFilters()) is reason


def test_numbers_and_names() -> None:
    assert numbers("Two of 3,500 people, twelve dogs, 三十 and 两年") == {"2", "3", "500", "12", "三十", "两"}
    assert numbers("twelve") == numbers("12")
    assert new_names("the Titanic sinks", "Titanic's captain meets Mr. Rose-Smith. The end.") == {
        "Mr",
        "Rose-Smith",
    }
    assert new_names("spider-man runs", "Spider runs") == set()
    assert new_names("a South African", "a South-African") == set()
    assert likeness("a b c", "a b c") == 1
    assert likeness("a b", "c d") == 0


def test_good_sentences_are_taken_and_all_is_counted(tmp_path: Path) -> None:
    other = "The old house by the river burns down one night."
    far = "One night the old house that is by the river burns down."
    model = Scripted({SOURCE: GOOD, other: far})
    texts = [f"  {SOURCE}\n{other} ", SOURCE, other, "", "1984", "Too short."]

    def encode(given: list[str]) -> np.ndarray:
        return np.asarray([[0.0, 1.0] if text == far else [1.0, 0.0] for text in given])

    made = augmenter(tmp_path, model, encode, candidates=1).augment(texts, Draws(0, (), range(6)))
    assert made.samples == [f"  {GOOD}\n{other} ", GOOD, other, "", "1984", "Too short."]
    assert made.changed.tolist() == [True, True, False, False, False, False]
    assert made.counts == {
        Outcome.KEPT: 2, Outcome.ALL_DROPPED: 1, Outcome.EMPTY: 1, Outcome.NO_SENTENCE: 2,
        "drafts/kept": 1, "drafts/similarity": 1, "sentences/kept": 1, "sentences/stayed": 1,
    }  # fmt: skip
    assert len(model.asked) == 2, "a sentence in two texts is asked once"


def test_only_the_first_sentences_of_middling_length(tmp_path: Path) -> None:
    long = "A word " * 60 + "ends."
    model = Scripted({SOURCE: GOOD})
    text = f"{long} {SOURCE} The old house by the river burns down one night."
    made = augmenter(tmp_path, model, max_sentences=1).augment([text], Draws(0, (), ["a"]))
    assert made.samples == [text.replace(SOURCE, GOOD)]


def test_nothing_is_made_twice_and_seeds_differ(tmp_path: Path) -> None:
    calls: list[int] = []

    def encode(texts: list[str]) -> np.ndarray:
        calls.append(len(texts))
        return bag(texts)

    first, second = Scripted({SOURCE: GOOD}), Scripted({SOURCE: "fails"})
    one = augmenter(tmp_path, first, encode).augment([SOURCE], Draws(0, ("v",), ["x"]))
    encoded = sum(calls)
    two = augmenter(tmp_path, second, encode).augment(["More. " + SOURCE], Draws(0, ("v",), ["y"]))
    assert second.asked == []
    assert one.samples == [GOOD]
    assert two.samples == ["More. " + GOOD]
    assert sum(calls) == encoded + 1, "the probe alone"
    augmenter(tmp_path, second, encode).augment([SOURCE], Draws(1, ("v",), ["x"]))
    assert len(second.asked) == 2
    augmenter(tmp_path, second, encode, temperature=0.5).augment([SOURCE], Draws(0, ("v",), ["x"]))
    assert len(second.asked) == 4


def test_a_killed_run_goes_on(tmp_path: Path) -> None:
    sentences = [f"The old house number {i} by the river burns down." for i in range(10)]

    class Dying(Scripted):
        def draw(self, *arguments: Any) -> list[str | None]:
            if len(self.asked) >= 4:
                raise KeyboardInterrupt
            return super().draw(*arguments)

    answers: dict[str, str | None] = {s: f"Beside the river burns {s.lower()}" for s in sentences}
    fields = {"candidates": 1, "batch_size": 2}
    with pytest.raises(KeyboardInterrupt):
        augmenter(tmp_path, Dying(answers), **fields).augment(sentences, Draws(0, (), range(10)))
    again = Scripted(answers)
    resumed = augmenter(tmp_path, again, **fields).augment(sentences, Draws(0, (), range(10)))
    assert len(again.asked) == 6
    whole = augmenter(tmp_path / "whole", Scripted(answers), **fields).augment(
        sentences, Draws(0, (), range(10))
    )
    assert resumed.samples == whole.samples


def test_a_broken_line_is_made_again(tmp_path: Path) -> None:
    augmenter(tmp_path, Scripted({SOURCE: GOOD})).augment([SOURCE], Draws(0, (), ["x"]))
    (block,) = (tmp_path / "drafts").glob("*.jsonl")
    assert json.loads(block.read_text())["value"] == [GOOD, GOOD]
    block.write_text('{"key": "half')
    model = Scripted({SOURCE: GOOD})
    assert augmenter(tmp_path, model).augment([SOURCE], Draws(0, (), ["x"])).samples == [GOOD]
    assert model.asked


def test_processes_share_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sentences = [f"The old house number {i} by the river burns down." for i in range(6)]
    answers: dict[str, str | None] = {s: f"Beside the river burns {s.lower()}" for s in sentences}
    fields = {"candidates": 1, "batch_size": 1}
    monkeypatch.setattr(distributed, "world_size", lambda: 2)
    monkeypatch.setattr(distributed, "rank", lambda: 1)
    one = Scripted(answers)
    with pytest.raises(KeyError):  # what the other process would have written before the barrier
        augmenter(tmp_path, one, **fields).augment(sentences, Draws(0, (), range(6)))
    monkeypatch.setattr(distributed, "rank", lambda: 0)
    other = Scripted(answers)
    made = augmenter(tmp_path, other, **fields).augment(sentences, Draws(0, (), range(6)))
    assert len(one.asked) == len(other.asked) == 3
    monkeypatch.undo()
    alone = augmenter(tmp_path / "alone", Scripted(answers), **fields)
    assert alone.augment(sentences, Draws(0, (), range(6))).samples == made.samples


def test_encoders_have_their_own_similarities(tmp_path: Path) -> None:
    store = tmp_path / "s"
    pair = [("abc", "bca")]
    assert Similarities(bag, RecordStore(store)).of(pair)["abc", "bca"] == pytest.approx(1)

    def lengths(texts: list[str]) -> np.ndarray:
        return np.asarray([[1.0, 0.0] if text.startswith("b") else [0.0, 1.0] for text in texts])

    assert Similarities(lengths, RecordStore(store)).of(pair)["abc", "bca"] == 0


def test_prompts() -> None:
    english = prompt_for("A dog.", LanguageModel.CAUSAL, None)
    assert english.own == " A dog.\nIn other words:"
    assert "医生" in prompt_for("一只狗。", LanguageModel.CAUSAL, None).shared
    assert prompt_for("A dog.", LanguageModel.SEQ2SEQ, None) == Prompt("paraphrase:", " A dog.")
    assert prompt_for("A dog.", LanguageModel.CAUSAL, "Say {text} anew:") == Prompt("Say", " A dog. anew:")


def test_what_is_missing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="text encoder"):
        ParaphraseConfig().build(tmp_path)
    with pytest.raises(InputError, match="Ways to get weights"):
        ParaphraseConfig(weights="package:absent").build(tmp_path, bag)
    with pytest.raises(InputError, match=r"has no \{text\}"):
        ParaphraseConfig(template="no place").build(tmp_path, bag)


@pytest.mark.slow
def test_packaged_model_paraphrases(tmp_path: Path) -> None:
    if PACKAGES["smollm2-135m"].locate() is None:
        pytest.skip("needs the packaged weights")
    made = ParaphraseConfig(candidates=4, filters=ParaphraseFilters(min_similarity=0.5)).build(tmp_path, bag)
    text = "A young boy finds an old map and follows it to a hidden treasure."
    result = made.augment([text], Draws(0, (), ["a"]))
    drafts = result.counts.items()
    assert sum(n for key, n in drafts if key.startswith("drafts/")) >= 1

"""Paraphrases: prompts, cache, shared work and putting together, with answers that are written down."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crossrec.augment.base import SampleRng
from crossrec.augment.content.text.base import TextOutcome
from crossrec.augment.content.text.generation import LanguageModel, Prompt, prompt_for
from crossrec.augment.content.text.paraphrase import Drafts, Paraphrase
from crossrec.augment.content.text.paraphrase_filters import ParaphraseFilters
from crossrec.augment.content.text.paraphrase_store import RecordStore, Similarities
from crossrec.runtime import distributed
from crossrec.runtime.weights import PACKAGES
from crossrec.types import InputError

SOURCE = "A young doctor moves to Paris after 12 years at sea."
GOOD = "After 12 years at sea, a young doctor settles in Paris."


class Scripted:
    """Answers of a language model that are written down; counts how often it is asked."""

    def __init__(self, answers: dict[str, str | None]) -> None:
        self.answers = answers
        self.asked: list[Any] = []

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
    options = Paraphrase.Options(**fields)
    drafts = Drafts(options, "scripted", RecordStore(folder / "drafts"), lambda: model)
    return Paraphrase(options, folder, encode, drafts=drafts)


def test_good_sentences_are_taken_and_all_is_counted(tmp_path: Path) -> None:
    other = "The old house by the river burns down one night."
    far = "One night the old house that is by the river burns down."
    model = Scripted({SOURCE: GOOD, other: far})
    texts = [f"  {SOURCE}\n{other} ", SOURCE, other, "", "1984", "Too short."]

    def encode(given: list[str]) -> np.ndarray:
        return np.asarray([[0.0, 1.0] if text == far else [1.0, 0.0] for text in given])

    made = augmenter(tmp_path, model, encode, candidates=1).augment(texts, SampleRng(0, (), range(6)))
    assert made.samples == [f"  {GOOD}\n{other} ", GOOD, other, "", "1984", "Too short."]
    assert made.changed.tolist() == [True, True, False, False, False, False]
    assert made.counts == {
        TextOutcome.KEPT: 2, TextOutcome.ALL_DROPPED: 1, TextOutcome.EMPTY: 1, TextOutcome.NO_SENTENCE: 2,
        "drafts/kept": 1, "drafts/similarity": 1, "sentences/kept": 1, "sentences/stayed": 1,
    }  # fmt: skip
    assert len(model.asked) == 2, "a sentence in two texts is asked once"


def test_only_the_first_sentences_of_middling_length(tmp_path: Path) -> None:
    long = "A word " * 60 + "ends."
    model = Scripted({SOURCE: GOOD})
    text = f"{long} {SOURCE} The old house by the river burns down one night."
    made = augmenter(tmp_path, model, max_sentences=1).augment([text], SampleRng(0, (), ["a"]))
    assert made.samples == [text.replace(SOURCE, GOOD)]


def test_nothing_is_made_twice_and_seeds_differ(tmp_path: Path) -> None:
    calls: list[int] = []

    def encode(texts: list[str]) -> np.ndarray:
        calls.append(len(texts))
        return bag(texts)

    first, second = Scripted({SOURCE: GOOD}), Scripted({SOURCE: "fails"})
    one = augmenter(tmp_path, first, encode).augment([SOURCE], SampleRng(0, ("v",), ["x"]))
    encoded = sum(calls)
    two = augmenter(tmp_path, second, encode).augment(["More. " + SOURCE], SampleRng(0, ("v",), ["y"]))
    assert second.asked == []
    assert one.samples == [GOOD]
    assert two.samples == ["More. " + GOOD]
    assert sum(calls) == encoded + 1, "the probe alone"
    augmenter(tmp_path, second, encode).augment([SOURCE], SampleRng(1, ("v",), ["x"]))
    assert len(second.asked) == 2
    augmenter(tmp_path, second, encode, temperature=0.5).augment([SOURCE], SampleRng(0, ("v",), ["x"]))
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
        augmenter(tmp_path, Dying(answers), **fields).augment(sentences, SampleRng(0, (), range(10)))
    again = Scripted(answers)
    resumed = augmenter(tmp_path, again, **fields).augment(sentences, SampleRng(0, (), range(10)))
    assert len(again.asked) == 6
    whole = augmenter(tmp_path / "whole", Scripted(answers), **fields).augment(
        sentences, SampleRng(0, (), range(10))
    )
    assert resumed.samples == whole.samples


def test_a_broken_line_is_made_again(tmp_path: Path) -> None:
    augmenter(tmp_path, Scripted({SOURCE: GOOD})).augment([SOURCE], SampleRng(0, (), ["x"]))
    (block,) = (tmp_path / "drafts").glob("*.jsonl")
    assert json.loads(block.read_text())["value"] == [GOOD, GOOD]
    block.write_text('{"key": "half')
    model = Scripted({SOURCE: GOOD})
    assert augmenter(tmp_path, model).augment([SOURCE], SampleRng(0, (), ["x"])).samples == [GOOD]
    assert model.asked


def test_processes_share_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sentences = [f"The old house number {i} by the river burns down." for i in range(6)]
    answers: dict[str, str | None] = {s: f"Beside the river burns {s.lower()}" for s in sentences}
    fields = {"candidates": 1, "batch_size": 1}
    monkeypatch.setattr(distributed, "world_size", lambda: 2)
    monkeypatch.setattr(distributed, "rank", lambda: 1)
    one = Scripted(answers)
    with pytest.raises(KeyError):  # what the other process would have written before the barrier
        augmenter(tmp_path, one, **fields).augment(sentences, SampleRng(0, (), range(6)))
    monkeypatch.setattr(distributed, "rank", lambda: 0)
    other = Scripted(answers)
    made = augmenter(tmp_path, other, **fields).augment(sentences, SampleRng(0, (), range(6)))
    assert len(one.asked) == len(other.asked) == 3
    monkeypatch.undo()
    alone = augmenter(tmp_path / "alone", Scripted(answers), **fields)
    assert alone.augment(sentences, SampleRng(0, (), range(6))).samples == made.samples


def test_what_the_store_has_stays_when_a_batch_is_drawn_again(tmp_path: Path) -> None:
    other = "The old house by the river burns down one night."
    first, fields = Scripted({SOURCE: GOOD}), {"candidates": 1, "batch_size": 4}
    one = augmenter(tmp_path, first, **fields).augment([SOURCE], SampleRng(0, (), ["x"]))
    # The same batch holds a new sentence; rounding may tip the draws of the old one.
    second = Scripted({SOURCE: "After 12 years at sea, a young doctor goes to Paris.", other: other})
    again = augmenter(tmp_path, second, **fields).augment([SOURCE, other], SampleRng(0, (), ["x", "y"]))
    assert len(second.asked) == 2
    assert again.samples[0] == one.samples[0] == GOOD
    fresh = augmenter(tmp_path, Scripted({}), **fields).augment([SOURCE, other], SampleRng(0, (), ["x", "y"]))
    assert fresh.samples == again.samples


def test_any_line_end_may_stand_in_a_record(tmp_path: Path) -> None:
    values = {"a": ["one\u2028two"], "b": ["three\x85four\nfive"], "c": [None]}
    RecordStore(tmp_path).write(values)
    assert RecordStore(tmp_path).values() == values


def test_a_late_process_measures_its_own_pairs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crossrec.augment.content.text.paraphrase_store._BLOCK", 2)
    monkeypatch.setattr(distributed, "world_size", lambda: 2)
    pairs = [(f"a{'b' * n}", f"b{'a' * n}") for n in range(4)]
    for rank in (0, 1):
        # The second one reads the store when the first has already written.
        monkeypatch.setattr(distributed, "rank", lambda rank=rank: rank)
        late = Similarities(bag, RecordStore(tmp_path))
        if rank == 0:
            with pytest.raises(KeyError):  # what the other process would have written before the barrier
                late.of(pairs)
    assert set(late.of(pairs)) == set(pairs)


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
        Paraphrase.Options().build(tmp_path)
    with pytest.raises(InputError, match="Ways to get weights"):
        Paraphrase.Options(weights="package:absent").build(tmp_path, bag)
    with pytest.raises(InputError, match=r"has no \{text\}"):
        Paraphrase.Options(template="no place").build(tmp_path, bag)


@pytest.mark.slow
def test_packaged_model_paraphrases(tmp_path: Path) -> None:
    if PACKAGES["smollm2-135m"].locate() is None:
        pytest.skip("needs the packaged weights")
    made = Paraphrase.Options(candidates=4, filters=ParaphraseFilters(min_similarity=0.5)).build(
        tmp_path, bag
    )
    text = "A young boy finds an old map and follows it to a hidden treasure."
    result = made.augment([text], SampleRng(0, (), ["a"]))
    drafts = result.counts.items()
    assert sum(n for key, n in drafts if key.startswith("drafts/")) >= 1

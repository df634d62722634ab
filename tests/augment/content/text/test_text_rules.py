# ruff: noqa: RUF001 - Chinese punctuation and curly quotes
"""Noise, reordering and transformations of text."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossrec.augment.base import Augmented, SampleRng
from crossrec.augment.content.text import TEXT_AUGMENTERS
from crossrec.augment.content.text.base import TextOutcome
from crossrec.augment.content.text.character_noise import CharacterEdit, CharacterNoise
from crossrec.augment.content.text.language import join_parts, split_parts, split_sentences
from crossrec.augment.content.text.reorder import ReorderUnit, TextReorder
from crossrec.augment.content.text.transform import (
    Transform,
    adverb_moved,
    connectives_changed,
    contracted,
    expanded,
    fronted,
    postponed,
    year_moved,
)
from crossrec.augment.content.text.word_noise import WordEdit, WordNoise
from crossrec.config import ComponentOptions

RULES: list[ComponentOptions] = [
    CharacterNoise.Options(),
    WordNoise.Options(),
    TextReorder.Options(unit=ReorderUnit.SENTENCES),
    TextReorder.Options(unit=ReorderUnit.CLAUSES),
    Transform.Options(),
]
LONG = "A dog barks when it rains in town. In 1945, the war ends. " * 500
TEXTS = [
    "",
    "  \n",
    "1984",
    "12 3,500 7.5",
    "😀👩‍👩‍👧🇨🇳",
    "a",
    "A dog barks when it rains in town. However, nobody doesn't care 😀.",
    "iPhone 15 手机壳，透明防摔耐用，适合女生使用😀. A nice case; it fits well, you will like it.",
    "一个医生来到村庄。虽然村民不信他，但是他慢慢赢得了信任。",
    LONG,
]
TEXT = st.text(alphabet=st.sampled_from("ab Zé.,;!?'\"-\n12你好，。；😀"), max_size=60)


def augment(config: ComponentOptions, texts: list[str], seed: int = 0) -> Augmented[list[str]]:
    return config.build(Path("unused")).augment(texts, SampleRng(seed, (), range(len(texts))))


@given(TEXT)
def test_parts_and_sentences_are_the_text(text: str) -> None:
    assert join_parts(split_parts(text)) == text
    assert "".join(split_sentences(text)) == text


def test_sentences() -> None:
    text = 'Dr. Who meets J. Smith. "Why?" she asks. 他来了。她走了！Version 2.5 is out.'
    assert split_sentences(text) == [
        "Dr. Who meets J. Smith. ",
        '"Why?" she asks. 他来了。',
        "她走了！",
        "Version 2.5 is out.",
    ]


@pytest.mark.parametrize("config", RULES, ids=TEXT_AUGMENTERS.name_of)
def test_contract(config: ComponentOptions) -> None:
    made = augment(config, TEXTS)
    assert len(made.samples) == len(TEXTS)
    assert made.changed.tolist() == [new != old for new, old in zip(made.samples, TEXTS, strict=True)]
    assert sum(made.counts.values()) == len(TEXTS)
    assert made.counts.get(TextOutcome.KEPT, 0) == made.changed.sum() > 0
    assert made.counts[TextOutcome.EMPTY] == 2
    assert made.samples[:5] == TEXTS[:5], "nothing to change in no text, numbers and emoji"
    assert augment(config, TEXTS).samples == made.samples, "same seed"
    assert augment(config, []).samples == []


@pytest.mark.parametrize("config", RULES, ids=TEXT_AUGMENTERS.name_of)
def test_order_makes_no_difference(config: ComponentOptions) -> None:
    augmenter = config.build(Path("unused"))
    draws = SampleRng(5, ("view", 2), [f"item {i}" for i in range(len(TEXTS))])
    whole = augmenter.augment(TEXTS, draws).samples
    order = np.random.default_rng(1).permutation(len(TEXTS))
    shuffled = augmenter.augment([TEXTS[i] for i in order], draws.take(order)).samples
    assert shuffled == [whole[i] for i in order]


@given(TEXT, st.integers(0, 5), st.sampled_from(RULES))
def test_any_text_goes_through(text: str, seed: int, config: ComponentOptions) -> None:
    made = augment(config, [text], seed)
    digits = [c for c in text if c.isdigit() or c == "😀"]
    assert sorted(c for c in made.samples[0] if c.isdigit() or c == "😀") == sorted(digits)


@pytest.mark.parametrize("edit", CharacterEdit)
def test_character_edits(edit: CharacterEdit) -> None:
    old = "lantern"
    new = augment(CharacterNoise.Options(rate=0.01, edits=(edit,)), [old]).samples[0]
    assert new[0] == "l", "the first letter stays"
    lengths = {CharacterEdit.DROP: -1, CharacterEdit.REPEAT: 1}
    assert len(new) - len(old) == lengths.get(edit, 0)
    if edit is CharacterEdit.SWAP:
        assert sorted(new) == sorted(old) != list(new)
    if edit is CharacterEdit.NEIGHBOUR_KEY:
        assert sum(a != b for a, b in zip(old, new, strict=True)) == 1


def test_a_text_is_never_dropped_whole() -> None:
    drop = CharacterNoise.Options(rate=1, edits=(CharacterEdit.DROP,))
    found = augment(drop, ["你好", "a cat"])
    assert found.samples == ["你好", "a c"]
    assert found.counts == {TextOutcome.NOTHING_TO_CHANGE: 1, TextOutcome.KEPT: 1}


def test_character_rate() -> None:
    text = "abcdefghij" * 1000
    config = CharacterNoise.Options(rate=0.1, edits=(CharacterEdit.NEIGHBOUR_KEY,))
    new = augment(config, [text]).samples[0]
    # Binomial(9999, .1) has a standard deviation of 30.
    assert abs(sum(a != b for a, b in zip(text, new, strict=True)) - 1000) < 150


def test_word_edits() -> None:
    text = "red green blue yellow"
    swapped = augment(WordNoise.Options(edits=(WordEdit.SWAP,), rate=0.01), [text]).samples[0]
    assert Counter(swapped.split()) == Counter(text.split())
    dropped = augment(WordNoise.Options(edits=(WordEdit.DROP,), rate=0.01), [text]).samples[0]
    assert len(dropped.split()) == 3
    assert "  " not in dropped
    assert augment(WordNoise.Options(edits=(WordEdit.DROP,), rate=1), [text]).samples[0].count(" ") == 0
    assert augment(WordNoise.Options(), ["word"]).counts == {TextOutcome.TOO_FEW_PARTS: 1}


def test_reorder_keeps_the_words() -> None:
    text = "The rain falls on the roof; a boy runs home. One cat sleeps. Two dogs bark."
    for unit in ReorderUnit:
        new = augment(TextReorder.Options(unit=unit), [text]).samples[0]
        words = [part.text.lower() for part in split_parts(new) if part.word]
        assert sorted(words) == sorted(part.text.lower() for part in split_parts(text) if part.word)
    clauses = augment(TextReorder.Options(unit=ReorderUnit.CLAUSES), [text]).samples[0]
    assert clauses.startswith("A boy runs home; the rain falls on the roof.")
    chinese = augment(TextReorder.Options(), ["质地非常轻薄，保湿效果持久。"]).samples[0]
    assert chinese == "保湿效果持久，质地非常轻薄。"


def test_names_and_dependent_clauses_are_not_torn() -> None:
    for text in ("Woody plots against Buzz, a toy finds home.", "A boy runs home, which is far away.",
                 "Cotton/Wool/Silk, washed by hand.", "She buys apples, pears, plums."):  # fmt: skip
        assert augment(TextReorder.Options(), [text]).counts == {TextOutcome.TOO_FEW_PARTS: 1}


@pytest.mark.parametrize(
    ("rule", "old", "new"),
    [
        (fronted, "A dog barks when it rains.", "When it rains, a dog barks."),
        (fronted, "The trouble starts, after they rob a bank.", "After they rob a bank, the trouble starts."),
        (postponed, "When the war ends, a nurse returns home.", "A nurse returns home when the war ends."),
        (adverb_moved, "However, the plan fails.", "The plan fails, however."),
        (year_moved, "In 1945, a long war ends.", "A long war ends in 1945."),
        (year_moved, "The long war ends in 1945.", "In 1945, the long war ends."),
        (expanded, "They're late and he won't wait.", "They are late and he will not wait."),
        (expanded, "Can’t stop.", "Cannot stop."),
        (expanded, "They’re late, and John’s men don’t care.", "They are late, and John’s men do not care."),
        (contracted, "He does not know.", "He doesn't know."),
    ],
)
def test_transformations(rule: object, old: str, new: str) -> None:
    assert callable(rule)
    assert rule(old) == new


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        (fronted, "A story about a man who returns after the war ends."),
        (fronted, "Rose walks home after the long war."),
        (fronted, "The boy does not leave because he is afraid."),
        (fronted, "She remembers the day when they first met."),
        (fronted, "He decides to leave when she comes back."),
        (postponed, "When John falls down, he cries out loud."),
        (postponed, "When it rains, it pours, and the river rises."),
        (year_moved, "A man who was born in 1945."),
        (expanded, "Isn't she lovely, John's wife said he'd come."),
        (expanded, "Isn’t she lovely, John’s wife said he’d come."),
        (contracted, "It is not only good."),
        (contracted, "He does not."),
    ],
)
def test_sentences_that_a_rule_might_bend_stay(rule: object, text: str) -> None:
    assert callable(rule)
    assert rule(text) is None


def test_chinese_connectives() -> None:
    assert "由于下雨了，因此他没来。" in connectives_changed("因为下雨了，所以他没来。")
    assert "尽管很累，然而他笑了。" in connectives_changed("虽然很累，但是他笑了。")
    assert connectives_changed("他来了。") == []


def test_share_of_sentences() -> None:
    text = "It doesn't matter. " * 400
    new = augment(Transform.Options(share=0.25), [text]).samples[0]
    assert abs(new.count("does not") - 100) < 45

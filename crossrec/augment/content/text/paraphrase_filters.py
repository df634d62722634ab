# ruff: noqa: RUF001 - Chinese punctuation and curly quotes
"""Filters of paraphrases: reasons for which a candidate is dropped."""

from __future__ import annotations

import difflib
import itertools
import re
from collections import Counter
from enum import StrEnum
from typing import Self

from pydantic import Field, model_validator

from crossrec.augment.content.text.generation import EXAMPLES, LABELS
from crossrec.augment.content.text.language import (
    FUNCTION_WORDS,
    NEGATIONS,
    NUMBER_WORDS,
    is_chinese,
    split_parts,
    split_sentences,
)
from crossrec.config import Config


class ParaphraseFilters(Config):
    """Bounds that an accepted paraphrase meets, inclusive."""

    min_similarity: float = Field(default=0.85, ge=-1, le=1, description="cosine of the encoder's vectors")
    min_length_ratio: float = Field(default=0.6, gt=0, description="words, or Chinese characters")
    max_length_ratio: float = Field(default=1.5, gt=0)
    max_new_words: float = Field(
        default=0.25, ge=0, le=1, description="share of words whose stems the sentence lacks"
    )
    max_copied: float = Field(
        default=0.95,
        gt=0,
        le=1,
        description="similarity of the token sequences above which it is a near-copy",
    )

    @model_validator(mode="after")
    def _lengths_are_in_order(self) -> Self:
        if self.min_length_ratio > self.max_length_ratio:
            raise ValueError(
                f"min_length_ratio ({self.min_length_ratio:g}) must not exceed max_length_ratio "
                f"({self.max_length_ratio:g}): no paraphrase would pass"
            )
        return self


_DIGITS = re.compile(r"\d+")
_CHINESE_NUMBER = re.compile(
    "[〇零一二三四五六七八九十百千万亿两]{2,}|[二三四五六七八九十两](?=[年月日号个名位岁人次])"
)
_CHINESE_NEGATIONS = re.compile("[不没无未非]")
_ASCII_NOT = re.compile(r"n['’]t\b")
_CHATTER = re.compile(
    r"^(?:sure|here is|here's|note|paraphrase|rewrite|the sentence)\b|^[-*#>]|https?:|```", re.I
)
_COPIED_WORDS = 6
_STEM = 4
_PERSONS = (
    frozenset({"he", "him", "his", "himself"}),
    frozenset({"she", "her", "hers", "herself"}),
    frozenset({"i", "me", "my", "mine", "myself", "we", "us", "our", "ours", "ourselves"}),
    frozenset({"you", "your", "yours", "yourself"}),
    frozenset("他"),
    frozenset("她"),
)


class Drop(StrEnum):
    """Reason to drop a paraphrase."""

    UNFINISHED = "unfinished"
    BLANK = "blank"
    PROMPT = "prompt"
    REPETITION = "repetition"
    MORE_SENTENCES = "more_sentences"
    LENGTH = "length"
    NEAR_COPY = "near_copy"
    LANGUAGE = "language"
    NEW_NUMBER = "new_number"
    NEW_NAME = "new_name"
    NEW_PERSON = "new_person"
    LOST_NUMBER = "lost_number"
    LOST_NAME = "lost_name"
    NEW_WORDS = "new_words"
    NEGATION = "negation"
    SIMILARITY = "similarity"


def reason_to_drop(source: str, candidate: str | None, bounds: ParaphraseFilters) -> Drop | None:
    """Return the first reason to drop a paraphrase, similarity aside; None if there is none.

    Args:
        source: the sentence.
        candidate: paraphrase by the model; None if it is incomplete.
        bounds: bounds on length and similarity.
    """
    if candidate is None:
        return Drop.UNFINISHED
    old, new = _tokens(source), _tokens(candidate)
    if not new:
        return Drop.BLANK
    checks = (
        (Drop.PROMPT, _from_prompt(source, candidate)),
        (Drop.REPETITION, _repeats(new) - _repeats(old)),
        (Drop.MORE_SENTENCES, len(split_sentences(candidate)) > len(split_sentences(source))),
        (Drop.LANGUAGE, is_chinese(source) != is_chinese(candidate)),
        (Drop.LENGTH, not bounds.min_length_ratio <= len(new) / max(1, len(old)) <= bounds.max_length_ratio),
        (Drop.NEAR_COPY, likeness(source, candidate) > bounds.max_copied),
        (Drop.NEW_NUMBER, numbers(candidate) - numbers(source)),
        (Drop.NEW_NAME, new_names(source, candidate)),
        (Drop.NEW_PERSON, _persons(candidate) - _persons(source)),
        (Drop.LOST_NUMBER, numbers(source) - numbers(candidate)),
        (Drop.LOST_NAME, new_names(candidate, source) - _opening_words(source)),
        (Drop.NEW_WORDS, share_of_new_words(source, candidate) > bounds.max_new_words),
        (Drop.NEGATION, _negated(source) != _negated(candidate)),
    )
    return next((reason for reason, speaks_against in checks if speaks_against), None)


def likeness(one: str, other: str) -> float:
    """Return the similarity of two token sequences: 2 · matches / all tokens, in [0, 1]."""
    return difflib.SequenceMatcher(None, _tokens(one), _tokens(other), autojunk=False).ratio()


def numbers(text: str) -> set[str]:
    """Return the numbers of a text, in digits or words, as digits if known."""
    words = {NUMBER_WORDS[token] for token in _tokens(text) if token in NUMBER_WORDS}
    return words | set(_DIGITS.findall(text)) | set(_CHINESE_NUMBER.findall(text))


def new_names(source: str, candidate: str) -> set[str]:
    """Return capitalized words of a text that another text lacks in any case.

    A word that opens a sentence counts too, unless it is a function word, since names can't be distinguished
    there. A possessive counts as its name.
    """
    known = {_bare(part.text).lower() for part in split_parts(source) if part.word}
    known |= {piece for word in known for piece in word.split("-")}
    words = (_bare(part.text) for part in split_parts(candidate) if part.word and not part.chinese)
    capitals = {word for word in words if word[0].isupper()}
    return {
        word
        for word in capitals
        if word.lower() not in FUNCTION_WORDS | known and not known.issuperset(word.lower().split("-"))
    }


def share_of_new_words(source: str, candidate: str) -> float:
    """Return the share of content words whose stem another text lacks, in [0, 1].

    Words are compared by their first four letters, which stand for their stems; Chinese ones by characters.
    """
    known = {token[:_STEM] for token in _tokens(source)}
    words = [token for token in _tokens(candidate) if token not in FUNCTION_WORDS]
    return sum(token[:_STEM] not in known for token in words) / max(1, len(words))


def _persons(text: str) -> set[frozenset[str]]:
    """Return the persons that a text's pronouns refer to."""
    tokens = set(_tokens(text))
    return {pronouns for pronouns in _PERSONS if pronouns & tokens}


def _opening_words(text: str) -> set[str]:
    """Return the first words of sentences, whose capital carries no information."""
    firsts = (next((p.text for p in split_parts(s) if p.word), "") for s in split_sentences(text))
    return {_bare(word) for word in firsts}


def _bare(word: str) -> str:
    return re.sub(r"['’]s?$", "", word)


def _tokens(text: str) -> list[str]:
    return [part.text.lower() for part in split_parts(text) if part.word or part.text[0].isdigit()]


def _negated(text: str) -> bool:
    return bool(
        NEGATIONS.intersection(_tokens(text)) or _ASCII_NOT.search(text) or _CHINESE_NEGATIONS.search(text)
    )


def _repeats(tokens: list[str]) -> set[tuple[str, ...]]:
    """Return repeated adjacent words, and trigrams or content bigrams that occur twice."""
    doubled = {(one,) for one, two in itertools.pairwise(tokens) if one == two}
    pairs: list[tuple[str, ...]] = [
        pair for pair in itertools.pairwise(tokens) if not FUNCTION_WORDS.intersection(pair)
    ]
    runs = Counter([*pairs, *zip(tokens, tokens[1:], tokens[2:], strict=False)])
    return doubled | {run for run, count in runs.items() if count > 1}


def _from_prompt(source: str, candidate: str) -> bool:
    """Return whether a paraphrase repeats the prompt's labels or examples, or talks about the task."""
    if any(label in candidate for label in LABELS) or (
        _CHATTER.search(candidate) and not _CHATTER.search(source)
    ):
        return True
    words = candidate.split(" ")
    runs = {" ".join(words[i : i + _COPIED_WORDS]) for i in range(len(words) - _COPIED_WORDS + 1)}
    return candidate in EXAMPLES or any(
        run in example and run not in source for run in runs for example in EXAMPLES
    )

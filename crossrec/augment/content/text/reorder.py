# ruff: noqa: RUF001 - Chinese punctuation and curly quotes
"""Reordering of adjacent sentences or clauses."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path

import numpy as np
from pydantic import Field

from crossrec.augment.content.text.base import Encode, TextAugmenter, TextOptions, TextOutcome
from crossrec.augment.content.text.language import (
    CONJUNCTIONS,
    RELATIVES,
    is_chinese,
    split_parts,
    split_sentences,
    split_tail,
    with_capital,
    without_capital,
)


class ReorderUnit(StrEnum):
    """Unit that changes places."""

    SENTENCES = "sentences"
    CLAUSES = "clauses"


_ENGLISH_BREAK = re.compile(r"[;,] +")
_CHINESE_BREAK = re.compile(r"[，；]")
_CHINESE_CONJUNCTIONS = (
    "但",
    "所以",
    "因此",
    "因为",
    "而",
    "并",
    "虽",
    "尽管",
    "如果",
    "要是",
    "当",
    "却",
    "就",
    "也",
    "还",
    "又",
    "不过",
)
_LEAST_WORDS = 3
_LEAST_CHARACTERS = 4


class TextReorder(TextAugmenter):
    """Swap of adjacent sentences or clauses; emphasis and temporal order may change.

    A clause is what stands between commas or semicolons (Chinese ， and ；), at least three words or four
    Chinese characters long, so that the members of a list stay; one that begins with a relative pronoun or a
    conjunction stays, since it depends on the clause before it.

    Args:
        options: unit and number of swaps.
        cache_dir: unused.
        encode: unused.

    Source:
        Lewis et al., BART, ACL 2020, section 2.2 (sentence permutation); ours swaps neighbours only, and
        clauses too.
    """

    class Options(TextOptions):
        """Swap of adjacent sentences or clauses."""

        unit: ReorderUnit = ReorderUnit.CLAUSES
        swaps: int = Field(default=1, ge=1, description="changes of place in a text, where it has as many")

    def __init__(self, options: Options, cache_dir: Path, encode: Encode | None = None) -> None:
        self.unit, self.swaps = options.unit, options.swaps

    def rewrite(self, text: str, generator: np.random.Generator) -> str | TextOutcome:
        """Return a reordered text, or the reason why there is none."""
        sentences = split_sentences(text)
        if self.unit is ReorderUnit.SENTENCES:
            return self._swap_sentences(sentences, generator)
        made = [_clauses_swapped(sentence, generator) for sentence in sentences]
        fit = [row for row, new in enumerate(made) if new is not None]
        if not fit:
            return TextOutcome.TOO_FEW_PARTS
        chosen = generator.choice(len(fit), size=min(self.swaps, len(fit)), replace=False)
        for row in (fit[int(index)] for index in chosen):
            sentences[row] = made[row] or sentences[row]
        return "".join(sentences)

    def _swap_sentences(self, sentences: list[str], generator: np.random.Generator) -> str | TextOutcome:
        if len(sentences) < 2:
            return TextOutcome.TOO_FEW_PARTS
        bodies = [sentence.strip() for sentence in sentences]
        spaces = [sentence[len(sentence.rstrip()) :] for sentence in sentences]
        for _ in range(self.swaps):
            first = int(generator.integers(len(bodies) - 1))
            bodies[first], bodies[first + 1] = bodies[first + 1], bodies[first]
        return "".join(body + space for body, space in zip(bodies, spaces, strict=True))


def _clauses_swapped(sentence: str, generator: np.random.Generator) -> str | None:
    """Swap two adjacent clauses of a sentence; None if no two may be swapped."""
    lead, core, tail = split_tail(sentence)
    chinese = is_chinese(core)
    pattern = _CHINESE_BREAK if chinese else _ENGLISH_BREAK
    clauses, breaks = pattern.split(core), pattern.findall(core)
    pairs = [i for i in range(len(breaks)) if _moves(clauses[i], chinese) and _moves(clauses[i + 1], chinese)]
    if not pairs:
        return None
    first = pairs[int(generator.integers(len(pairs)))]
    one, two = clauses[first], clauses[first + 1]
    if first == 0 and not chinese:
        lowered = without_capital(one)
        if lowered is None and not one.partition(" ")[2][:1].isupper():
            return None
        one, two = lowered or one, with_capital(two)
    clauses[first], clauses[first + 1] = two, one
    fixed = [clause + gap for clause, gap in zip(clauses, [*breaks, ""], strict=True)]
    return lead + "".join(fixed) + tail


def _moves(clause: str, chinese: bool) -> bool:
    words = [part.text.lower() for part in split_parts(clause) if part.word]
    if chinese:
        return len(words) >= _LEAST_CHARACTERS and not clause.startswith(_CHINESE_CONJUNCTIONS)
    return len(words) >= _LEAST_WORDS and words[0] not in RELATIVES and words[0] not in CONJUNCTIONS

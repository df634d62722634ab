"""Word noise: dropped or swapped words."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

import numpy as np
from pydantic import Field

from crossrec.augment.content.text.base import Encode, TextAugmenter, TextOptions, TextOutcome
from crossrec.augment.content.text.language import (
    Segmentation,
    TextPart,
    chinese_segmenter,
    join_parts,
    split_parts,
)


class WordEdit(StrEnum):
    """Edit of a word."""

    SWAP = "swap"
    DROP = "drop"


class WordNoise(TextAugmenter):
    """Words dropped, or swapped with the next one of their sentence; at least one is left.

    Args:
        options: rate, edits, and what a Chinese word is.
        cache_dir: unused.
        encode: unused.

    Raises:
        InputError: if jieba is named and not installed.

    Source:
        Wei and Zou, EDA: Easy Data Augmentation Techniques for Boosting Performance on Text Classification
        Tasks, EMNLP 2019, section 2; there any two words are swapped, here neighbours, which keeps phrases.
    """

    class Options(TextOptions):
        """Words dropped or swapped with the next one; numbers stay."""

        rate: float = Field(default=0.1, gt=0, le=1, description="share of words that are hit, at least one")
        edits: tuple[WordEdit, ...] = Field(default=tuple(WordEdit), min_length=1)
        segmentation: Segmentation = Segmentation.CHARACTERS

    def __init__(self, options: Options, cache_dir: Path, encode: Encode | None = None) -> None:
        self.rate, self.edits = options.rate, options.edits
        self.segment = chinese_segmenter(options.segmentation)

    def rewrite(self, text: str, generator: np.random.Generator) -> str | TextOutcome:
        """Return a text with words dropped or swapped, or the reason why there is none."""
        parts = split_parts(text, self.segment)
        places = [place for place, part in enumerate(parts) if part.word]
        if len(places) <= 1:
            return TextOutcome.TOO_FEW_PARTS
        n_hits = min(len(places) - 1, max(1, int(generator.binomial(len(places), self.rate))))
        hit = sorted(int(index) for index in generator.choice(len(places), size=n_hits, replace=False))
        for index in reversed(hit):
            self._hit(parts, places, index, generator)
        return join_parts(parts).strip()

    def _hit(
        self, parts: list[TextPart], places: list[int], index: int, generator: np.random.Generator
    ) -> None:
        place = places[index]
        follower = _next_word(parts, place)
        edits = [edit for edit in self.edits if edit is not WordEdit.SWAP or follower is not None]
        if not edits:
            return
        edit = edits[int(generator.integers(len(edits)))]
        if edit is WordEdit.SWAP and follower is not None:
            parts[place], parts[follower] = parts[follower], parts[place]
        else:
            parts[place] = TextPart("")
            # One of the spaces around a word goes with it.
            beside = next(
                (at for at in (place + 1, place - 1) if 0 <= at < len(parts) and parts[at].text == " "), None
            )
            if beside is not None:
                parts[beside] = TextPart("")


def _next_word(parts: list[TextPart], place: int) -> int | None:
    """Return the word after a word, with at most one space between them."""
    for after in (place + 1, place + 2):
        if after < len(parts) and parts[after].word:
            return after
        if after < len(parts) and parts[after].text.strip():
            return None
    return None

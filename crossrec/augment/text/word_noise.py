"""Words that are dropped or change places."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from crossrec.augment.text.config import WordEdit
from crossrec.augment.text.outcome import EachText, Outcome
from crossrec.augment.text.segmentation import Part, Segmenter, join_parts, split_parts


class WordNoise(EachText):
    """Drops words, or swaps a word with the next one of its sentence; at least one word is left.

    Args:
        rate: share of words that are hit, at least one of a text.
        edits: each hit is one of these, drawn evenly.
        segment: cuts Chinese runs into words.

    Source:
        Wei and Zou, EDA: Easy Data Augmentation Techniques for Boosting Performance on Text Classification
        Tasks, EMNLP 2019, section 2; there any two words are swapped, here neighbours, which keeps phrases.
    """

    def __init__(self, rate: float, edits: Sequence[WordEdit], segment: Segmenter) -> None:
        self.rate, self.edits, self.segment = rate, tuple(edits), segment

    def rewrite(self, text: str, generator: np.random.Generator) -> str | Outcome:
        """A text with words dropped or swapped, or why there is none."""
        parts = split_parts(text, self.segment)
        places = [place for place, part in enumerate(parts) if part.word]
        if len(places) <= 1:
            return Outcome.TOO_FEW_PARTS
        n_hits = min(len(places) - 1, max(1, int(generator.binomial(len(places), self.rate))))
        hit = sorted(int(index) for index in generator.choice(len(places), size=n_hits, replace=False))
        for index in reversed(hit):
            self._hit(parts, places, index, generator)
        return join_parts(parts).strip()

    def _hit(self, parts: list[Part], places: list[int], index: int, generator: np.random.Generator) -> None:
        place = places[index]
        follower = _next_word(parts, place)
        edits = [edit for edit in self.edits if edit is not WordEdit.SWAP or follower is not None]
        if not edits:
            return
        edit = edits[int(generator.integers(len(edits)))]
        if edit is WordEdit.SWAP and follower is not None:
            parts[place], parts[follower] = parts[follower], parts[place]
        else:
            parts[place] = Part("")
            # One of the spaces around a word goes with it.
            beside = next(
                (at for at in (place + 1, place - 1) if 0 <= at < len(parts) and parts[at].text == " "), None
            )
            if beside is not None:
                parts[beside] = Part("")


def _next_word(parts: list[Part], place: int) -> int | None:
    """The word after a word, with nothing or one space between them."""
    for after in (place + 1, place + 2):
        if after < len(parts) and parts[after].word:
            return after
        if after < len(parts) and parts[after].text.strip():
            return None
    return None

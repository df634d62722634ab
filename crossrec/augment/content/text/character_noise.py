"""Character noise: typing errors in letters and Chinese characters."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

import numpy as np
from pydantic import Field

from crossrec.augment.content.text.base import Encode, TextAugmenter, TextOptions, TextOutcome
from crossrec.augment.content.text.language import split_parts


class CharacterEdit(StrEnum):
    """Edit of a letter; Chinese characters have no neighbor key."""

    SWAP = "swap"
    DROP = "drop"
    REPEAT = "repeat"
    NEIGHBOUR_KEY = "neighbour_key"


_KEY_ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
_SHORTEST_WORD = 2


class CharacterNoise(TextAugmenter):
    """Typing errors: swapped, dropped or repeated letters, or neighboring keys.

    Letters inside words of two letters or more are changed; digits, signs, emoji and the first letter of a
    word (which readers rely on, and which may be a capital) stay. In a Chinese run every character may be
    changed.

    Args:
        options: rate and edits.
        cache_dir: unused.
        encode: unused.

    Source:
        Belinkov and Bisk, Synthetic and Natural Noise Both Break Neural Machine Translation, ICLR 2018,
        section 4 (swap, keyboard typo); ours adds drop and repeat, and hits letters at a rate.
    """

    class Options(TextOptions):
        """Typing errors; digits, signs and emoji stay."""

        rate: float = Field(
            default=0.03, gt=0, le=1, description="share of letters that are hit, at least one"
        )
        edits: tuple[CharacterEdit, ...] = Field(default=tuple(CharacterEdit), min_length=1)

    def __init__(self, options: Options, cache_dir: Path, encode: Encode | None = None) -> None:
        self.rate, self.edits = options.rate, options.edits

    def rewrite(self, text: str, generator: np.random.Generator) -> str | TextOutcome:
        """Return a text with errors, or the reason why there is none."""
        characters = list(text)
        places = [place for place in _places(text) if self._possible(characters, place)]
        if not places:
            return TextOutcome.NOTHING_TO_CHANGE
        n_hits = max(1, int(generator.binomial(len(places), self.rate)))
        for index in generator.choice(len(places), size=n_hits, replace=False):
            place = places[int(index)]
            # An earlier swap or drop beside it may have changed what is possible here.
            possible = self._possible(characters, place)
            if possible:
                edit = possible[int(generator.integers(len(possible)))]
                _apply(edit, characters, place, generator)
        new = "".join(characters)
        return new if new.strip() else TextOutcome.NOTHING_TO_CHANGE

    def _possible(self, characters: list[str], place: int) -> list[CharacterEdit]:
        here = characters[place]
        after = characters[place + 1] if place + 1 < len(characters) else ""
        fits = {
            CharacterEdit.SWAP: len(after) == 1 and after.isalpha() and after != here,
            CharacterEdit.DROP: bool(here),
            CharacterEdit.REPEAT: len(here) == 1,
            CharacterEdit.NEIGHBOUR_KEY: here.lower() in _NEIGHBOURS,
        }
        return [edit for edit in self.edits if fits[edit]]


def _places(text: str) -> list[int]:
    """Return the positions of letters that may be changed."""
    places: list[int] = []
    start = 0
    for part in split_parts(text, lambda run: [run]):
        if part.word and len(part.text) >= _SHORTEST_WORD:
            first = start if part.chinese else start + 1
            places += [place for place in range(first, start + len(part.text)) if text[place].isalpha()]
        start += len(part.text)
    return places


def _apply(edit: CharacterEdit, characters: list[str], place: int, generator: np.random.Generator) -> None:
    here = characters[place]
    if edit is CharacterEdit.SWAP:
        characters[place], characters[place + 1] = characters[place + 1], here
    elif edit is CharacterEdit.DROP:
        characters[place] = ""
    elif edit is CharacterEdit.REPEAT:
        characters[place] = here * 2
    else:
        keys = _NEIGHBOURS[here.lower()]
        key = keys[int(generator.integers(len(keys)))]
        characters[place] = key.upper() if here.isupper() else key


def _neighbour_keys() -> dict[str, str]:
    """Return the neighbors of each key of an English keyboard, whose lower rows are shifted right."""
    place = {key: (row, column) for row, keys in enumerate(_KEY_ROWS) for column, key in enumerate(keys)}
    near = ((0, -1), (0, 1), (-1, 0), (-1, 1), (1, 0), (1, -1))
    at = {position: key for key, position in place.items()}
    return {
        key: "".join(
            at[row + down, column + right] for down, right in near if (row + down, column + right) in at
        )
        for key, (row, column) in place.items()
    }


_NEIGHBOURS = _neighbour_keys()

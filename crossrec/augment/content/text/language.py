# ruff: noqa: RUF001 - Chinese punctuation and curly quotes
"""Segmentation of English and Chinese text into sentences and words, and closed classes of English words."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from crossrec.types import InputError


class Segmentation(StrEnum):
    """Chinese word segmentation: single characters, or jieba (``uv pip install jieba``)."""

    CHARACTERS = "characters"
    JIEBA = "jieba"


Segmenter = Callable[[str], list[str]]
"""Function from a run of Chinese characters to words that, joined, are the run."""

_HAN = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_HAN_RUN = re.compile(f"[{_HAN}]+")
_PARTS = re.compile(rf"[{_HAN}]+|[^\W\d_{_HAN}]+(?:['’-][^\W\d_{_HAN}]+)*|\d+(?:[.,:]\d+)*|\s+|.", re.DOTALL)
_SENTENCE_END = re.compile(
    r"(?<=[。！？])(?![。！？”’」』）])|(?<=[.!?…])(?=\s+[\"“‘'(]?[A-Z0-9])|(?<=[.!?][\"”’])(?=\s+[A-Z])|\n+"
)
_CLOSING = '.!?…。！？；;"”’」』)） \n'
_ABBREVIATION = re.compile(r"(?:\b(?:Mr|Mrs|Ms|Dr|St|Jr|Sr|Prof|Gen|Lt|Col|Sgt|Capt|vs|etc|No|[A-Z])\.)$")


@dataclass(frozen=True)
class TextPart:
    """A word, or the text between words.

    Args:
        text: as written.
        word: whether it is made of letters.
        chinese: whether it is a Chinese word.
    """

    text: str
    word: bool = False
    chinese: bool = False


def has_chinese(text: str) -> bool:
    """Return whether a text contains a Chinese character."""
    return _HAN_RUN.search(text) is not None


def is_chinese(text: str) -> bool:
    """Return whether most letters of a text are Chinese."""
    han = sum(map(len, _HAN_RUN.findall(text)))
    return han > 0 and 2 * han >= sum(character.isalpha() for character in text)


def split_parts(text: str, segment: Segmenter = list) -> list[TextPart]:
    """Split a text into words, numbers, spaces and signs, in order.

    Args:
        text: any text.
        segment: cuts Chinese runs; single characters by default.
    """
    parts: list[TextPart] = []
    for piece in _PARTS.findall(text):
        if _HAN_RUN.match(piece):
            parts += [TextPart(word, word=True, chinese=True) for word in segment(piece)]
        else:
            parts.append(TextPart(piece, word=piece[0].isalpha()))
    return parts


def join_parts(parts: list[TextPart]) -> str:
    """Join parts to a text."""
    return "".join(part.text for part in parts)


def split_sentences(text: str) -> list[str]:
    """Split a text into sentences with trailing space; joined, they are the text."""
    sentences: list[str] = []
    start = 0
    for match in _SENTENCE_END.finditer(text):
        end = match.end()
        while end < len(text) and text[end].isspace():
            end += 1
        if end <= start or _ABBREVIATION.search(text[start : match.start()]):
            continue
        sentences.append(text[start:end])
        start = end
    if start < len(text):
        sentences.append(text[start:])
    return sentences


def split_tail(sentence: str) -> tuple[str, str, str]:
    """Split a sentence into leading space, words, and closing signs with space."""
    stripped = sentence.strip()
    lead = sentence[: len(sentence) - len(sentence.lstrip())]
    core = stripped.rstrip(_CLOSING)
    return lead, core, sentence[len(lead) + len(core) :]


def chinese_segmenter(segmentation: Segmentation) -> Segmenter:
    """Return the named segmenter of Chinese text.

    Raises:
        InputError: if jieba is not installed.
    """
    if segmentation is Segmentation.CHARACTERS:
        return list
    try:
        jieba = importlib.import_module("jieba")
    except ImportError as error:
        raise InputError(
            "segmentation: jieba cuts Chinese words with the package jieba, which is not installed; "
            "uv pip install jieba, or take segmentation: characters"
        ) from error
    return lambda run: list(jieba.cut(run, HMM=False))


ARTICLES = frozenset({"a", "an", "the"})
POSSESSIVES = frozenset({"my", "your", "his", "her", "its", "our", "their", "whose"})
DETERMINERS = (
    ARTICLES
    | POSSESSIVES
    | frozenset(
        {"this", "that", "these", "those", "no", "some", "any", "every", "each", "another", "both", "all"}
    )
)
SUBJECT_PRONOUNS = frozenset({"i", "you", "he", "she", "it", "we", "they"})
PERSONAL_PRONOUNS = SUBJECT_PRONOUNS | frozenset(
    {
        "me", "him", "us", "them", "myself", "himself", "herself", "itself", "themselves",
        "his", "her", "its", "their", "hers", "theirs",
    }
)  # fmt: skip
RELATIVES = frozenset({"who", "whom", "whose", "which", "that", "where", "what", "how", "why", "whether"})
MODALS = frozenset({"will", "would", "can", "could", "may", "might", "must", "shall", "should"})
BE = frozenset({"be", "is", "are", "was", "were", "been", "being", "am"})
AUXILIARIES = MODALS | BE | frozenset({"do", "does", "did", "has", "have", "had", "having", "doing"})
PREPOSITIONS = frozenset(
    {
        "about", "above", "across", "after", "against", "along", "among", "around", "at", "before", "behind",
        "below", "beneath", "beside", "between", "beyond", "by", "despite", "down", "during", "except", "for",
        "from", "in", "inside", "into", "like", "near", "of", "off", "on", "onto", "out", "over", "past",
        "since", "through", "throughout", "to", "toward", "towards", "under", "until", "up", "upon", "with",
        "within", "without",
    }
)  # fmt: skip
CONJUNCTIONS = frozenset(
    {
        "and", "but", "or", "nor", "so", "yet", "when", "while", "because", "although", "though", "if",
        "unless", "until", "once", "after", "before", "since", "as", "than", "whenever", "wherever",
    }
)  # fmt: skip
NEGATIONS = frozenset(
    {"not", "no", "never", "none", "nobody", "nothing", "neither", "nor", "without", "cannot"}
)
NUMBER_WORDS = {
    "zero": "0", "two": "2", "three": "3", "four": "4", "five": "5", "six": "6", "seven": "7", "eight": "8",
    "nine": "9", "ten": "10", "eleven": "11", "twelve": "12", "thirteen": "13", "fourteen": "14",
    "fifteen": "15", "sixteen": "16", "seventeen": "17", "eighteen": "18", "nineteen": "19", "twenty": "20",
    "thirty": "30", "forty": "40", "fifty": "50", "sixty": "60", "seventy": "70", "eighty": "80",
    "ninety": "90", "hundred": "100", "thousand": "1000", "million": "1000000", "billion": "1000000000",
}  # fmt: skip
"""Number words and the digits that say the same; ``one`` is a pronoun too, and left out."""

OPENERS = frozenset(
    {"there", "here", "then", "now", "one", "many", "most", "several", "two", "three", "four", "five"}
)
ADVERBS = frozenset(
    {
        "very", "too", "also", "just", "only", "even", "still", "already", "ever", "again", "soon", "not",
        "never", "more", "most", "less", "least", "much", "such", "same", "other", "own", "well", "back",
    }
)  # fmt: skip
FUNCTION_WORDS = (
    DETERMINERS | PERSONAL_PRONOUNS | RELATIVES | AUXILIARIES | PREPOSITIONS | CONJUNCTIONS | NEGATIONS
    | OPENERS | ADVERBS | NUMBER_WORDS.keys()
)  # fmt: skip
"""Words that are never replaced, and whose capital at a sentence's start means no name."""


def without_capital(sentence: str) -> str | None:
    """Lowercase a sentence's first word, to put it inside another; None if it may be a name."""
    first, _, _ = sentence.partition(" ")
    if first in ("I", "I'm", "I've", "I'll", "I'd") or not first[:1].isupper():
        return sentence
    if first.lower().strip(",") in FUNCTION_WORDS:
        return sentence[:1].lower() + sentence[1:]
    return None


def with_capital(sentence: str) -> str:
    """Capitalize the first letter of a sentence."""
    return sentence[:1].upper() + sentence[1:]

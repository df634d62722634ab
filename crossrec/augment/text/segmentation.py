# ruff: noqa: RUF001 - Chinese punctuation and curly quotes
"""Texts cut into sentences and words, English and Chinese; joined again, the parts are the text."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from dataclasses import dataclass

from crossrec.augment.text.config import Segmentation
from crossrec.types import InputError

Segmenter = Callable[[str], list[str]]
"""A run of Chinese characters to words that, joined, are the run."""

_HAN = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_HAN_RUN = re.compile(f"[{_HAN}]+")
_PARTS = re.compile(rf"[{_HAN}]+|[^\W\d_{_HAN}]+(?:['’-][^\W\d_{_HAN}]+)*|\d+(?:[.,:]\d+)*|\s+|.", re.DOTALL)
_SENTENCE_END = re.compile(
    r"(?<=[。！？])(?![。！？”’」』）])|(?<=[.!?…])(?=\s+[\"“‘'(]?[A-Z0-9])|(?<=[.!?][\"”’])(?=\s+[A-Z])|\n+"
)
_CLOSING = '.!?…。！？；;"”’」』)） \n'
_ABBREVIATION = re.compile(r"(?:\b(?:Mr|Mrs|Ms|Dr|St|Jr|Sr|Prof|Gen|Lt|Col|Sgt|Capt|vs|etc|No|[A-Z])\.)$")


@dataclass(frozen=True)
class Part:
    """A piece of a text: a word, or what stands between words.

    Args:
        text: as written.
        word: whether it is made of letters.
        chinese: whether it is a Chinese word.
    """

    text: str
    word: bool = False
    chinese: bool = False


def has_chinese(text: str) -> bool:
    """Whether any Chinese character stands in a text."""
    return _HAN_RUN.search(text) is not None


def is_chinese(text: str) -> bool:
    """Whether most letters of a text are Chinese."""
    han = sum(map(len, _HAN_RUN.findall(text)))
    return han > 0 and 2 * han >= sum(character.isalpha() for character in text)


def split_parts(text: str, segment: Segmenter = list) -> list[Part]:
    """Words, numbers, spaces and signs of a text, in order.

    Args:
        text: any text.
        segment: cuts Chinese runs; single characters by default.
    """
    parts: list[Part] = []
    for piece in _PARTS.findall(text):
        if _HAN_RUN.match(piece):
            parts += [Part(word, word=True, chinese=True) for word in segment(piece)]
        else:
            parts.append(Part(piece, word=piece[0].isalpha()))
    return parts


def join_parts(parts: list[Part]) -> str:
    """The text of parts."""
    return "".join(part.text for part in parts)


def split_sentences(text: str) -> list[str]:
    """Sentences with the space after them; joined, they are the text."""
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
    """A sentence's leading space, its words, and the closing signs and space after them."""
    stripped = sentence.strip()
    lead = sentence[: len(sentence) - len(sentence.lstrip())]
    core = stripped.rstrip(_CLOSING)
    return lead, core, sentence[len(lead) + len(core) :]


def chinese_segmenter(segmentation: Segmentation) -> Segmenter:
    """The cutter that a config names.

    Raises:
        InputError: jieba is not installed.
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

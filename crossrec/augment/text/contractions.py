# ruff: noqa: RUF001 - Chinese punctuation and curly quotes
"""English contractions, spelled out and made."""

from __future__ import annotations

import re

from crossrec.augment.text.english import SUBJECT_PRONOUNS

_IRREGULAR_NOT = {"won't": "will not", "can't": "cannot", "shan't": "shall not"}
_NOT_STEMS = (
    "do", "does", "did", "is", "are", "was", "were", "has", "have", "had", "would", "could", "should", "must",
    "need",
)  # fmt: skip
_VERBS = {"'re": " are", "'ve": " have", "'ll": " will", "'m": " am"}
_EXPANDED = {
    **_IRREGULAR_NOT,
    **{f"{stem}n't": f"{stem} not" for stem in _NOT_STEMS},
    **{
        pronoun + short: pronoun + long
        for short, long, pronouns in (
            ("'re", " are", ("you", "we", "they")),
            ("'ve", " have", ("i", "you", "we", "they")),
            ("'ll", " will", ("i", "you", "he", "she", "it", "we", "they")),
            ("'m", " am", ("i",)),
        )
        for pronoun in pronouns
    },
}
_NOT_CONTRACTED = {long: short for short, long in _EXPANDED.items() if long.endswith("not")}
_SHORT = "|".join(re.escape(short).replace("'", "['’]") for short in _EXPANDED)
_ANY_SHORT = re.compile(rf"\b({_SHORT})\b(?!['’-])", re.IGNORECASE)
_ANY_LONG = re.compile(rf"\b({'|'.join(_NOT_CONTRACTED)})\b(?!\s+only\b)(?=\s+\w)", re.IGNORECASE)
_QUESTION = re.compile(rf"\s+(?:{'|'.join(sorted(SUBJECT_PRONOUNS))})\b", re.IGNORECASE)
_BEFORE_QUESTION = re.compile(rf"\b(?:{'|'.join(sorted(SUBJECT_PRONOUNS))})\s+$", re.IGNORECASE)


def expanded(sentence: str) -> str | None:
    """A sentence with ``don't`` as ``do not`` and ``they're`` as ``they are``; None without contractions.

    Left alone: ``'s`` and ``'d``, which stand for two verbs each, and ``n't`` before its subject, as
    questions have it.
    """
    new = _ANY_SHORT.sub(lambda match: _spelled_out(match, sentence), sentence)
    return None if new == sentence else new


def contracted(sentence: str) -> str | None:
    """A sentence with ``do not`` as ``don't``; None where no such pair stands before another word."""
    new = _ANY_LONG.sub(lambda match: _like(match[0], _NOT_CONTRACTED[match[0].lower()]), sentence)
    return None if new == sentence else new


def _spelled_out(match: re.Match[str], sentence: str) -> str:
    short = match[0].lower().replace("’", "'")
    asks = short.endswith("n't") and _QUESTION.match(sentence, match.end())
    if asks and not _BEFORE_QUESTION.search(sentence[: match.start()]):
        return match[0]
    return _like(match[0], _EXPANDED[short])


def _like(old: str, new: str) -> str:
    return new[:1].upper() + new[1:] if old[:1].isupper() else new

# ruff: noqa: RUF001 - Chinese punctuation and curly quotes
"""Rules that build an English sentence another way and keep its meaning."""

from __future__ import annotations

import re

from crossrec.augment.text.english import (
    NEGATIONS,
    PERSONAL_PRONOUNS,
    RELATIVES,
    with_capital,
    without_capital,
)
from crossrec.augment.text.segmentation import split_tail

_SUBORDINATORS = ("when", "while", "after", "before", "because", "although", "until", "once")
_TWO_MEANINGS = ("when", "because", "until")
"""After a negation it is open whether these are negated with it."""
_CONJUNCT_ADVERBS = (
    "however",
    "meanwhile",
    "eventually",
    "finally",
    "unfortunately",
    "nevertheless",
    "ultimately",
)
_ATTACHES = frozenset(
    {
        "even", "just", "only", "right", "long", "shortly", "soon", "not", "day", "days", "time", "moment",
        "night", "year", "years", "months", "weeks", "hours", "minutes", "seconds", "and", "or", "but",
        "except", "than", "as", "from", "since", "ever", "know", "knows", "remember", "remembers", "learn",
        "learns", "the", "a",
    }
)  # fmt: skip
"""Words to which what follows belongs: it can't be taken away from them."""
_HIDES_A_CLAUSE = RELATIVES | frozenset({"if", "to", "as", "than", "and", "or", "but", *_SUBORDINATORS})
_LEAST_WORDS = 3
_LEAST_SUBORDINATE_WORDS = 2
_MOST_MAIN_WORDS = 14
_QUOTES = re.compile(r"[\"“”():;—–]| - |--")
_FINAL = re.compile(rf"^(?P<main>[^,]+?),? (?P<word>{'|'.join(_SUBORDINATORS)}) (?P<rest>[^,]+)$")
_INITIAL = re.compile(
    rf"^(?P<word>{'|'.join(map(str.capitalize, _SUBORDINATORS))}) (?P<rest>[^,]+), (?P<main>[^,]+)$"
)
_ADVERB = re.compile(rf"^(?P<word>{'|'.join(map(str.capitalize, _CONJUNCT_ADVERBS))}), (?P<main>[^,]+)$")
_YEAR_FIRST = re.compile(r"^In (?P<year>\d{4}), (?P<main>[^,]+)$")
_YEAR_LAST = re.compile(r"^(?P<main>[^,]+) in (?P<year>\d{4})$")


def fronted(sentence: str) -> str | None:
    """``A dog barks when it rains.`` as ``When it rains, a dog barks.``; None where the rule doesn't fit.

    The main clause must be short and hold no other clause, infinitive or co-ordination to which the
    subordinate clause might belong.
    """
    lead, core, tail = split_tail(sentence)
    found = _FINAL.match(core)
    if (
        found is None
        or not _plain(tail)
        or not _stands_alone(core, found["main"], found["word"], found["rest"])
    ):
        return None
    if found["main"].rsplit(" ", 1)[-1].lower() in _ATTACHES:
        return None
    main = without_capital(found["main"])
    if main is None:
        return None
    return f"{lead}{found['word'].capitalize()} {found['rest']}, {main}{tail}"


def postponed(sentence: str) -> str | None:
    """``When it rains, a dog barks.`` as ``A dog barks when it rains.``; None where the rule doesn't fit.

    Besides what :func:`fronted` asks for, the main clause must hold no pronoun: it would come before the
    name that it stands for.
    """
    lead, core, tail = split_tail(sentence)
    found = _INITIAL.match(core)
    if (
        found is None
        or not _plain(tail)
        or not _stands_alone(core, found["main"], found["word"], found["rest"])
    ):
        return None
    if set(_words(found["main"])) & PERSONAL_PRONOUNS or _words(found["rest"])[0] in ("all", "that"):
        return None
    return f"{lead}{with_capital(found['main'])} {found['word'].lower()} {found['rest']}{tail}"


def adverb_moved(sentence: str) -> str | None:
    """``However, the plan fails.`` as ``The plan fails, however.``; None where the rule doesn't fit."""
    lead, core, tail = split_tail(sentence)
    found = _ADVERB.match(core)
    if found is None or not _plain(tail) or set(_words(found["main"])) & {"and", "but", "or"}:
        return None
    return f"{lead}{with_capital(found['main'])}, {found['word'].lower()}{tail}"


def year_moved(sentence: str) -> str | None:
    """``In 1945, a war ends.`` as ``A war ends in 1945.`` and back; None where the rule doesn't fit."""
    lead, core, tail = split_tail(sentence)
    first, last = _YEAR_FIRST.match(core), _YEAR_LAST.match(core)
    found = first or last
    if found is None or not _plain(tail) or set(_words(found["main"])) & _HIDES_A_CLAUSE:
        return None
    if first is not None:
        return f"{lead}{with_capital(first['main'])} in {first['year']}{tail}"
    main = without_capital(found["main"])
    if main is None or len(_words(main)) < _LEAST_WORDS:
        return None
    return f"{lead}In {found['year']}, {main}{tail}"


def _stands_alone(core: str, main: str, word: str, rest: str) -> bool:
    words = _words(main)
    if _QUOTES.search(core) or not _LEAST_WORDS <= len(words) <= _MOST_MAIN_WORDS:
        return False
    if len(_words(rest)) < _LEAST_SUBORDINATE_WORDS or set(words) & _HIDES_A_CLAUSE:
        return False
    negated = bool(set(words) & NEGATIONS) or "n't" in main or "n’t" in main
    return not (negated and word.lower() in _TWO_MEANINGS)


def _plain(tail: str) -> bool:
    return tail.strip() in (".", "", "!")


def _words(clause: str) -> list[str]:
    return [word.lower() for word in re.findall(r"[\w'’-]+", clause)]

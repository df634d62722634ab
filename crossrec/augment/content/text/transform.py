# ruff: noqa: RUF001 - Chinese punctuation and curly quotes
"""Rules that rephrase English and Chinese sentences and keep their meaning."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from pydantic import Field

from crossrec.augment.content.text.base import Encode, TextAugmenter, TextOptions, TextOutcome
from crossrec.augment.content.text.language import (
    NEGATIONS,
    PERSONAL_PRONOUNS,
    RELATIVES,
    SUBJECT_PRONOUNS,
    is_chinese,
    split_sentences,
    split_tail,
    with_capital,
    without_capital,
)

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
    """Rewrite ``A dog barks when it rains.`` as ``When it rains, a dog barks.``; None if it doesn't fit.

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
    """Rewrite ``When it rains, a dog barks.`` as ``A dog barks when it rains.``; None if it doesn't fit.

    Besides the conditions of :func:`fronted`, the main clause must hold no pronoun: it would come before the
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
    """Rewrite ``However, the plan fails.`` as ``The plan fails, however.``; None if it doesn't fit."""
    lead, core, tail = split_tail(sentence)
    found = _ADVERB.match(core)
    if found is None or not _plain(tail) or set(_words(found["main"])) & {"and", "but", "or"}:
        return None
    return f"{lead}{with_capital(found['main'])}, {found['word'].lower()}{tail}"


def year_moved(sentence: str) -> str | None:
    """Rewrite ``In 1945, a war ends.`` as ``A war ends in 1945.`` and back; None if it doesn't fit."""
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


_IRREGULAR_NOT = {"won't": "will not", "can't": "cannot", "shan't": "shall not"}
_NOT_STEMS = (
    "do", "does", "did", "is", "are", "was", "were", "has", "have", "had", "would", "could", "should", "must",
    "need",
)  # fmt: skip
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
    """Expand contractions such as ``don't`` and ``they're``; None if there are none.

    Left alone: ``'s`` and ``'d``, which stand for two verbs each, and ``n't`` before its subject, as
    questions have it.
    """
    new = _ANY_SHORT.sub(lambda match: _spelled_out(match, sentence), sentence)
    return None if new == sentence else new


def contracted(sentence: str) -> str | None:
    """Contract ``do not`` to ``don't``; None if no such pair precedes another word."""
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


_PAIRS = (
    # Both halves change together: 因为 goes with 所以 and 由于 with 因此, as grammars have them.
    (re.compile(r"因为([^，。；]{2,})，所以"), r"由于\1，因此"),
    (re.compile(r"由于([^，。；]{2,})，因此"), r"因为\1，所以"),
    (re.compile(r"虽然([^，。；]{2,})，但是?"), r"尽管\1，然而"),
    (re.compile(r"尽管([^，。；]{2,})，然而"), r"虽然\1，但是"),
    (re.compile(r"如果([^，。；]{2,})，那么"), r"要是\1，那么"),
    (re.compile(r"(?:^|(?<=[，；。]))当([^，。；当]{2,}?)的?时候?，"), r"在\1的时候，"),
    (re.compile(r"(?<=，)并且(?=\S)"), "而且"),
    (re.compile(r"(?<=，)然而(?=[^，])"), "但是"),
    (re.compile(r"(?<=，)但是(?=[^，])"), "不过"),
)


def connectives_changed(sentence: str) -> list[str]:
    """Return all variants of a Chinese sentence with one connective (pair) replaced by an equivalent."""
    made = [pattern.sub(replacement, sentence) for pattern, replacement in _PAIRS]
    return [new for new in dict.fromkeys(made) if new != sentence]


_ENGLISH_RULES = (fronted, postponed, adverb_moved, year_moved, expanded, contracted)


class Transform(TextAugmenter):
    """One rephrasing rule per sentence, drawn uniformly among those that fit.

    English: a final subordinate clause moves to the front, or a first one to the end; an adverb such as
    "however" or a year moves; contractions are expanded or made. Chinese: a connective, or a pair of them, is
    replaced by an equivalent. Sentences whose meaning might change are left unchanged.

    Args:
        options: probability of each sentence that a rule fits.
        cache_dir: unused.
        encode: unused.
    """

    class Options(TextOptions):
        """Rule-based rephrasing of sentences."""

        share: float = Field(
            default=1.0, gt=0, le=1, description="probability of each sentence that a rule fits"
        )

    def __init__(self, options: Options, cache_dir: Path, encode: Encode | None = None) -> None:
        self.share = options.share

    def rewrite(self, text: str, generator: np.random.Generator) -> str | TextOutcome:
        """Return a text with rephrased sentences, or the reason why there is none."""
        sentences = split_sentences(text)
        made = [_all_forms(sentence) for sentence in sentences]
        if not any(made):
            return TextOutcome.NO_RULE
        for row, forms in enumerate(made):
            if forms and generator.random() < self.share:
                sentences[row] = forms[int(generator.integers(len(forms)))]
        return "".join(sentences)


def _all_forms(sentence: str) -> list[str]:
    if is_chinese(sentence):
        return connectives_changed(sentence)
    return [form for rule in _ENGLISH_RULES if (form := rule(sentence)) is not None]

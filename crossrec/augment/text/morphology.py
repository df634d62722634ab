"""Base forms of inflected English words, and the same inflection of other words."""

from __future__ import annotations

import re
from enum import StrEnum

from crossrec.augment.text.wordnet import PartOfSpeech, WordNet


class Inflection(StrEnum):
    """How a word differs from its base form; comparison of adjectives is left alone."""

    NONE = "base form"
    PLURAL = "plural"
    THIRD_PERSON = "third person"
    ING = "-ing form"
    PAST = "past or participle"


_RULES: dict[PartOfSpeech, tuple[tuple[str, str, Inflection], ...]] = {
    PartOfSpeech.NOUN: (
        ("ies", "y", Inflection.PLURAL),
        ("ses", "s", Inflection.PLURAL),
        ("xes", "x", Inflection.PLURAL),
        ("zes", "z", Inflection.PLURAL),
        ("ches", "ch", Inflection.PLURAL),
        ("shes", "sh", Inflection.PLURAL),
        ("s", "", Inflection.PLURAL),
    ),
    PartOfSpeech.VERB: (
        ("ies", "y", Inflection.THIRD_PERSON),
        ("es", "e", Inflection.THIRD_PERSON),
        ("es", "", Inflection.THIRD_PERSON),
        ("s", "", Inflection.THIRD_PERSON),
        ("ied", "y", Inflection.PAST),
        ("ed", "e", Inflection.PAST),
        ("ed", "", Inflection.PAST),
        ("ing", "e", Inflection.ING),
        ("ing", "", Inflection.ING),
    ),
    PartOfSpeech.ADJECTIVE: (),
    PartOfSpeech.ADVERB: (),
}
_HISSES = ("s", "x", "z", "ch", "sh")
_CONSONANT_Y = re.compile(r"[^aeiou]y$")
_CONSONANT_O = re.compile(r"[^aeiou]o$")
_VOWEL_SOUND = re.compile(
    r"^(?:[aio]|e(?!u|w)|u(?!ni[^nm]|s[aeu]|t[ei]|rin|biq|ran|top)|hour|hono|hei?r(?!o|d|e|m|b)|honest)"
)
_CONSONANT_SOUND = re.compile(r"^(?:one|once)")


def base_forms(word: str, part: PartOfSpeech, wordnet: WordNet) -> list[tuple[str, Inflection]]:
    """Base forms of a lower-case word that WordNet has, with what the word is of each.

    Source:
        WordNet's morphy (manual page morphy(7WN)): exceptions first, then rules of detachment. Ours gives the
        inflection too, and takes a word that is a base form itself as nothing else.
    """
    if wordnet.entry(word, part) is not None:
        return [(word, Inflection.NONE)]
    irregular = wordnet.irregular_bases(word, part)
    if irregular:
        kind = _irregular_kind(word, part)
        found = [(base, kind) for base in irregular] if kind is not None else []
    else:
        found = [
            (word[: len(word) - len(end)] + new, kind)
            for end, new, kind in _RULES[part]
            if word.endswith(end)
        ]
    return [(base, kind) for base, kind in dict.fromkeys(found) if wordnet.entry(base, part) is not None]


def inflect(base: str, inflection: Inflection, part: PartOfSpeech, wordnet: WordNet) -> str | None:
    """The asked form of a base form; None where it is irregular in a way that the exceptions leave open."""
    if inflection is Inflection.NONE:
        return base
    irregular = wordnet.irregular_forms(base, part)
    known = [form for form in irregular if _irregular_kind(form, part) is inflection]
    if inflection is Inflection.PAST and any(not form.endswith("ed") for form in known):
        return None
    if known:
        return known[0] if len(known) == 1 else None
    return _regular(base, inflection)


def with_article(article: str, word: str) -> str:
    """``a`` or ``an`` as the next word asks for it, with the capital that the article has."""
    vowel = _VOWEL_SOUND.match(word.lower()) and not _CONSONANT_SOUND.match(word.lower())
    fitting = "an" if vowel else "a"
    return fitting.capitalize() if article[0].isupper() else fitting


def _irregular_kind(form: str, part: PartOfSpeech) -> Inflection | None:
    if part is PartOfSpeech.NOUN:
        return Inflection.PLURAL
    if part is not PartOfSpeech.VERB:
        return None
    if form.endswith("ing"):
        return Inflection.ING
    return Inflection.THIRD_PERSON if form.endswith("s") and form != "was" else Inflection.PAST


def _regular(base: str, inflection: Inflection) -> str:
    if inflection in (Inflection.PLURAL, Inflection.THIRD_PERSON):
        if _CONSONANT_Y.search(base):
            return base[:-1] + "ies"
        return base + ("es" if base.endswith(_HISSES) or _CONSONANT_O.search(base) else "s")
    if inflection is Inflection.ING:
        if base.endswith("ie"):
            return base[:-2] + "ying"
        drops_e = base.endswith("e") and not base.endswith(("ee", "oe", "ye"))
        return (base[:-1] if drops_e else base) + "ing"
    if _CONSONANT_Y.search(base):
        return base[:-1] + "ied"
    return base + ("d" if base.endswith("e") else "ed")

"""English morphology: base forms, inflection and part of speech in context."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from crossrec.augment.content.text.language import (
    BE,
    DETERMINERS,
    FUNCTION_WORDS,
    MODALS,
    PREPOSITIONS,
    SUBJECT_PRONOUNS,
)
from crossrec.augment.content.text.wordnet import PartOfSpeech, WordEntry, WordNet


class Inflection(StrEnum):
    """Inflection of a word; comparison of adjectives is not handled."""

    NONE = "base form"
    PLURAL = "plural"
    THIRD_PERSON = "third person"
    ING = "-ing form"
    PAST = "past or participle"


_TAGS = {
    Inflection.PLURAL: ("NNS",),
    Inflection.THIRD_PERSON: ("VBZ",),
    Inflection.ING: ("VBG",),
    Inflection.PAST: ("VBD", "VBN"),
}
"""Penn Treebank's tags."""

_UNIVERSAL = {PartOfSpeech.NOUN: "NOUN", PartOfSpeech.VERB: "VERB"}
"""Tags of Universal Dependencies; other parts of speech are not inflected."""

_CLEAR_LEAD = 3
_BEFORE_VERB = (
    MODALS | SUBJECT_PRONOUNS | {"to", "who", "not", "don't", "didn't", "doesn't", "can't", "won't"}
)
_BEFORE_NOUN = (DETERMINERS | PREPOSITIONS) - {"to", "that", "until", "after", "before", "since"}
_NOMINAL = (PartOfSpeech.NOUN, PartOfSpeech.ADJECTIVE)
_VOWEL_SOUND = re.compile(
    r"^(?:[aio]|e(?!u|w)|u(?!ni[^nm]|s[aeu]|t[ei]|rin|biq|ran|top)|hour|hono|hei?r(?!o|d|e|m|b)|honest)"
)
_CONSONANT_SOUND = re.compile(r"^(?:one|once)")


def base_forms(word: str, part: PartOfSpeech, wordnet: WordNet) -> list[tuple[str, Inflection]]:
    """Return the base forms of a lowercase word in WordNet, with the word's inflection.

    A word that is a base form itself has no other reading. Base forms and inflections are lemminflect's.
    """
    import lemminflect

    if wordnet.entry(word, part) is not None:
        return [(word, Inflection.NONE)]
    if part not in _UNIVERSAL:
        return []
    bases = [base for base in lemminflect.getLemma(word, _UNIVERSAL[part]) if wordnet.entry(base, part)]
    return [(base, kind) for base in bases for kind in Inflection if word in _forms(base, kind, part)]


def inflect(base: str, inflection: Inflection, part: PartOfSpeech) -> str | None:
    """Inflect a base form; None if past and participle differ, which ``PAST`` does not distinguish."""
    if inflection is Inflection.NONE:
        return base
    found = _forms(base, inflection, part, preferred=True)
    return found[0] if len(set(found)) == 1 else None


def _forms(base: str, inflection: Inflection, part: PartOfSpeech, *, preferred: bool = False) -> list[str]:
    """Return the forms of a base form for each tag of an inflection: all, or the preferred one per tag."""
    import lemminflect

    tags = [tag for tag in _TAGS.get(inflection, ()) if tag.startswith(_UNIVERSAL[part][0])]
    forms = [list(lemminflect.getInflection(base, tag)) for tag in tags]
    if preferred and inflection is Inflection.PLURAL:
        # Of "travel" and "travels" the latter shows the plural.
        forms = [sorted(found, key=lambda form: form == base) for found in forms]
    return [form for found in forms for form in (found[:1] if preferred else found)]


def with_article(article: str, word: str) -> str:
    """Return ``a`` or ``an`` by the next word's sound, with the article's capitalization."""
    vowel = _VOWEL_SOUND.match(word.lower()) and not _CONSONANT_SOUND.match(word.lower())
    fitting = "an" if vowel else "a"
    return fitting.capitalize() if article[0].isupper() else fitting


@dataclass(frozen=True)
class WordReading:
    """Possible reading of a word.

    Args:
        part: part of speech.
        lemma: base form.
        inflection: inflection of the base form.
        entry: WordNet's entry of the lemma.
    """

    part: PartOfSpeech
    lemma: str
    inflection: Inflection
    entry: WordEntry


class PartOfSpeechReader:
    """Rule-based part-of-speech tagger of single words in context.

    Rules, the first that fits: an adverb by -ly; an -ing form after a form of "be" is a verb; a verb after
    "to", a modal, a personal pronoun or "who"; no verb after a determiner or preposition, and there an
    adjective if the next word can be a noun. What is still ambiguous goes to the part of speech in which
    WordNet's annotated texts have at least three times as many senses; else nowhere.

    Args:
        wordnet: possible readings of words.
    """

    def __init__(self, wordnet: WordNet) -> None:
        self.wordnet = wordnet
        self._known: dict[str, list[WordReading]] = {}

    def read(self, word: str, before: str, after: str) -> WordReading | None:
        """Return the reading of a word in context, or None if it is ambiguous.

        Args:
            word: lower case.
            before: the word before it, lower case; empty at the start of a sentence or clause.
            after: the word after it, lower case; empty at the end.
        """
        readings = self._readings(word)
        if len({reading.part for reading in readings}) > 1:
            readings = self._fitting(readings, word, before, after)
        ordered = sorted(readings, key=lambda reading: -_weight(reading))
        if not ordered or (len(ordered) > 1 and _weight(ordered[0]) < _CLEAR_LEAD * _weight(ordered[1])):
            return None
        return ordered[0]

    def _readings(self, word: str) -> list[WordReading]:
        if word not in self._known:
            self._known[word] = [
                WordReading(part, lemma, inflection, entry)
                for part in PartOfSpeech
                for lemma, inflection in base_forms(word, part, self.wordnet)
                if (entry := self.wordnet.entry(lemma, part)) is not None
            ]
        return self._known[word]

    def _fitting(self, readings: list[WordReading], word: str, before: str, after: str) -> list[WordReading]:
        """Return the readings that the neighboring words allow; all if they decide nothing."""
        wanted: tuple[PartOfSpeech, ...] = tuple(PartOfSpeech)
        if word.endswith("ly"):
            wanted = (PartOfSpeech.ADVERB,)
        elif before in _BEFORE_VERB or (before in BE and word.endswith("ing")):
            wanted = (PartOfSpeech.VERB,)
        elif before in _BEFORE_NOUN:
            wanted = (PartOfSpeech.ADJECTIVE,) if self._may_be_noun(after) else _NOMINAL
        fitting = [reading for reading in readings if reading.part in wanted]
        if not fitting and wanted == (PartOfSpeech.ADJECTIVE,):
            fitting = [reading for reading in readings if reading.part is PartOfSpeech.NOUN]
        return fitting or readings

    def _may_be_noun(self, word: str) -> bool:
        if word in FUNCTION_WORDS:
            return False
        return bool(base_forms(word, PartOfSpeech.NOUN, self.wordnet))


def _weight(reading: WordReading) -> float:
    """Return the number of annotated senses, with a small weight for readings without any."""
    return reading.entry.n_tagged + 0.1

"""The part of speech of a word, from the words beside it and from WordNet's counts."""

from __future__ import annotations

from dataclasses import dataclass

from crossrec.augment.text.english import (
    BE,
    DETERMINERS,
    FUNCTION_WORDS,
    MODALS,
    PREPOSITIONS,
    SUBJECT_PRONOUNS,
)
from crossrec.augment.text.morphology import Inflection, base_forms
from crossrec.augment.text.wordnet import Entry, PartOfSpeech, WordNet

_CLEAR_LEAD = 3
_BEFORE_VERB = (
    MODALS | SUBJECT_PRONOUNS | {"to", "who", "not", "don't", "didn't", "doesn't", "can't", "won't"}
)
_BEFORE_NOUN = (DETERMINERS | PREPOSITIONS) - {"to", "that", "until", "after", "before", "since"}
_NOMINAL = (PartOfSpeech.NOUN, PartOfSpeech.ADJECTIVE)


@dataclass(frozen=True)
class Reading:
    """What a word may be.

    Args:
        part: its part of speech.
        lemma: its base form.
        inflection: how it differs from that.
        entry: what the index says of the lemma.
    """

    part: PartOfSpeech
    lemma: str
    inflection: Inflection
    entry: Entry


class PartOfSpeechReader:
    """Reads words in their place.

    Rules, the first that fits: an adverb by -ly; an -ing form after a form of "be" is a verb; a verb after
    "to", a modal, a personal pronoun or "who"; no verb after a determiner or preposition, and there an
    adjective if the next word can be a noun. What is then left open goes to the part of speech in which
    WordNet's annotated texts have at least three times as many senses; else nowhere.

    Args:
        wordnet: what words may be.
    """

    def __init__(self, wordnet: WordNet) -> None:
        self.wordnet = wordnet
        self._known: dict[str, list[Reading]] = {}

    def read(self, word: str, before: str, after: str) -> Reading | None:
        """The one reading of a word in its place, or None where it stays open.

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

    def _readings(self, word: str) -> list[Reading]:
        if word not in self._known:
            self._known[word] = [
                Reading(part, lemma, inflection, entry)
                for part in PartOfSpeech
                for lemma, inflection in base_forms(word, part, self.wordnet)
                if (entry := self.wordnet.entry(lemma, part)) is not None
            ]
        return self._known[word]

    def _fitting(self, readings: list[Reading], word: str, before: str, after: str) -> list[Reading]:
        """The readings that the words beside it allow; all where they say nothing."""
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


def _weight(reading: Reading) -> float:
    """Annotated senses, less for a reading that the makers of WordNet never met in their texts."""
    return reading.entry.n_tagged + 0.1

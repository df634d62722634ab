"""Words replaced by synonyms of the same part of speech, in the same inflection."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np

from crossrec.augment.text.config import SynonymsConfig
from crossrec.augment.text.english import FUNCTION_WORDS
from crossrec.augment.text.morphology import inflect, with_article
from crossrec.augment.text.outcome import EachText, Outcome
from crossrec.augment.text.part_of_speech import PartOfSpeechReader, Reading
from crossrec.augment.text.segmentation import (
    Part,
    Segmenter,
    chinese_segmenter,
    has_chinese,
    join_parts,
    split_parts,
)
from crossrec.augment.text.thesaurus import WAYS, ChineseThesaurus
from crossrec.augment.text.wordnet import WordNet, find_wordnet

logger = logging.getLogger(__name__)

_SHORTEST = 3


def build_synonyms(config: SynonymsConfig) -> Synonyms:
    """Reads the dictionaries that the config names.

    Raises:
        InputError: WordNet, the Chinese thesaurus or jieba is not there.
    """
    wordnet = WordNet(find_wordnet(config.wordnet))
    thesaurus = None if config.chinese is None else ChineseThesaurus(config.chinese)
    segment: Segmenter = list if thesaurus is None else thesaurus.cut
    if config.segmentation is not None:
        segment = chinese_segmenter(config.segmentation)
    return Synonyms(
        wordnet,
        thesaurus,
        segment,
        share=config.share,
        max_senses=config.max_senses,
        capitalised=config.capitalised,
    )


class Synonyms(EachText):
    """Replaces some words by synonyms that WordNet, or the Chinese Open Wordnet, gives for them.

    The word's part of speech is decided by :class:`PartOfSpeechReader`; its most frequent sense is taken, and
    of the members of this sense those for which it is the most frequent one too and that occur in WordNet's
    annotated texts. A word with many senses, function words, numbers, words with a capital (names) and
    hyphenated words stay. The synonym takes over inflection and capital, and an article before it is mended.

    Args:
        wordnet: English words.
        thesaurus: Chinese words; without it a text of Chinese words alone is counted as such.
        segment: cuts Chinese runs.
        share: chance of each word that has a synonym; at least one of a text is replaced.
        max_senses: a word with more senses in its part of speech stays.
        capitalised: replace words with a capital too.

    Source:
        Zhang, Zhao and LeCun, Character-level Convolutional Networks for Text Classification, NeurIPS 2015,
        section 2.4; ours takes the part of speech and the inflection into account.
    """

    def __init__(
        self,
        wordnet: WordNet,
        thesaurus: ChineseThesaurus | None,
        segment: Segmenter,
        *,
        share: float,
        max_senses: int,
        capitalised: bool,
    ) -> None:
        self.wordnet, self.thesaurus, self.segment = wordnet, thesaurus, segment
        self.reader = PartOfSpeechReader(wordnet)
        self.share, self.max_senses, self.capitalised = share, max_senses, capitalised
        self._warned = False

    def rewrite(self, text: str, generator: np.random.Generator) -> str | Outcome:
        """A text with synonyms, or why there is none."""
        parts = split_parts(text, self.segment)
        options = {place: found for place in range(len(parts)) if (found := self._options(parts, place))}
        if not options:
            return self._nothing(text)
        places = list(options)
        drawn = generator.random(len(places)) < self.share
        if not drawn.any():
            drawn[int(generator.integers(len(places)))] = True
        for place in (place for place, taken in zip(places, drawn, strict=True) if taken):
            found = options[place]
            parts[place] = replace(parts[place], text=found[int(generator.integers(len(found)))])
            _mend_article(parts, place)
        return join_parts(parts)

    def _nothing(self, text: str) -> Outcome:
        if self.thesaurus is not None or not has_chinese(text):
            return Outcome.NO_SYNONYM
        if not self._warned:
            logger.warning("a text is Chinese and the synonyms augmenter has no Chinese thesaurus. %s", WAYS)
            self._warned = True
        return Outcome.NO_CHINESE_THESAURUS

    def _options(self, parts: list[Part], place: int) -> list[str]:
        part = parts[place]
        if not part.word:
            return []
        if part.chinese:
            return [] if self.thesaurus is None else self.thesaurus.synonyms(part.text)
        word = part.text
        if (
            len(word) < _SHORTEST
            or not word.isascii()
            or not word.isalpha()
            or word.lower() in FUNCTION_WORDS
        ):
            return []
        if word != word.lower() and not (self.capitalised and word == word.capitalize()):
            return []
        reading = self.reader.read(word.lower(), _beside(parts, place, -1), _beside(parts, place, 1))
        if reading is None or not self._clear(reading):
            return []
        members = self._members(reading)
        forms = (inflect(other, reading.inflection, reading.part, self.wordnet) for other in members)
        found = [form for form in forms if form is not None and form != word.lower()]
        return [form.capitalize() if word[0].isupper() else form for form in dict.fromkeys(found)]

    def _clear(self, reading: Reading) -> bool:
        """Whether the first sense is likely meant: the only one, or one of few that annotated texts show."""
        n_senses = len(reading.entry.synsets)
        return n_senses == 1 or (n_senses <= self.max_senses and reading.entry.n_tagged > 0)

    def _members(self, reading: Reading) -> list[str]:
        sense = reading.entry.synsets[0]
        found: list[str] = []
        for word in self.wordnet.members(sense, reading.part):
            plain = word.isalpha() and word.islower() and word.isascii() and word != reading.lemma
            entry = self.wordnet.entry(word, reading.part) if plain else None
            if entry is not None and entry.n_tagged > 0 and entry.synsets[0] == sense:
                found.append(word)
        return found


def _beside(parts: list[Part], place: int, step: int) -> str:
    """The word before or after a word, lower case; empty where a sign or nothing stands there."""
    at = place + step
    while 0 <= at < len(parts) and parts[at].text.isspace():
        at += step
    return parts[at].text.lower() if 0 <= at < len(parts) and parts[at].word else ""


def _mend_article(parts: list[Part], place: int) -> None:
    if place >= 2 and parts[place - 2].text.lower() in ("a", "an") and parts[place - 1].text == " ":
        article = with_article(parts[place - 2].text, parts[place].text)
        parts[place - 2] = replace(parts[place - 2], text=article)

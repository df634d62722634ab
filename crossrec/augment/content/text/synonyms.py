"""Synonym replacement that keeps part of speech and inflection."""

from __future__ import annotations

import logging
import re
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
from pydantic import Field

from crossrec.augment.content.text.base import Encode, TextAugmenter, TextOptions, TextOutcome
from crossrec.augment.content.text.language import (
    FUNCTION_WORDS,
    Segmentation,
    Segmenter,
    TextPart,
    chinese_segmenter,
    has_chinese,
    join_parts,
    split_parts,
)
from crossrec.augment.content.text.morphology import PartOfSpeechReader, WordReading, inflect, with_article
from crossrec.augment.content.text.wordnet import WordNet, find_wordnet
from crossrec.types import InputError

THESAURUS_WAYS = (
    "Chinese synonyms are read from wn-data-cmn.tab of the Chinese Open Wordnet, which no package brings: "
    "take it from https://github.com/omwn/omw-data (wns/cow), or python -m nltk.downloader -d FOLDER "
    "omw-1.4, unzipped (FOLDER/corpora/omw-1.4/cmn), and name it in the synonyms augmenter's key 'chinese'"
)
_WORD = re.compile("[\u3400-\u4dbf\u4e00-\u9fff]{2,}")
_NUMERAL = re.compile("[〇零一二三四五六七八九十百千万亿两]")
_LEMMA_FIELD = "lemma"


class ChineseThesaurus:
    """Synonyms of Chinese words with a single sense, since senses are not disambiguated.

    Words of one character and words with a numeral are omitted.

    Args:
        path: lines ``synset TAB cmn:lemma TAB word``; a ``+`` joins a word and its particle.

    Raises:
        InputError: if the file is missing or has another layout.

    Source:
        Wang and Bond, Building the Chinese Open Wordnet (COW), 2013; Bond and Paik, A Survey of WordNets and
        their Licenses, GWC 2012 (the layout).
    """

    def __init__(self, path: Path) -> None:
        members: dict[str, list[str]] = defaultdict(list)
        senses: dict[str, set[str]] = defaultdict(set)
        for synset, word in _read(path.expanduser()):
            members[synset].append(word)
            senses[word].add(synset)
        self._synonyms = {
            word: others
            for word, synsets in senses.items()
            if len(synsets) == 1
            and (others := [o for o in members[next(iter(synsets))] if o != word and len(senses[o]) == 1])
        }
        self._known = frozenset(senses)
        self._longest = max(map(len, self._known))

    def synonyms(self, word: str) -> list[str]:
        """Return the words of the same, only sense."""
        return self._synonyms.get(word, [])

    def cut(self, run: str) -> list[str]:
        """Segment a run of Chinese characters by greedy longest match from the left."""
        words: list[str] = []
        start = 0
        while start < len(run):
            lengths = range(min(self._longest, len(run) - start), 1, -1)
            length = next((n for n in lengths if run[start : start + n] in self._known), 1)
            words.append(run[start : start + length])
            start += length
        return words


def _read(path: Path) -> list[tuple[str, str]]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"chinese: {path} can't be read: {error}. {THESAURUS_WAYS}") from error
    found: list[tuple[str, str]] = []
    for line in lines:
        fields = line.split("\t")
        if len(fields) == 3 and fields[1].rpartition(":")[2] == _LEMMA_FIELD:
            word = fields[2].replace("+", "").strip()
            if _WORD.fullmatch(word) and not _NUMERAL.search(word):
                found.append((fields[0], word))
    if not found:
        raise InputError(f"chinese: {path} holds no line 'synset TAB cmn:lemma TAB word'. {THESAURUS_WAYS}")
    return found


logger = logging.getLogger(__name__)
_SHORTEST = 3


class Synonyms(TextAugmenter):
    """Replacement of words by synonyms from WordNet and the Chinese Open Wordnet.

    The word's part of speech is decided by :class:`PartOfSpeechReader`; its most frequent sense is taken, and
    of the members of this sense those for which it is the most frequent one too and that occur in WordNet's
    annotated texts. A word with many senses, function words, numbers, words with a capital (names) and
    hyphenated words stay. The synonym takes over inflection and capital, and an article before it is fixed.

    Args:
        options: dictionaries, and which words are replaced.
        cache_dir: unused.
        encode: unused.

    Raises:
        InputError: if WordNet, the Chinese thesaurus or jieba is missing; the message lists ways to get it.

    Source:
        Zhang, Zhao and LeCun, Character-level Convolutional Networks for Text Classification, NeurIPS 2015,
        section 2.4; ours takes the part of speech and the inflection into account.
    """

    class Options(TextOptions):
        """Replacement of words by synonyms of the same part of speech."""

        share: float = Field(
            default=0.3, gt=0, le=1, description="probability of each word that has a synonym"
        )
        wordnet: Path | None = Field(
            default=None,
            description="folder with index.* and data.*; None looks in $WNSEARCHDIR, Debian's folder "
            "and NLTK's folders",
        )
        chinese: Path | None = Field(
            default=None,
            description="wn-data-cmn.tab of the Chinese Open Wordnet; None leaves Chinese words alone",
        )
        segmentation: Segmentation | None = Field(
            default=None, description="of Chinese text; None takes the longest words that the thesaurus knows"
        )
        max_senses: int = Field(
            default=4,
            ge=1,
            description="a word with more senses than this in its part of speech is left alone",
        )
        capitalised: bool = Field(
            default=False,
            description="also replace words with a capital, as product titles need; names may change",
        )

    def __init__(self, options: Options, cache_dir: Path, encode: Encode | None = None) -> None:
        self.wordnet = WordNet(find_wordnet(options.wordnet))
        self.thesaurus = None if options.chinese is None else ChineseThesaurus(options.chinese)
        self.segment: Segmenter = list if self.thesaurus is None else self.thesaurus.cut
        if options.segmentation is not None:
            self.segment = chinese_segmenter(options.segmentation)
        self.reader = PartOfSpeechReader(self.wordnet)
        self.share, self.max_senses, self.capitalised = options.share, options.max_senses, options.capitalised
        self._warned = False

    def rewrite(self, text: str, generator: np.random.Generator) -> str | TextOutcome:
        """Return a text with synonyms, or the reason why there is none."""
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
            _fix_article(parts, place)
        return join_parts(parts)

    def _nothing(self, text: str) -> TextOutcome:
        if self.thesaurus is not None or not has_chinese(text):
            return TextOutcome.NO_SYNONYM
        if not self._warned:
            logger.warning(
                "a text is Chinese and the synonyms augmenter has no Chinese thesaurus. %s", THESAURUS_WAYS
            )
            self._warned = True
        return TextOutcome.NO_CHINESE_THESAURUS

    def _options(self, parts: list[TextPart], place: int) -> list[str]:
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
        forms = (inflect(other, reading.inflection, reading.part) for other in members)
        found = [form for form in forms if form is not None and form != word.lower()]
        return [form.capitalize() if word[0].isupper() else form for form in dict.fromkeys(found)]

    def _clear(self, reading: WordReading) -> bool:
        """Return whether the first sense is likely meant: the only one, or one of few in annotated texts."""
        n_senses = len(reading.entry.synsets)
        return n_senses == 1 or (n_senses <= self.max_senses and reading.entry.n_tagged > 0)

    def _members(self, reading: WordReading) -> list[str]:
        sense = reading.entry.synsets[0]
        found: list[str] = []
        for word in self.wordnet.members(sense, reading.part):
            plain = word.isalpha() and word.islower() and word.isascii() and word != reading.lemma
            entry = self.wordnet.entry(word, reading.part) if plain else None
            if entry is not None and entry.n_tagged > 0 and entry.synsets[0] == sense:
                found.append(word)
        return found


def _beside(parts: list[TextPart], place: int, step: int) -> str:
    """Return the word before or after a word, lowercase; empty if there is none."""
    at = place + step
    while 0 <= at < len(parts) and parts[at].text.isspace():
        at += step
    return parts[at].text.lower() if 0 <= at < len(parts) and parts[at].word else ""


def _fix_article(parts: list[TextPart], place: int) -> None:
    if place >= 2 and parts[place - 2].text.lower() in ("a", "an") and parts[place - 1].text == " ":
        article = with_article(parts[place - 2].text, parts[place].text)
        parts[place - 2] = replace(parts[place - 2], text=article)

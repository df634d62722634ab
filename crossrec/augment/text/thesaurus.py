"""Chinese synonyms from the Chinese Open Wordnet's table."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

from crossrec.types import InputError

WAYS = (
    "Chinese synonyms are read from wn-data-cmn.tab of the Chinese Open Wordnet, which no package brings: "
    "take it from https://github.com/omwn/omw-data (wns/cow), or python -m nltk.downloader -d FOLDER "
    "omw-1.4, unzipped (FOLDER/corpora/omw-1.4/cmn), and name it in the synonyms augmenter's key 'chinese'"
)
_WORD = re.compile("[\u3400-\u4dbf\u4e00-\u9fff]{2,}")
_NUMERAL = re.compile("[〇零一二三四五六七八九十百千万亿两]")
_LEMMA_FIELD = "lemma"


class ChineseThesaurus:
    """Synonyms of Chinese words that have one sense only, since nothing here tells senses apart.

    Words of one character and words with a numeral are left out.

    Args:
        path: lines ``synset TAB cmn:lemma TAB word``; a ``+`` joins a word and its particle.

    Raises:
        InputError: the file is not there or has another layout.

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
        """Words of the same, only sense."""
        return self._synonyms.get(word, [])

    def cut(self, run: str) -> list[str]:
        """Cuts a run of Chinese characters, from the left, into the longest words that are known here."""
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
        raise InputError(f"chinese: {path} can't be read: {error}. {WAYS}") from error
    found: list[tuple[str, str]] = []
    for line in lines:
        fields = line.split("\t")
        if len(fields) == 3 and fields[1].rpartition(":")[2] == _LEMMA_FIELD:
            word = fields[2].replace("+", "").strip()
            if _WORD.fullmatch(word) and not _NUMERAL.search(word):
                found.append((fields[0], word))
    if not found:
        raise InputError(f"chinese: {path} holds no line 'synset TAB cmn:lemma TAB word'. {WAYS}")
    return found

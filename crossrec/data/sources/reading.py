"""Helpers of all sources: files that must exist and be readable as text, and pictures in a folder."""

from __future__ import annotations

import codecs
import difflib
import gzip
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, BinaryIO, TextIO, cast

import polars as pl
from pydantic import AfterValidator

from crossrec.types import InputError


def _known_encoding(encoding: str) -> str:
    try:
        codecs.lookup(encoding)
    except LookupError:
        examples = "utf-8, cp1252, latin-1, utf-16, cp1251, gbk, shift_jis"
        raise ValueError(f"unknown encoding '{encoding}'; encodings are called {examples}, …") from None
    return encoding


Encoding = Annotated[str, AfterValidator(_known_encoding)]
"""A config field that names the encoding of text files."""

PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp")
"""Recognised picture files, the preferred first where an item has several."""


class SourceError(InputError):
    """Files that a source can't use; the message names the file or column and the config key to set."""


def require_root(root: Path | None, source: str) -> Path:
    """Return the data root, if it is an existing folder.

    Raises:
        SourceError: if no root is configured, or it is not a folder.
    """
    if root is None:
        raise SourceError(f"the '{source}' source needs the folder of its files: set data.root=FOLDER")
    if not root.is_dir():
        kind = "is a file, not a folder" if root.exists() else "does not exist"
        raise SourceError(
            f"the data root {root} (working directory {Path.cwd()}) {kind}: set data.root=FOLDER "
            f"to the folder that holds the files of the '{source}' source"
        )
    return root


class Faults:
    """Faults of a source, collected so that one run reports them all."""

    def __init__(self) -> None:
        self._found: list[str] = []

    def add(self, message: str) -> None:
        """Keep a fault for later."""
        self._found.append(message)

    @contextmanager
    def collected(self) -> Iterator[None]:
        """Collect a ``SourceError`` of the block."""
        try:
            yield
        except SourceError as error:
            self.add(str(error))

    def report(self) -> None:
        """Raise the collected faults, if any.

        Raises:
            SourceError: if there are faults, one per line of the message.
        """
        found = list(dict.fromkeys(self._found))
        if len(found) > 1:
            raise SourceError("\n".join([f"{len(found)} faults:", *(f"- {message}" for message in found)]))
        if found:
            raise SourceError(found[0])


def open_binary(path: Path) -> BinaryIO:
    """Open a file for reading; ``.gz`` is unpacked on the fly."""
    return cast(BinaryIO, gzip.open(path, "rb")) if path.suffix.lower() == ".gz" else path.open("rb")


def codec(encoding: str) -> str:
    """Return the codec to read a file with: UTF-8 with or without a byte order mark."""
    name = codecs.lookup(encoding).name
    return "utf-8-sig" if name == "utf-8" else name


def require_encoding(path: Path, encoding: str, way_out: str) -> None:
    """Read a text file once, some megabytes at a time, to see that it is in its encoding.

    Args:
        path: the file.
        encoding: a codec's name.
        way_out: configuration key of the encoding, or another remedy, for the message.

    Raises:
        SourceError: if it is not; the message names the line and guesses the encoding.
    """
    decoder = codecs.getincrementaldecoder(codec(encoding))()
    lines = 0
    with open_binary(path) as handle:
        while True:
            block = handle.read(_BLOCK_BYTES)
            held = decoder.getstate()[0]
            try:
                text = decoder.decode(block, final=not block)
            except UnicodeError as error:  # UTF-16 without a byte order mark has no place
                start = error.start if isinstance(error, UnicodeDecodeError) else 0
                line = lines + (held + block)[:start].count(b"\n") + 1
                raise SourceError(_other_encoding(path, encoding, line, way_out)) from error
            if "\0" in text:
                line = lines + text[: text.index("\0")].count("\n") + 1
                raise SourceError(_other_encoding(path, encoding, line, way_out))
            if not block:
                return
            lines += text.count("\n")


_BLOCK_BYTES = 16 << 20


def _other_encoding(path: Path, encoding: str, line: int, way_out: str) -> str:
    guess = guessed_encoding(path)
    told = f"it may be {guess}" if guess and codec(guess) != codec(encoding) else "it may be no text at all"
    name = "UTF-8" if codec(encoding) == "utf-8-sig" else encoding
    value = f"={guess}" if guess and way_out.endswith("encoding") else ""
    return f"{path} is not in {name} (line {line}); {told}. Convert it, or set {way_out}{value}"


def guessed_encoding(path: Path) -> str | None:
    """Return the guessed encoding of a file's first megabytes: UTF-8, UTF-16, or a Western 8-bit encoding."""
    with open_binary(path) as handle:
        data = handle.read(_BLOCK_BYTES)
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if data.count(0) > len(data) / 5:  # half of the bytes of Western text in UTF-16
        return "utf-16-le" if data[1::2].count(0) > data[::2].count(0) else "utf-16-be"
    if 0 in data:
        return None
    for encoding in ("utf-8", "cp1252"):
        try:
            codecs.getincrementaldecoder(encoding)().decode(data)
        except UnicodeDecodeError:
            continue
        return encoding
    return "latin-1"


@contextmanager
def text_lines(path: Path, way_out: str, encoding: str = "utf-8") -> Iterator[TextIO]:
    """Open a text file, with or without a byte order mark, for reading by line within the block.

    Args:
        path: the file.
        way_out: remedy, for the message.
        encoding: encoding of the file.

    Raises:
        SourceError: if the file is in another encoding.
    """
    require_encoding(path, encoding, way_out)
    with path.open(encoding=codec(encoding)) as handle:
        yield handle


def suggest(word: str, valid: Sequence[str]) -> str:
    """Return a hint that names the closest valid word, and all of them (of many, the first)."""
    found = closest(word, valid)
    shown = ", ".join(valid[:_SHOWN]) + (f" and {len(valid) - _SHOWN} more" if len(valid) > _SHOWN else "")
    return (f"did you mean '{found}'? " if found else "") + f"It has: {shown or 'nothing'}"


_SHOWN = 30


def closest(word: str, valid: Sequence[str]) -> str | None:
    """Return the valid word most similar to another, ignoring case; None where none is similar."""
    close = difflib.get_close_matches(word.lower(), [name.lower() for name in valid], n=1, cutoff=0.5)
    return next((name for name in valid if close and name.lower() == close[0]), None)


def nearest_file(root: Path, name: str, suffixes: Sequence[str], likely: Sequence[str] = ()) -> str:
    """Return a hint that names the likeliest file of a folder in place of one that is missing.

    Args:
        root: the folder.
        name: missing file, relative to ``root``.
        suffixes: suffixes of files that could be meant.
        likely: likely files, the likeliest first; they precede files with similar names.
    """
    there = sorted(path.name for path in root.iterdir())
    fitting = [file for file in there if Path(file).suffix.lower() in suffixes]
    below = sorted(path.relative_to(root).as_posix() for path in root.glob(f"*/{Path(name).name}"))
    same = [file for file in fitting if file.lower() == name.lower()]
    found = next(iter([*same, *below, *likely]), None) or closest(name, fitting)
    return (f"did you mean '{found}'? " if found else "") + suggest("", there)


def pictures_in(folder: Path) -> dict[str, str]:
    """Return the path of the picture of each file stem in a folder; the folder is listed once.

    Returns:
        ``{"17": "folder/17.jpg"}``; of several files with one stem, the first of ``PICTURE_SUFFIXES``.
    """
    found: dict[str, tuple[int, str]] = {}
    with os.scandir(folder) as entries:
        for entry in entries:
            stem, suffix = os.path.splitext(entry.name)
            if suffix.lower() not in PICTURE_SUFFIXES:
                continue
            candidate = (PICTURE_SUFFIXES.index(suffix.lower()), entry.path)
            found[stem] = min(candidate, found.get(stem, candidate))
    return {stem: path for stem, (_, path) in found.items()}


def image_folder(root: Path, images: str | None) -> Path:
    """Return the pictures' folder: ``images``, relative to the data folder, or the data folder itself."""
    return root if images is None else root / images


def image_paths(
    root: Path, images: str | None, ids: Sequence[str], column: pl.Series | None, table: str
) -> list[str | None]:
    """Return the picture file of each item, null where it has none.

    Args:
        root: the folder of the data.
        images: the folder of the pictures, relative to ``root``; ``root`` itself when None.
        ids: ids of the items.
        column: file names; None to look for ``<item id>.jpg`` and the like in ``images``, if that is set.
        table: what holds the column, for messages.

    Raises:
        SourceError: if the folder does not exist, or a picture is a URL or lies outside the folder.
    """
    folder = image_folder(root, images)
    if not folder.is_dir():
        raise SourceError(f"the image folder {folder} does not exist: set data.source.images=FOLDER")
    if column is None:
        found = {} if images is None else pictures_in(folder)
        return [found.get(item_id) for item_id in ids]
    files = [name.strip() if name else None for name in column.cast(pl.String).to_list()]
    inside = os.path.join(os.path.abspath(folder), "")
    for row, name in enumerate(files):
        if name and name.startswith(("http://", "https://")):
            raise SourceError(
                f"row {row} of {table} names a picture by its address ({name}): download the pictures "
                "into a folder, set data.source.images=FOLDER and let the column hold file names"
            )
        if name and not os.path.abspath(folder / name).startswith(inside):
            raise SourceError(
                f"row {row} of {table} names a picture outside the image folder {folder} ({name}): set "
                "data.source.images=FOLDER to the folder that holds them all"
            )
    return [str(folder / name) if name else None for name in files]

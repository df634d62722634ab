"""What sources share: a root that must exist, and pictures that lie in a folder."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from crossrec.types import InputError

PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp")
"""Recognised picture files, the preferred first where an item has several."""


class SourceError(InputError):
    """Files that a source can't use; the message names the file or column and the config key to set."""


def require_root(root: Path | None, source: str) -> Path:
    """The data root, if it is an existing folder.

    Raises:
        SourceError: no root is configured, or it is not a folder.
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


@contextmanager
def text_lines(path: Path, way_out: str) -> Iterator[TextIO]:
    """A UTF-8 file, with or without a byte order mark, to be read line by line inside the block.

    Args:
        path: the file.
        way_out: what to set to read another, for the message.

    Raises:
        SourceError: the file is in another encoding.
    """
    try:
        with path.open(encoding="utf-8-sig") as handle:
            yield handle
    except UnicodeDecodeError as error:
        raise SourceError(f"{path} is not in UTF-8 ({error}): convert it, or set {way_out}") from error


def nearest(word: str, valid: Sequence[str]) -> str:
    """A hint that names the closest valid word, and all of them."""
    close = difflib.get_close_matches(word.lower(), [name.lower() for name in valid], n=1, cutoff=0.5)
    found = next((name for name in valid if close and name.lower() == close[0]), None)
    return (f"did you mean '{found}'? " if found else "") + f"It has: {', '.join(valid) or 'nothing'}"


def pictures_in(folder: Path) -> dict[str, str]:
    """Path of the picture of each file stem in a folder; the folder is listed once.

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

"""Checksums beside kept files, so that a byte that changed on disk is found before it changes a result.

CRC-32 finds every change of up to 32 neighbouring bits and reads about 2 GB a second. It guards against
damage, not against somebody who means harm.
"""

from __future__ import annotations

import json
import zlib
from pathlib import Path

from crossrec.runtime.files import write_text

CHECKSUMS = "checksums.json"
"""Of all files of a folder."""

_SUFFIX = ".crc32"
_CHUNK = 1 << 22


def crc32_of(path: Path) -> str:
    """CRC-32 of a file's bytes, eight hexadecimal digits."""
    found = 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            found = zlib.crc32(chunk, found)
    return f"{found:08x}"


def write_checksum(path: Path) -> None:
    """Writes a file's checksum beside it."""
    write_text(_beside(path), f"{crc32_of(path)}\n")


def is_sound(path: Path) -> bool:
    """Whether a file is there and is what :func:`write_checksum` saw; false without a checksum."""
    beside = _beside(path)
    if not (path.exists() and beside.exists()):
        return False
    return beside.read_text(encoding="utf-8", errors="replace").strip() == crc32_of(path)


def has_checksum(path: Path) -> bool:
    """Whether a checksum of a file was kept."""
    return _beside(path).exists()


def write_checksums(folder: Path, names: tuple[str, ...] | None = None) -> None:
    """Writes the checksums of a folder's files.

    Args:
        folder: of the files.
        names: of those that are there; all, in folders below too, when None.
    """
    if names is None:
        files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != CHECKSUMS)
    else:
        files = [folder / name for name in names if (folder / name).is_file()]
    sums = {path.relative_to(folder).as_posix(): crc32_of(path) for path in files}
    write_text(folder / CHECKSUMS, json.dumps(sums, indent=2) + "\n")


def damage(folder: Path, names: tuple[str, ...] | None = None) -> str | None:
    """The fault of a folder's files, as a clause; None where they are as when checksums were written.

    Args:
        folder: of the files; one without checksums counts as sound, since nothing is known of it.
        names: only these; all when None.
    """
    path = folder / CHECKSUMS
    if not path.exists():
        return None
    try:
        sums = dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError):
        return f"{path} can't be read"
    for name in sums if names is None else [name for name in names if name in sums]:
        if not (folder / name).is_file():
            return f"{folder / name} is missing"
        if crc32_of(folder / name) != sums[name]:
            return f"{folder / name} is damaged: its bytes have changed since it was written"
    return None


def _beside(path: Path) -> Path:
    return path.with_name(path.name + _SUFFIX)

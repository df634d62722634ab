"""Files: atomic writes, checksums, and locks that end with the process.

CRC-32 detects every change of up to 32 neighbouring bits and reads about 2 GB per second. It detects damage,
not attacks.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary name beside ``path``, renamed to ``path`` when the block ends without error.

    It works for files and, if ``path`` does not exist yet, for folders. After an error the temporary file is
    removed and ``path`` is unchanged.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{uuid4().hex[:8]}.tmp")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary)
        else:
            temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text under a temporary name, then rename."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL}
"""Errors of file systems without locks."""


def lock(file: int, *, wait: bool) -> bool | None:
    """Take the lock of an open file; the operating system releases it when the file or the process ends.

    Args:
        file: descriptor of the file.
        wait: whether to wait until another process has released it.

    Returns:
        Whether it was taken; None where the file system, or the operating system, has no locks.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno in NO_LOCKS:
            return None
        raise
    return True


_held: set[int] = set()


def _forget_held() -> None:
    for file in _held:
        os.close(file)
    _held.clear()


if hasattr(os, "register_at_fork"):
    # A worker that outlives a killed process would keep its locks.
    os.register_at_fork(after_in_child=_forget_held)


def held_lock(path: Path) -> tuple[int, bool | None]:
    """Open a lock file, creating it if needed, and try to take its lock.

    Returns:
        The descriptor, for :func:`release_lock`, and the result of :func:`lock`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            taken = lock(file, wait=False)
            # The former holder may have removed the file in between: then this lock is on a removed file.
            if not taken or _same_file(file, path):
                _held.add(file)
                return file, taken
        except BaseException:
            os.close(file)
            raise
        os.close(file)


def release_lock(file: int, path: Path | None = None) -> None:
    """Close what :func:`held_lock` opened; remove the lock file if this process holds it."""
    if path is not None:
        path.unlink(missing_ok=True)
    _held.discard(file)
    os.close(file)


def _same_file(file: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file), path.stat())
    except FileNotFoundError:
        return False


CHECKSUMS = "checksums.json"
"""Name of the file with the checksums of a folder's files."""


_SUFFIX = ".crc32"


_CHUNK = 1 << 22


def crc32_of(path: Path) -> str:
    """Return the CRC-32 of a file's bytes, eight hexadecimal digits."""
    found = 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            found = zlib.crc32(chunk, found)
    return f"{found:08x}"


def write_checksum(path: Path) -> None:
    """Write a file's checksum beside it."""
    write_text(_beside(path), f"{crc32_of(path)}\n")


def is_sound(path: Path) -> bool:
    """Return whether a file is unchanged since :func:`write_checksum`; false if either is missing."""
    beside = _beside(path)
    if not (path.exists() and beside.exists()):
        return False
    return beside.read_text(encoding="utf-8", errors="replace").strip() == crc32_of(path)


def has_checksum(path: Path) -> bool:
    """Return whether a file has a stored checksum."""
    return _beside(path).exists()


def write_checksums(folder: Path, names: tuple[str, ...] | None = None) -> None:
    """Write the checksums of a folder's files.

    Args:
        folder: folder of the files.
        names: file names, of which missing ones are skipped; all files, including subfolders, when None.
    """
    if names is None:
        files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != CHECKSUMS)
    else:
        files = [folder / name for name in names if (folder / name).is_file()]
    sums = {path.relative_to(folder).as_posix(): crc32_of(path) for path in files}
    write_text(folder / CHECKSUMS, json.dumps(sums, indent=2) + "\n")


def damage(folder: Path, names: tuple[str, ...] | None = None) -> str | None:
    """Return the fault of a folder's files, as a clause; None if they are unchanged since their checksums.

    Args:
        folder: folder of the files; one without checksums counts as sound.
        names: files to check; all when None.
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

"""Writing files so that a reader never sees half of one, and locks that end with the process."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yields a temporary name beside ``path``; renamed to ``path`` when the block ends well.

    Works for files and, where ``path`` does not exist yet, for folders. After an error the
    temporary file is removed and ``path`` is as it was.
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
    """Writes UTF-8 text to a temporary name, then renames."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL}
"""Errors of file systems without locks."""


def lock(file: int, *, wait: bool) -> bool | None:
    """Takes the lock of an open file; the operating system releases it when the file or the process ends.

    Args:
        file: descriptor.
        wait: until another process has released it.

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
    # A worker that outlives a killed process would hold its locks on.
    os.register_at_fork(after_in_child=_forget_held)


def held_lock(path: Path) -> tuple[int, bool | None]:
    """Opens a lock file, which is made where it does not exist, and tries to take its lock.

    Returns:
        The descriptor, for :func:`release_lock`; and what :func:`lock` gives.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            taken = lock(file, wait=False)
            # Whoever held it may have removed the file in between: then this lock is of a file that is gone.
            if not taken or _same_file(file, path):
                _held.add(file)
                return file, taken
        except BaseException:
            os.close(file)
            raise
        os.close(file)


def release_lock(file: int, path: Path | None = None) -> None:
    """Closes what :func:`held_lock` opened; removes the lock file where this process holds it."""
    if path is not None:
        path.unlink(missing_ok=True)
    _held.discard(file)
    os.close(file)


def _same_file(file: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file), path.stat())
    except FileNotFoundError:
        return False

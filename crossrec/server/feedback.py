"""Feedback log: one line of JSON per thumb."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock
from typing import Any

from crossrec.runtime.files import lock
from crossrec.server.errors import NotKept
from crossrec.types import InputError

TAIL = 1 << 20
"""Bytes at the end of the file that are searched for a truncated line."""


class FeedbackLog:
    """JSONL file of feedback: an entry is a whole line on the disk, or :meth:`append` fails.

    Several servers may share the file where the file system has locks.

    Args:
        path: path of the file; it is created with the first thumb, and existing lines stay.

    Raises:
        InputError: if the folder isn't writable.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = Lock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.open("ab").close()
        except OSError as error:
            raise InputError(
                f"{path}: the feedback log can't be written ({error}); choose another"
            ) from error

    def append(self, entry: dict[str, Any]) -> None:
        """Write an entry with the time, in seconds since 1970, as ``timestamp``.

        Raises:
            NotKept: if the line could not be written, such as on a full disk; no part of it stays.
        """
        line = json.dumps({"timestamp": round(time.time(), 3), **entry}, ensure_ascii=False) + "\n"
        with self._lock:
            try:
                with self._opened() as file:
                    start = _end_of_whole_lines(file)
                    try:
                        _write_all(file, line.encode("utf-8"))
                        os.fsync(file)
                    except OSError:
                        with suppress(OSError):  # the next append removes the rest
                            os.ftruncate(file, start)
                        raise
            except OSError as error:
                raise NotKept(f"the feedback could not be stored: {error.strerror or error}") from error

    @contextmanager
    def _opened(self) -> Iterator[int]:
        file = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            lock(file, wait=True)
            yield file
        finally:
            os.close(file)


def _end_of_whole_lines(file: int) -> int:
    """Repair a truncated last line (remove it, or end it if it is whole JSON), and return the file's size."""
    size = os.fstat(file).st_size
    tail = os.pread(file, TAIL, max(size - TAIL, 0))
    broken = tail[tail.rfind(b"\n") + 1 :]
    if not broken:
        return size
    try:
        json.loads(broken)
    except ValueError:
        if len(broken) < TAIL:
            os.ftruncate(file, size - len(broken))
            return size - len(broken)
    _write_all(file, b"\n")
    return size + 1


def _write_all(file: int, content: bytes) -> None:
    """Write everything or raise: a nearly full disk accepts only a part."""
    while content:
        content = content[os.write(file, content) :]

"""The feedback log: a line of JSON a thumb."""

from __future__ import annotations

import json
import time
from pathlib import Path
from threading import Lock
from typing import Any

from crossrec.types import InputError


class FeedbackLog:
    """Appends to a JSONL file; every line is written whole.

    Args:
        path: of the file; it is made with the first thumb, and what it holds already stays.

    Raises:
        InputError: the folder can't be written to.
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
        """Writes an entry with the time, in seconds since 1970, as ``timestamp``."""
        line = json.dumps({"timestamp": round(time.time(), 3), **entry}, ensure_ascii=False) + "\n"
        # One write in append mode: lines of several servers on one file don't mix either.
        with self._lock, self.path.open("ab", buffering=0) as file:
            file.write(line.encode("utf-8"))

"""What a model made of sentences, on disk, so that nothing is made twice."""

from __future__ import annotations

import hashlib
import json
import logging
from pathlib import Path
from typing import Any

from crossrec.runtime.files import write_text

logger = logging.getLogger(__name__)

_SUFFIX = ".jsonl"


def content_digest(*parts: Any) -> str:
    """A key of plain values; the same in every process and run."""
    text = json.dumps(parts, ensure_ascii=False, sort_keys=True)
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


class RecordStore:
    """Values by key in JSON lines, one file a finished block of work.

    A file appears when it is whole, so a killed run goes on where it stopped, and processes that share the
    folder never write the same file.

    Args:
        folder: made when the first block is written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._read: set[str] = set()
        self._values: dict[str, Any] = {}

    def values(self) -> dict[str, Any]:
        """All values; files that other processes or runs wrote are read."""
        for path in sorted(self.folder.glob(f"*{_SUFFIX}")):
            if path.name not in self._read:
                self._read.add(path.name)
                self._values.update(_records(path))
        return self._values

    def write(self, values: dict[str, Any]) -> None:
        """Adds a block of values."""
        lines = [
            json.dumps({"key": key, "value": value, "digest": content_digest(key, value)}, ensure_ascii=False)
            for key, value in values.items()
        ]
        name = content_digest(sorted(values)) + _SUFFIX
        write_text(self.folder / name, "\n".join(lines) + "\n")
        self._read.add(name)
        self._values.update(values)


def _records(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    faults = []
    # Not splitlines(): JSON lets other line ends, such as U+2028, stand in a text.
    lines = path.read_text(encoding="utf-8", errors="replace").removesuffix("\n").split("\n")
    for number, line in enumerate(lines, start=1):
        try:
            record = json.loads(line)
            if record["digest"] != content_digest(record["key"], record["value"]):
                raise ValueError("its bytes have changed")
            found[record["key"]] = record["value"]
        except (ValueError, KeyError, TypeError) as error:
            faults.append(f"line {number} ({type(error).__name__}: {error})")
    if faults:
        logger.warning(
            "%s: %d lines are damaged or have no digest and are made again, such as %s",
            path,
            len(faults),
            faults[0],
        )
    return found

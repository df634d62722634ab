"""The log of a training, a JSON line an entry."""

from __future__ import annotations

import json
from pathlib import Path

from crossrec.runtime.files import write_text

Line = dict[str, float | str]


class LoopLog:
    """Lines up to the state that a training resumes from; what a killed one logged after it is dropped.

    Args:
        path: of the file.
        step: from which the training goes on.
    """

    def __init__(self, path: Path, step: int) -> None:
        self.path = path
        found = path.read_text(encoding="utf-8").splitlines() if path.exists() and step else []
        self.lines: list[Line] = [line for line in map(json.loads, found) if line["step"] <= step]

    def add(self, line: Line) -> None:
        """Keeps a line until the next :meth:`flush`."""
        self.lines.append({k: round(v, 6) if isinstance(v, float) else v for k, v in line.items()})

    def flush(self) -> None:
        """Writes all lines; before the state is saved, so that the file is never behind it."""
        write_text(self.path, "".join(json.dumps(line) + "\n" for line in self.lines))

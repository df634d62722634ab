"""Measured points on disk, so that a killed study goes on where it was."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from crossrec.runtime.checksums import has_checksum, is_sound, write_checksum
from crossrec.runtime.files import atomic_path

logger = logging.getLogger(__name__)

POINTS_FILE = "points.parquet"
KEY = "key"


class PointStore:
    """Rows of measured points, each under a key that says all it was made from.

    The file is written anew, at once, after every point. Rows of an older configuration stay until
    :meth:`keep_only`.

    Args:
        folder: of the study.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / POINTS_FILE
        rows = pl.read_parquet(self.path).to_dicts() if is_sound(self.path) else []
        if self.path.exists() and not rows:
            why = "is damaged" if has_checksum(self.path) else "has no checksum"
            logger.warning("%s %s: its points are measured again", self.path, why)
        self._rows: dict[str, dict[str, Any]] = {row[KEY]: row for row in rows}

    def get(self, key: str) -> dict[str, Any] | None:
        """The row of a key, None where it is not there yet."""
        return self._rows.get(key)

    def add(self, key: str, row: Mapping[str, Any]) -> None:
        """Adds a row and writes the file."""
        self._rows[key] = {KEY: key, **row}
        self._write()

    def keep_only(self, keys: set[str]) -> None:
        """Drops every other row."""
        self._rows = {key: row for key, row in self._rows.items() if key in keys}
        self._write()

    def _write(self) -> None:
        frame = pl.DataFrame(list(self._rows.values()), infer_schema_length=None)
        with atomic_path(self.path) as temporary:
            frame.write_parquet(temporary)
        write_checksum(self.path)


def key_of(content: Mapping[str, Any]) -> str:
    """A short name of what a point was made from; the same content always has the same."""
    text = json.dumps(content, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

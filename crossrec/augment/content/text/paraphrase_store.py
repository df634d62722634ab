"""Stored drafts and similarities of paraphrases, so that nothing is computed twice."""

from __future__ import annotations

import hashlib
import json
import logging
from pathlib import Path
from typing import Any

import numpy as np

from crossrec.augment.content.text.base import Encode
from crossrec.runtime import distributed
from crossrec.runtime.files import write_text
from crossrec.vectors import unit_rows

logger = logging.getLogger(__name__)
_SUFFIX = ".jsonl"


def content_digest(*parts: Any) -> str:
    """Return a key of plain values, the same in every process and run."""
    text = json.dumps(parts, ensure_ascii=False, sort_keys=True)
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


class RecordStore:
    """Key-value store in JSON lines, one file per finished block of work.

    A file appears when it is complete, so a killed run resumes, and processes that share the folder never
    write the same file.

    Args:
        folder: folder of the files, created with the first block.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._read: set[str] = set()
        self._values: dict[str, Any] = {}

    def values(self) -> dict[str, Any]:
        """Return all values, including those that other processes or runs wrote."""
        for path in sorted(self.folder.glob(f"*{_SUFFIX}")):
            if path.name not in self._read:
                self._read.add(path.name)
                self._values.update(_records(path))
        return self._values

    def write(self, values: dict[str, Any]) -> None:
        """Add a block of values."""
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
    # Not splitlines(): JSON allows other line ends, such as U+2028, in a text.
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


_PROBE = "A short sentence by which encoders are told apart."
_PROBE_DECIMALS = 2
_BLOCK = 256


class Similarities:
    """Cosine similarities of an encoder's vectors, stored on disk.

    The encoder is a plain function, so the keys identify it by its vector of a fixed sentence.

    Args:
        encode: texts to (n, D) vectors.
        store: store of measured pairs.
    """

    def __init__(self, encode: Encode, store: RecordStore) -> None:
        self.encode, self.store = encode, store
        self._identity: str | None = None

    def of(self, pairs: list[tuple[str, str]]) -> dict[tuple[str, str], float]:
        """Return the cosine of each pair, 0 for zero vectors. Every process must call this."""
        keys = {pair: self._key(*pair) for pair in dict.fromkeys(pairs)}
        known, wanted = self.store.values(), list(keys)
        # Blocks are cut before known pairs are left out: processes that read the store at other times, while
        # one has begun to write, must still divide the pairs alike.
        blocks = [wanted[start : start + _BLOCK] for start in range(0, len(wanted), _BLOCK)]
        for block in blocks[distributed.rank() :: distributed.world_size()]:
            unknown = [pair for pair in block if keys[pair] not in known]
            if unknown:
                cosines = self._measure(unknown)
                self.store.write({keys[pair]: cosine for pair, cosine in zip(unknown, cosines, strict=True)})
        distributed.barrier()
        known = self.store.values()
        return {pair: known[key] for pair, key in keys.items()}

    def _measure(self, pairs: list[tuple[str, str]]) -> list[float]:
        texts = list(dict.fromkeys(text for pair in pairs for text in pair))
        vectors = np.asarray(self.encode(texts), dtype=np.float64)
        unit = dict(zip(texts, unit_rows(vectors), strict=True))
        return [round(float(unit[one] @ unit[other]), 6) for one, other in pairs]

    def _key(self, one: str, other: str) -> str:
        if self._identity is None:
            vector = np.asarray(self.encode([_PROBE]), dtype=np.float64)[0]
            size = np.linalg.norm(vector) or 1.0
            self._identity = content_digest([round(float(x), _PROBE_DECIMALS) + 0.0 for x in vector / size])
        return content_digest(self._identity, one, other)

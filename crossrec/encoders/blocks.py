"""Feature blocks on disk: each written once, whole or not at all, and found again by content key."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from crossrec.runtime.files import atomic_path
from crossrec.types import InputError

logger = logging.getLogger(__name__)


class BlockStore:
    """Vectors under content keys, in files that appear by rename when they are complete.

    Args:
        folder: holds one ``.npz`` a block, named by the keys in it.
        width: D.
        dtype: of the stored vectors.
    """

    def __init__(self, folder: Path, width: int, dtype: np.dtype) -> None:
        self.folder, self.width, self.dtype = folder, width, dtype

    def index(self) -> dict[str, tuple[Path, int]]:
        """Block file and row of every key; a damaged file counts as not there."""
        found: dict[str, tuple[Path, int]] = {}
        for path in sorted(self.folder.glob("*.npz")):
            for row, key in enumerate(self._keys(path)):
                found.setdefault(key, (path, row))
        return found

    def write(self, keys: list[str], vectors_BD: np.ndarray) -> None:
        """Stores a block; survives a power cut once this returns.

        Raises:
            ValueError: the vectors have another shape, or don't fit the dtype.
        """
        if vectors_BD.shape != (len(keys), self.width):
            raise ValueError(f"expected ({len(keys)}, {self.width}) vectors, got {vectors_BD.shape}")
        with np.errstate(over="ignore"):
            stored_BD = vectors_BD.astype(self.dtype)
        finite_B = np.isfinite(stored_BD).all(axis=1)
        if not finite_B.all():
            raise ValueError(
                f"{(~finite_B).sum()} of {len(keys)} vectors are not finite as {self.dtype}; "
                "use float32 features, or look at the encoder's weights"
            )
        name = hashlib.blake2b("".join(keys).encode(), digest_size=16).hexdigest()
        with atomic_path(self.folder / f"{name}.npz") as temporary, temporary.open("wb") as file:
            np.savez(file, keys=np.asarray(keys, dtype="S32"), vectors=stored_BD)
            file.flush()
            os.fsync(file.fileno())

    def copy_into(
        self, target_ND: np.ndarray, rows: Iterable[int], places: Iterable[tuple[Path, int]]
    ) -> None:
        """Copies vectors block by block, so that no more than one block is in memory.

        Raises:
            InputError: a block is damaged; it is removed.
        """
        by_file: dict[Path, list[tuple[int, int]]] = {}
        for row, (path, place) in zip(rows, places, strict=True):
            by_file.setdefault(path, []).append((row, place))
        for path, pairs in by_file.items():
            target_rows, block_rows = np.asarray(pairs).T
            try:
                with np.load(path) as block:  # which checks the checksums that the file holds
                    target_ND[target_rows] = block["vectors"][block_rows]
            except Exception as error:  # as in _keys
                path.unlink()
                raise InputError(
                    f"{path}: damaged feature block ({error}); it is removed: start again, and its items are "
                    "computed again"
                ) from error

    def _keys(self, path: Path) -> list[str]:
        try:
            with np.load(path) as block:
                return [key.decode() for key in block["keys"].tolist()]
        except Exception:  # zipfile, numpy and the system raise many classes for a damaged file
            logger.exception("%s: damaged feature block; its items are computed again", path)
            return []

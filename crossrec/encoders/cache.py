"""Cache of a catalogue's features: restartable, shared by processes and memory-mapped."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Literal, TypeVar

import numpy as np

from crossrec.runtime import distributed
from crossrec.runtime.files import atomic_path, has_checksum, is_sound, write_checksum, write_text
from crossrec.runtime.progress import progress_bar
from crossrec.types import InputError

logger = logging.getLogger(__name__)


Raw = TypeVar("Raw")


TOLD = 3
"""Maximum number of unreadable rows that are logged; all are counted."""


@dataclass(frozen=True)
class Features:
    """Encoded features of a catalogue.

    Args:
        vectors_ND: (N, D) memory-mapped, read-only; zeros where not present.
        present_N: (N,) bool, which items have features.
        unreadable: number of rows whose raw input could not be read.
    """

    vectors_ND: np.ndarray
    present_N: np.ndarray
    unreadable: list[int]


def content_key(content: bytes | str | Path | None) -> str | None:
    """Return a digest of an item's raw input; None for a missing item.

    A path stands for the bytes in the file. An unreadable file still has a key, so that the item is tried,
    counted and masked rather than treated as missing.
    """
    if content is None:
        return None
    if isinstance(content, Path):
        try:
            return content_key(content.read_bytes())
        except OSError:
            return content_key(f"unreadable file: {content}")
    data = content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def fetch_each(read: Callable[[int], Raw | None]) -> Callable[[np.ndarray], list[Raw | None]]:
    """Return a ``fetch`` function from one that reads a single row; unreadable rows are omitted.

    The first few are logged, each with its reason.

    Args:
        read: function that raises OSError or ValueError (such as ``UnreadablePicture``) for broken input.
    """
    told = 0

    def fetch(rows: np.ndarray) -> list[Raw | None]:
        nonlocal told
        found: list[Raw | None] = []
        for row in rows.tolist():
            try:
                found.append(read(row))
            except (OSError, ValueError) as error:
                told += 1
                level = logging.WARNING if told <= TOLD else logging.DEBUG
                logger.log(level, "item %d can't be read: %s", row, error)
                found.append(None)
        return found

    return fetch


class FeatureCache(Generic[Raw]):
    """Vectors of one encoder on disk, keyed by the encoder's identity and each item's content.

    Work is done in blocks, block i by process ``i % world_size``; a block is a file that appears when it is
    complete, so a killed run resumes. Only changed items of a catalogue are computed again. All processes
    must share the folder.

    Args:
        folder: folder with one subfolder per encoder.
        identity: identity of weights and preprocessing, such as ``encoder.identity``.
        width: D.
        dtype: type of the stored vectors.
        block_size: number of items computed between two writes.
    """

    def __init__(
        self,
        folder: Path,
        identity: str,
        width: int,
        *,
        dtype: Literal["float16", "float32"] = "float16",
        block_size: int = 256,
    ) -> None:
        key = hashlib.blake2b(f"{identity}|{width}|{dtype}".encode(), digest_size=8).hexdigest()
        self.folder, self.identity, self.width = folder / key, identity, width
        self.dtype, self.block_size = np.dtype(dtype), block_size
        self.store = BlockStore(self.folder / "blocks", width, self.dtype)

    def encode_catalog(
        self,
        content_keys: Sequence[bytes | str | None],
        fetch: Callable[[np.ndarray], list[Raw | None]],
        encode: Callable[[list[Raw]], np.ndarray],
        *,
        description: str = "features",
        force_progress: bool = False,
    ) -> Features:
        """Return features of N items, computing those not on disk; every process must call this.

        Args:
            content_keys: N digests of the items' raw input; None for an item without any.
            fetch: function that returns raw inputs of rows, None for an unreadable row (:func:`fetch_each`).
            encode: function from B raw inputs to (B, D) float vectors.
            description: label of the progress bar and in the log.
            force_progress: whether to draw the bar even if stderr is not a terminal.
        """
        keys = [None if key is None else content_key(key) for key in content_keys]
        self._compute(keys, fetch, encode, description, force_progress)
        distributed.barrier()
        index = self.store.index()
        present_N = np.asarray([key in index for key in keys], dtype=bool)
        unreadable = [row for row, key in enumerate(keys) if key is not None and not present_N[row]]
        if unreadable and distributed.is_main():
            logger.warning(
                "%s: %d of %d items can't be read and are masked, such as row %d",
                description,
                len(unreadable),
                len(keys) - keys.count(None),
                unreadable[0],
            )
        path = self._assembled_path(keys, present_N)
        if distributed.is_main() and not is_sound(path):
            if path.exists():
                why = "is damaged" if has_checksum(path) else "has no checksum"
                logger.warning("%s: %s %s and is made again", description, path, why)
            self._assemble(path, keys, present_N, index)
            write_checksum(path)
        distributed.barrier()
        return Features(np.load(path, mmap_mode="r"), present_N, unreadable)

    def _compute(
        self,
        keys: list[str | None],
        fetch: Callable[[np.ndarray], list[Raw | None]],
        encode: Callable[[list[Raw]], np.ndarray],
        description: str,
        force_progress: bool,
    ) -> None:
        """Compute this process's missing blocks; equal inputs are computed once."""
        first_row: dict[str, int] = {}
        for row, key in enumerate(keys):
            if key is not None:
                first_row.setdefault(key, row)
        done = self.store.index()
        # Blocks are cut before finished keys are dropped: the same batches in a resumed and an unbroken run.
        ordered = list(first_row)
        blocks = [ordered[i : i + self.block_size] for i in range(0, len(ordered), self.block_size)]
        mine = blocks[distributed.rank() :: distributed.world_size()]
        todo = [left for block in mine if (left := [key for key in block if key not in done])]
        if not todo:
            return
        write_text(self.folder / f"identity.{distributed.rank()}.txt", self.identity + "\n")
        with progress_bar(description, sum(map(len, todo)), force=force_progress) as advance:
            for block in todo:
                raws = fetch(np.asarray([first_row[key] for key in block]))
                readable = [(key, raw) for key, raw in zip(block, raws, strict=True) if raw is not None]
                if readable:
                    self.store.write([key for key, _ in readable], encode([raw for _, raw in readable]))
                advance(len(block))

    def _assembled_path(self, keys: list[str | None], present_N: np.ndarray) -> Path:
        listing = "\n".join(key or "" for key in keys).encode() + present_N.tobytes()
        return self.folder / f"catalog-{hashlib.blake2b(listing, digest_size=16).hexdigest()}.npy"

    def _assemble(
        self, path: Path, keys: list[str | None], present_N: np.ndarray, index: dict[str, tuple[Path, int]]
    ) -> None:
        rows = np.flatnonzero(present_N).tolist()
        with atomic_path(path) as temporary:
            vectors_ND = np.lib.format.open_memmap(
                temporary, mode="w+", dtype=self.dtype, shape=(len(keys), self.width)
            )
            self.store.copy_into(vectors_ND, rows, [index[key] for row in rows if (key := keys[row])])
            vectors_ND.flush()


class BlockStore:
    """Store of vectors by content key, in files that appear by rename when they are complete.

    Args:
        folder: folder with one ``.npz`` per block, named by its keys.
        width: D.
        dtype: type of the stored vectors.
    """

    def __init__(self, folder: Path, width: int, dtype: np.dtype) -> None:
        self.folder, self.width, self.dtype = folder, width, dtype

    def index(self) -> dict[str, tuple[Path, int]]:
        """Return block file and row of every key; damaged files are ignored."""
        found: dict[str, tuple[Path, int]] = {}
        for path in sorted(self.folder.glob("*.npz")):
            for row, key in enumerate(self._keys(path)):
                found.setdefault(key, (path, row))
        return found

    def write(self, keys: list[str], vectors_BD: np.ndarray) -> None:
        """Store a block durably.

        Raises:
            ValueError: if the vectors have another shape, or don't fit the dtype.
        """
        if vectors_BD.shape != (len(keys), self.width):
            raise ValueError(f"expected ({len(keys)}, {self.width}) vectors, got {vectors_BD.shape}")
        with np.errstate(over="ignore"):
            stored_BD = vectors_BD.astype(self.dtype)
        finite_B = np.isfinite(stored_BD).all(axis=1)
        if not finite_B.all():
            raise ValueError(
                f"{(~finite_B).sum()} of {len(keys)} vectors are not finite as {self.dtype}; "
                "use float32 features, or check the encoder's weights"
            )
        name = hashlib.blake2b("".join(keys).encode(), digest_size=16).hexdigest()
        with atomic_path(self.folder / f"{name}.npz") as temporary, temporary.open("wb") as file:
            np.savez(file, keys=np.asarray(keys, dtype="S32"), vectors=stored_BD)
            file.flush()
            os.fsync(file.fileno())

    def copy_into(
        self, target_ND: np.ndarray, rows: Iterable[int], places: Iterable[tuple[Path, int]]
    ) -> None:
        """Copy vectors block by block, so that no more than one block is in memory.

        Raises:
            InputError: if a block is damaged; it is removed.
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

"""A teacher's lists after every prefix of the training histories, computed once and kept on disk."""

from __future__ import annotations

import hashlib
import logging
import os
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch

from crossrec.losses.distillation import SoftTargets
from crossrec.runtime import distributed
from crossrec.runtime.files import write_text
from crossrec.runtime.progress import progress_bar
from crossrec.types import ABSENT, Recommender, Sequences

logger = logging.getLogger(__name__)

BLOCK = 4096
"""Training clicks computed between two writes."""
HISTORY_CLICKS = 1 << 20
"""Clicks of histories held at once, unless one history has more."""
LOWEST = -60_000.0
"""Lowest difference of two scores of a list that is kept; float16 ends at 65,504."""
FORMAT = "1"
LISTS, DONE = "lists.bin", "done"


class TeacherLists:
    """A teacher's best items for every training click, from the user's clicks before it.

    Each list is that of the history before one click, so that it depends on training clicks alone and on
    none that comes later. A user's first click has no list. Scores are kept relative to the best of their
    list, as float16; a click takes 6 bytes per item of its list. Work is done in blocks, block i by process
    ``i % world_size``; a block counts once its checksum is written, so that a killed run resumes, and a
    damaged block is computed again. All processes must share the folder.

    Args:
        folder: folder of the lists; another teacher, or other clicks, need another one.
        train: training clicks, one row per user.
        k: length of the lists.
        exclude_seen: whether lists omit the items of their history.
    """

    def __init__(self, folder: Path, train: Sequences, k: int, *, exclude_seen: bool) -> None:
        self.folder, self.train, self.k, self.exclude_seen = folder, train, k, exclude_seen
        self._dtype = np.dtype([("ids", "<i4", (k,)), ("scores", "<f2", (k,))])
        self._lists: np.ndarray | None = None

    @property
    def n_clicks(self) -> int:
        """Number of training clicks."""
        return len(self.train.items)

    def compute(self, open_teacher: Callable[[], Recommender], *, force_progress: bool = False) -> None:
        """Compute the blocks that are missing; every process must call this.

        Args:
            open_teacher: function that returns the teacher; called only if a block is missing.
            force_progress: whether to draw a progress bar even if stderr is not a terminal.
        """
        blocks = range(-(-self.n_clicks // BLOCK))
        if distributed.is_main():
            self._allocate()
        distributed.barrier()
        # The main process decides for all.
        missing = distributed.gather_objects([b for b in blocks if not self._is_done(b)])[0]
        if missing:
            teacher = open_teacher()
            # Vectors of items are computed by all processes together, on the first call.
            teacher.recommend(self.train.take(np.arange(1), np.ones(1, np.int64)), 1)
            mine = missing[distributed.rank() :: distributed.world_size()]
            if distributed.is_main():
                logger.info("teacher's lists: %d of %d blocks are missing", len(missing), len(blocks))
            total = sum(len(self._clicks(block)) for block in mine)
            with progress_bar("teacher's lists", total, force=force_progress) as advance:
                for block in mine:
                    self._compute(block, teacher)
                    advance(len(self._clicks(block)))
        distributed.barrier()
        self._lists = np.memmap(self.folder / LISTS, self._dtype, mode="r", shape=(self.n_clicks,))

    def take(self, clicks_T: np.ndarray) -> SoftTargets:
        """Return the lists of some training clicks.

        Args:
            clicks_T: (T,) positions of the clicks in ``train.items``; ``ABSENT`` for a click that is not of
                the log, which has no list.
        """
        if self._lists is None:
            raise RuntimeError("the lists have not been computed: call compute() first")
        found = self._lists[np.maximum(clicks_T, 0)]
        ids_TK, scores_TK = found["ids"].astype(np.int64), found["scores"].astype(np.float32)
        ids_TK[clicks_T < 0], scores_TK[clicks_T < 0] = ABSENT, -np.inf
        return SoftTargets(torch.from_numpy(ids_TK), torch.from_numpy(scores_TK))

    def _clicks(self, block: int) -> range:
        return range(block * BLOCK, min((block + 1) * BLOCK, self.n_clicks))

    def _allocate(self) -> None:
        """Create the file of all lists, sparse where a block is missing."""
        path, size = self.folder / LISTS, self.n_clicks * self._dtype.itemsize
        self.folder.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.stat().st_size != size:
            with path.open("wb") as file:
                file.truncate(size)

    def _marker(self, block: int) -> Path:
        return self.folder / DONE / f"{block:06d}"

    def _is_done(self, block: int) -> bool:
        """Return whether a block is stored and undamaged."""
        marker = self._marker(block)
        if not marker.exists():
            return False
        clicks = self._clicks(block)
        with (self.folder / LISTS).open("rb") as file:
            file.seek(clicks.start * self._dtype.itemsize)
            stored = file.read(len(clicks) * self._dtype.itemsize)
        sound = marker.read_text(encoding="utf-8", errors="replace") == _checksum(stored)
        if not sound:
            logger.warning("%s: block %d is damaged and is computed again", self.folder / LISTS, block)
        return sound

    def _compute(self, block: int, teacher: Recommender) -> None:
        clicks = self._clicks(block)
        lists = np.zeros(len(clicks), self._dtype)
        lists["ids"], lists["scores"] = ABSENT, -np.inf
        row_of_click = np.searchsorted(self.train.offsets, np.asarray(clicks), "right") - 1
        lengths = np.asarray(clicks) - np.asarray(self.train.offsets)[row_of_click]
        for some in _portions(lengths):
            histories = self.train.take(row_of_click[some], lengths[some])
            found = teacher.recommend(histories, self.k, histories if self.exclude_seen else None)
            best = np.where(np.isfinite(found.scores), found.scores, -np.inf).max(1, keepdims=True)
            relative = found.scores - np.where(np.isfinite(best), best, 0)
            listed = (found.ids != ABSENT) & np.isfinite(relative)
            lists["ids"][some, : found.ids.shape[1]] = np.where(listed, found.ids, ABSENT)
            lists["scores"][some, : found.ids.shape[1]] = np.where(
                listed, np.maximum(relative, LOWEST), -np.inf
            )
        content = lists.tobytes()
        with (self.folder / LISTS).open("r+b") as file:
            file.seek(clicks.start * self._dtype.itemsize)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        write_text(self._marker(block), _checksum(content))


def _portions(lengths: np.ndarray) -> Iterator[np.ndarray]:
    """Divide the histories that have clicks into portions of bounded length."""
    rows = np.flatnonzero(lengths)
    portion = np.cumsum(lengths[rows]) // HISTORY_CLICKS
    for number in np.unique(portion):
        yield rows[portion == number]


def _checksum(content: bytes) -> str:
    return f"{zlib.crc32(content):08x}"


def lists_key(teacher: str, train: Sequences, k: int, *, exclude_seen: bool) -> str:
    """Return a digest of all inputs of a teacher's lists, to name their folder.

    Args:
        teacher: digest of the teacher's weights and of the items in their order.
        train: training clicks; their order matters, as lists are stored by click.
        k: length of the lists.
        exclude_seen: whether lists omit the items of their history.
    """
    digest = hashlib.blake2b(f"{FORMAT}|{teacher}|{k}|{exclude_seen}".encode(), digest_size=12)
    for array in (train.offsets, train.items, train.times):
        digest.update(b"|" if array is None else np.ascontiguousarray(array, np.int64).tobytes())
    return digest.hexdigest()

"""Shared types, and the legend of shapes.

Shape suffixes, used on names everywhere:

    B  batch (users or histories)      L  sequence length
    M  modalities                      D  width of a vector
    N  items in the catalogue          K  candidates, or length of a list
    Q  queries of an evaluation        U  users            T  clicks
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Protocol, Self, runtime_checkable

import numpy as np

if TYPE_CHECKING:
    import torch
    from scipy.sparse import csr_matrix

ABSENT = -1
"""Item index that fills short lists."""


class InputError(ValueError):
    """Unusable input of a user; the message names it and the fix.

    The command line prints the message alone, without a traceback.
    """


class ConfigError(InputError):
    """Unusable configuration; the message names the file, the key and the fix."""


@dataclass(frozen=True)
class Sequences:
    """Clicks of many users as CSR arrays, one row per user (or per history), oldest first.

    Args:
        offsets: (B + 1,) int64; row b contains clicks ``offsets[b]:offsets[b + 1]``.
        items: (T,) int32 or int64, catalogue indices.
        times: (T,) int64 seconds, or None where time is not known.
        weights: (T,) float32 weight of each click, above 0; None where every click has weight 1.
    """

    offsets: np.ndarray
    items: np.ndarray
    times: np.ndarray | None = None
    weights: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> np.ndarray:
        """(B,) number of clicks in each row."""
        return np.diff(self.offsets)

    @property
    def row_of_click(self) -> np.ndarray:
        """(T,) row of each click."""
        return np.repeat(np.arange(len(self)), self.lengths)

    @property
    def last_times(self) -> np.ndarray | None:
        """(B,) int64 time of each row's last click, the least int64 for an empty row; None without times."""
        if self.times is None:
            return None
        last_B = np.full(len(self), np.iinfo(np.int64).min)
        filled_B = self.lengths > 0
        last_B[filled_B] = np.asarray(self.times)[np.asarray(self.offsets)[1:][filled_B] - 1]
        return last_B

    def row(self, index: int) -> np.ndarray:
        """Return the items of one row, oldest first."""
        return self.items[self.offsets[index] : self.offsets[index + 1]]

    def contains(self, ids_BK: np.ndarray) -> np.ndarray:
        """Return (B, K) bool, whether each row contains its K items; false for ``ABSENT``.

        The rows' items are sorted on the first call and cached.
        """
        stride, keys = self._sorted_keys
        if not len(keys):
            return np.zeros(ids_BK.shape, dtype=bool)
        wanted_BK = np.arange(len(ids_BK), dtype=np.int64)[:, None] * stride + ids_BK
        place_BK = np.minimum(np.searchsorted(keys, wanted_BK), len(keys) - 1)
        return (keys[place_BK] == wanted_BK) & (ids_BK != ABSENT) & (ids_BK < stride)

    @cached_property
    def _sorted_keys(self) -> tuple[int, np.ndarray]:
        """Row and item as one number, row * stride + item, sorted."""
        stride = int(self.items.max(initial=-1)) + 1
        return stride, np.sort(self.row_of_click * stride + self.items)

    def take(self, rows: np.ndarray, ends: np.ndarray | None = None) -> Sequences:
        """Return rows in the given order, each cut to its first ``ends[i]`` clicks.

        Args:
            rows: (B',) row indices, repeats allowed.
            ends: (B',) clicks to keep of each row; the whole row when None.

        Returns:
            New, contiguous Sequences of B' rows.
        """
        rows = np.asarray(rows, dtype=np.int64)
        starts = np.asarray(self.offsets)[rows]
        lengths = self.lengths[rows] if ends is None else np.minimum(ends, self.lengths[rows])
        return self._gather(starts, lengths)

    def tail(self, max_length: int) -> Sequences:
        """Return each row cut to its last ``max_length`` clicks."""
        lengths = np.minimum(self.lengths, max_length)
        return self._gather(np.asarray(self.offsets)[1:] - lengths, lengths)

    def _gather(self, starts: np.ndarray, lengths: np.ndarray) -> Sequences:
        offsets = np.zeros(len(starts) + 1, dtype=np.int64)
        np.cumsum(lengths, out=offsets[1:])
        positions = np.arange(offsets[-1]) + np.repeat(starts - offsets[:-1], lengths)
        return self.at(positions, offsets)

    def at(self, positions: np.ndarray, offsets: np.ndarray) -> Sequences:
        """Return the clicks at some positions of the flat arrays, with their times and weights, as new rows.

        Args:
            positions: (T',) indices of clicks, or a (T,) bool mask.
            offsets: (B' + 1,) limits of the new rows.
        """
        times, weights = (
            None if values is None else values[positions] for values in (self.times, self.weights)
        )
        return Sequences(offsets, self.items[positions], times, weights)

    @classmethod
    def from_lists(cls, rows: Iterable[Iterable[int]]) -> Sequences:
        """Return sequences without times from lists of catalogue indices."""
        arrays = [np.asarray(list(row), dtype=np.int64) for row in rows]
        offsets = np.zeros(len(arrays) + 1, dtype=np.int64)
        np.cumsum([len(a) for a in arrays], out=offsets[1:])
        items = np.concatenate(arrays) if arrays else np.zeros(0, dtype=np.int64)
        return cls(offsets, items)


@dataclass(frozen=True)
class TopK:
    """Ranked lists, best first.

    Args:
        ids: (B, K) int64 catalogue indices; ``ABSENT`` (-1) after the end of a list.
        scores: (B, K) float32; -inf where absent.
    """

    ids: np.ndarray
    scores: np.ndarray

    def __len__(self) -> int:
        return len(self.ids)


@runtime_checkable
class Recommender(Protocol):
    """Interface of every model, baseline and ensemble. Users are histories: there is no user table."""

    @property
    def n_items(self) -> int:
        """N, items in the catalogue."""
        ...

    def fit(self, train: Sequences) -> Self:
        """Learn from the training clicks, one row per user."""
        ...

    def score(self, histories: Sequences, candidates: np.ndarray | None = None) -> torch.Tensor:
        """Return the scores of items for each history; -inf for an item that must not be recommended.

        Args:
            histories: B rows, oldest click first; a row may be empty.
            candidates: (B, K) catalogue indices; the whole catalogue when None.

        Returns:
            (B, N) float32, or (B, K) for candidates.
        """
        ...

    def recommend(self, histories: Sequences, k: int, exclude: Sequences | None = None) -> TopK:
        """Return the best k items for each history, ties broken by the lower item index.

        Args:
            histories: B rows.
            k: length of the lists.
            exclude: B rows of items that must not appear (seen items, usually ``histories``).
        """
        ...


@dataclass(frozen=True)
class AddedScores:
    """Scores that are added to those of B histories.

    Args:
        sparse_BN: scores of some items of each row.
        item_N: score of each item, for all rows with clicks.
        clicked_B: bool, rows with clicks.
    """

    sparse_BN: csr_matrix
    item_N: np.ndarray
    clicked_B: np.ndarray

    def dense(self, rows: slice = slice(None), items: slice = slice(None)) -> torch.Tensor:
        """Return a part as a matrix, float32, on the CPU."""
        import torch

        part = self.sparse_BN[rows]
        part = (part if items == slice(None) else part[:, items]).toarray()
        return torch.from_numpy(part + self.clicked_B[rows, None] * self.item_N[items])

    def of(self, candidates_BK: np.ndarray) -> torch.Tensor:
        """Return (B, K) float32 scores of candidates, on the CPU."""
        import torch

        rows_B1 = np.arange(len(candidates_BK))[:, None]
        found_BK = np.asarray(self.sparse_BN[rows_B1, candidates_BK].todense(), np.float32)
        return torch.from_numpy(found_BK + self.clicked_B[:, None] * self.item_N[candidates_BK])


@runtime_checkable
class VectorRecommender(Recommender, Protocol):
    """Recommender whose score is the dot product of a query with an item's vector.

    With a method ``added``, the score is the dot product and the :class:`AddedScores` that it returns.
    """

    def item_vectors(self) -> torch.Tensor:
        """Return the (N, D) float32 item vectors."""
        ...

    def queries(self, histories: Sequences) -> torch.Tensor:
        """Return (B, D) float32 queries."""
        ...


def added_scores(recommender: VectorRecommender, histories: Sequences) -> AddedScores | None:
    """Return what a recommender with a method ``added`` adds to the dot products; None for nothing."""
    method = getattr(recommender, "added", None)
    found: AddedScores | None = None if method is None else method(histories)
    return found

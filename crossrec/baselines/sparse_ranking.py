"""Lists straight from sparse scores: what neighbour methods need, without N scores a history."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_matrix

from crossrec.types import ABSENT, Sequences, TopK

_LOW = np.int64((1 << 32) - 1)
CELLS = 1 << 24
"""Most cells of a scratch table: 16 MB for seen items, 128 MB for keys."""


def best_positive(scores_BN: csr_matrix, k: int, exclude: Sequences | None = None) -> TopK:
    """The k largest positive scores of each row, best first, ties broken by the lower index.

    Args:
        scores_BN: what is not stored, or not above 0, is never listed; no index twice in a row.
        k: length of the lists.
        exclude: B rows of items that must not appear.

    Raises:
        ValueError: a score is NaN.
    """
    n_rows, n_items = scores_BN.shape
    lists = TopK(np.full((n_rows, k), ABSENT, np.int64), np.full((n_rows, k), -np.inf, np.float32))
    if np.isnan(scores_BN.data).any():
        raise ValueError("a score is NaN: the clicks' weights hold NaN or infinity")
    keys, starts = _keys(scores_BN), scores_BN.indptr
    for rows in _blocks(n_rows, max(n_items, k)):
        found = keys[starts[rows.start] : starts[rows.stop]]
        local = starts[rows.start : rows.stop + 1] - starts[rows.start]
        if exclude is not None:
            row = np.repeat(np.arange(len(local) - 1), np.diff(local))
            items = scores_BN.indices[starts[rows.start] : starts[rows.stop]]
            found = np.where(_seen(exclude, rows, n_items)[row, items], 0, found)
        _write(lists, rows, _largest(found, local, k))
    return lists


def keep_largest(matrix: csr_matrix, k: int) -> csr_matrix:
    """The matrix with only the k largest positive entries of each row, ties to the lower index."""
    if int(np.diff(matrix.indptr).max(initial=0)) <= k and bool((matrix.data > 0).all()):
        return matrix
    best = best_positive(matrix, k)
    kept = best.ids != ABSENT
    offsets = np.concatenate([[0], np.cumsum(kept.sum(1))])
    return csr_matrix((best.scores[kept], best.ids[kept], offsets), shape=matrix.shape)


def _keys(scores_BN: csr_matrix) -> np.ndarray:
    """One int64 for a positive score and its item, larger for a higher score, then a lower index; else 0."""
    data = np.ascontiguousarray(scores_BN.data, dtype=np.float32)
    keys = (data.view(np.int32).astype(np.int64) << 32) | (_LOW - scores_BN.indices)
    return np.where(data > 0, keys, 0)


def _blocks(n_rows: int, width: int) -> list[slice]:
    """Runs of rows whose tables stay within ``CELLS`` cells."""
    step = max(CELLS // max(width, 1), 1)
    return [slice(first, min(first + step, n_rows)) for first in range(0, n_rows, step)]


def _seen(exclude: Sequences, rows: slice, n_items: int) -> np.ndarray:
    part = exclude.take(np.arange(rows.start, rows.stop))
    if len(part.items) and (part.items.min() < 0 or part.items.max() >= n_items):
        wrong = part.items.min() if part.items.min() < 0 else part.items.max()
        raise ValueError(f"item {wrong} is to be left out, but the catalogue has {n_items} items")
    seen = np.zeros((len(part), n_items), dtype=bool)
    seen[np.repeat(np.arange(len(part)), part.lengths), part.items] = True
    return seen


def _largest(keys: np.ndarray, starts: np.ndarray, k: int) -> np.ndarray:
    """(B, k) the largest keys of each row, descending, 0 where there are fewer.

    Rows differ so much in length that a table of all keys would be mostly padding.
    """
    table = np.zeros((len(starts) - 1, k), np.int64)
    for row, (start, stop) in enumerate(zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True)):
        best = keys[start:stop]
        if stop - start > k:
            best = np.partition(best, stop - start - k)[stop - start - k :]
        table[row, : len(best)] = best
    return np.sort(table, axis=1)[:, ::-1]


def _write(lists: TopK, rows: slice, keys_BK: np.ndarray) -> None:
    found = keys_BK > 0
    lists.ids[rows] = np.where(found, _LOW - (keys_BK & _LOW), ABSENT)
    scores = (keys_BK >> 32).astype(np.int32).view(np.float32)
    lists.scores[rows] = np.where(found, scores, -np.inf)

"""Ranking of sparse scores, for neighbour methods, without N scores per history."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_matrix

from crossrec.runtime.ranking.search import check_excluded
from crossrec.runtime.ranking.selection import top_k
from crossrec.types import ABSENT, InputError, Recommender, Sequences, TopK

MORE_FOUND = 5
"""Factor of the number of items that an index finds by vectors if other scores are added to theirs."""

_LOW = np.int64((1 << 32) - 1)


def best_positive(scores_BN: csr_matrix, k: int, exclude: Sequences | None = None) -> TopK:
    """Return the k largest positive scores of each row, best first, ties broken by the lower index.

    Args:
        scores_BN: scores; entries that are absent or not above 0 are never listed; no index twice in a row.
        k: length of the lists.
        exclude: B rows of items that must not appear.

    Raises:
        ValueError: if a score is NaN, or ``exclude`` doesn't fit the scores.
    """
    n_rows, n_items = scores_BN.shape
    if np.isnan(scores_BN.data).any():
        raise InputError("a score is NaN: the clicks' weights hold NaN or infinity")
    keys, starts = _keys(scores_BN), scores_BN.indptr
    if exclude is not None:
        check_excluded(exclude, n_rows, n_items)
        _drop(keys, scores_BN, exclude)
    return _lists(_largest(keys, starts, k))


def score_found(recommender: Recommender, histories: Sequences, ids_BW: np.ndarray, more: csr_matrix) -> TopK:
    """Rank, by exact scores, items that an index found by vectors and those with the largest added scores.

    Args:
        recommender: recommender with ``score``.
        histories: B rows.
        ids_BW: items that the index found, ``ABSENT`` where it found fewer.
        more: (B, N) scores that are added to the dot products, and that the index does not know.

    Returns:
        (B, 2 W) lists; those of which fewer items were found end in ``ABSENT``.
    """
    both_BC = np.sort(np.concatenate([ids_BW, best_positive(more, ids_BW.shape[1]).ids], axis=1), axis=1)
    both_BC[:, 1:][both_BC[:, 1:] == both_BC[:, :-1]] = ABSENT
    best = top_k(recommender.score(histories, both_BC).cpu(), both_BC.shape[1])
    found_BC = best.ids != ABSENT
    ids_BC = np.where(found_BC, np.take_along_axis(both_BC, np.maximum(best.ids, 0), axis=1), ABSENT)
    return TopK(ids_BC, best.scores)


def keep_largest(matrix: csr_matrix, k: int) -> csr_matrix:
    """Return the matrix with only the k largest positive entries of each row, ties to the lower index."""
    if int(np.diff(matrix.indptr).max(initial=0)) <= k and bool((matrix.data > 0).all()):
        return matrix
    best = best_positive(matrix, k)
    kept = best.ids != ABSENT
    offsets = np.concatenate([[0], np.cumsum(kept.sum(1))])
    return csr_matrix((best.scores[kept], best.ids[kept], offsets), shape=matrix.shape)


def _keys(scores_BN: csr_matrix) -> np.ndarray:
    """Return one int64 per positive score, larger for a higher score, then a lower index; else 0."""
    data = np.ascontiguousarray(scores_BN.data, dtype=np.float32)
    keys = (data.view(np.int32).astype(np.int64) << 32) | (_LOW - scores_BN.indices)
    return np.where(data > 0, keys, 0)


def _drop(keys: np.ndarray, scores_BN: csr_matrix, exclude: Sequences) -> None:
    """Set the keys of excluded items to 0, in time that depends on stored entries, not on N."""
    seen_N = np.zeros(scores_BN.shape[1], dtype=bool)
    starts, items = scores_BN.indptr.tolist(), scores_BN.indices
    for row in range(len(exclude)):
        own, here = exclude.row(row), slice(starts[row], starts[row + 1])
        seen_N[own] = True
        keys[here][seen_N[items[here]]] = 0
        seen_N[own] = False


def _largest(keys: np.ndarray, starts: np.ndarray, k: int) -> np.ndarray:
    """Return the (B, k) largest keys of each row, descending, 0 where there are fewer.

    Rows differ so much in length that a table of all keys would be mostly padding.
    """
    table = np.zeros((len(starts) - 1, k), np.int64)
    for row, (start, stop) in enumerate(zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True)):
        best = keys[start:stop]
        if stop - start > k:
            best = np.partition(best, stop - start - k)[stop - start - k :]
        table[row, : len(best)] = best
    return np.sort(table, axis=1)[:, ::-1]


def _lists(keys_BK: np.ndarray) -> TopK:
    found_BK = keys_BK > 0
    scores_BK = (keys_BK >> 32).astype(np.int32).view(np.float32)
    ids_BK = np.where(found_BK, _LOW - (keys_BK & _LOW), ABSENT)
    return TopK(ids_BK, np.where(found_BK, scores_BK, np.float32(-np.inf)))

"""Nearest neighbours among sparse rows by cosine or Pearson correlation."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.sparse import csr_matrix, vstack

from crossrec.runtime.ranking.sparse import keep_largest

ROWS = 512
"""Number of rows whose similarities to all others are in memory at a time."""


def cosine_neighbours(queries_BF: csr_matrix, rows_MF: csr_matrix, k: int) -> csr_matrix:
    """Return the k nearest rows of each query by cosine, among those that share a feature with it.

    Args:
        queries_BF: non-negative weights of F features.
        rows_MF: non-negative weights of the same features.
        k: neighbours kept for each query; ties to the lower index.

    Returns:
        (B, M) float32 similarities, above 0.
    """
    query_norms, row_norms = _norms(queries_BF), _norms(rows_MF)

    def cosine(dots: np.ndarray, query: np.ndarray, row: np.ndarray) -> np.ndarray:
        return dots / (query_norms[query] * row_norms[row])

    return _nearest(queries_BF, rows_MF, k, cosine)


def pearson_neighbours(queries_BF: csr_matrix, rows_MF: csr_matrix, k: int) -> csr_matrix:
    """Return the k nearest rows of each query by Pearson correlation over all F features, zeros included.

    Only pairs that share a feature can correlate positively, and only positive ones are kept.

    Args:
        queries_BF: non-negative weights of F features.
        rows_MF: non-negative weights of the same features.
        k: neighbours kept for each query; ties to the lower index.

    Returns:
        (B, M) float32 correlations, above 0; a row of one value everywhere has none.
    """
    n_features = queries_BF.shape[1]
    (query_means, query_spreads), (row_means, row_spreads) = _moments(queries_BF), _moments(rows_MF)

    def pearson(dots: np.ndarray, query: np.ndarray, row: np.ndarray) -> np.ndarray:
        covariance = dots / n_features - query_means[query] * row_means[row]
        spread = query_spreads[query] * row_spreads[row]
        return np.divide(covariance, spread, out=np.zeros_like(covariance), where=spread > 0)

    return _nearest(queries_BF, rows_MF, k, pearson)


def _nearest(
    queries_BF: csr_matrix,
    rows_MF: csr_matrix,
    k: int,
    similarity: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray],
) -> csr_matrix:
    """Compute similarities from dot products, block by block, and keep the k largest."""
    rows_FM = rows_MF.T.tocsr().astype(np.float64)
    kept = [csr_matrix((0, rows_MF.shape[0]), dtype=np.float32)]
    for first in range(0, queries_BF.shape[0], ROWS):
        dots_BM = (queries_BF[first : first + ROWS].astype(np.float64) @ rows_FM).tocsr()
        query = first + np.repeat(np.arange(dots_BM.shape[0]), np.diff(dots_BM.indptr))
        data = similarity(dots_BM.data, query, dots_BM.indices).astype(np.float32)
        kept.append(keep_largest(csr_matrix((data, dots_BM.indices, dots_BM.indptr), shape=dots_BM.shape), k))
    return vstack(kept, format="csr", dtype=np.float32)


def _norms(matrix: csr_matrix) -> np.ndarray:
    return np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=1), dtype=np.float64).ravel())


def _moments(matrix: csr_matrix) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation of each row over all columns."""
    means = np.asarray(matrix.mean(axis=1), dtype=np.float64).ravel()
    squares = np.asarray(matrix.multiply(matrix).mean(axis=1), dtype=np.float64).ravel()
    return means, np.sqrt(np.maximum(squares - means**2, 0))

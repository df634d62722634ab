"""Map from content to what users click together, in which codebooks are computed."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_matrix, diags
from scipy.sparse.linalg import svds
from threadpoolctl import threadpool_limits

from crossrec.types import InputError, Sequences
from crossrec.vectors import unit_rows

WIDTH = 64
"""Number of dimensions of the co-clicks."""

RIDGE = 10.0
"""Penalty of the map's squared weights, beside one squared error per item."""


def click_vectors(train: Sequences, n_items: int) -> np.ndarray:
    """Return (N, R) float32 vectors of unit length, close for items that the same users clicked.

    They are the leading right singular vectors of users' clicks, each item's divided by the square root of
    their number, times the singular values; zeros for an item without a click.

    Args:
        train: training clicks.
        n_items: N.

    Raises:
        InputError: if there are fewer than two users or items.
    """
    ones = np.ones(len(train.items))
    # A copy, since the next line sorts in place.
    clicks_UN = csr_matrix((ones, train.items, train.offsets), shape=(len(train), n_items), copy=True)
    clicks_UN.sum_duplicates()
    clicks_UN.data[:] = 1
    counts_N = np.asarray(clicks_UN.sum(0)).ravel()
    scaled_UN = clicks_UN @ diags(1 / np.sqrt(np.maximum(counts_N, 1)))
    width = min(WIDTH, min(scaled_UN.shape) - 1)
    if width < 1:
        raise InputError(
            "model.sequence.codebooks=clicks needs clicks of two users on two items; set "
            "model.sequence.codebooks=content"
        )
    with threadpool_limits(1):
        # A fixed start, so that the vectors are a function of the clicks.
        start = np.random.default_rng(0).normal(size=min(scaled_UN.shape))
        _, values_R, axes_RN = svds(scaled_UN, k=width, v0=start)
    return unit_rows((axes_RN.T * values_R).astype(np.float32), smallest=1e-6)


def co_click_map(content_NW: np.ndarray, train: Sequences) -> np.ndarray:
    """Return the (W, R) float32 ridge regression of items' co-click vectors on their content.

    Args:
        content_NW: content vectors.
        train: training clicks; only clicked items count.
    """
    targets_NR = click_vectors(train, len(content_NW)).astype(np.float64)
    known_N = np.bincount(train.items, minlength=len(content_NW)) > 0
    known_MW = content_NW[known_N].astype(np.float64)
    with threadpool_limits(1):
        penalised_WW = known_MW.T @ known_MW + RIDGE * np.eye(known_MW.shape[1])
        found: np.ndarray = np.linalg.solve(penalised_WW, known_MW.T @ targets_NR[known_N])
    return found.astype(np.float32)

"""Behaviour space: vectors of items that are close where the same users clicked both."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path

import numpy as np
from pydantic import Field
from scipy.sparse import csr_matrix, diags
from threadpoolctl import threadpool_limits

from crossrec.config import Config
from crossrec.data.item_table import VectorSpace
from crossrec.runtime.files import atomic_path, is_sound, write_checksum
from crossrec.types import InputError, Sequences
from crossrec.vectors import unit_rows

logger = logging.getLogger(__name__)

WIDTH = 64
"""Number of dimensions; more of them describe single users rather than what users have in common."""

BLOCK, KRYLOV_WIDTH = 16, 384
"""Vectors multiplied at a time, and least number of all of them together."""

SHORTEST = 1e-4
"""Share of an item's unit length below which what the dimensions retain of it is rounding."""

STORED_CLICKS = 1_000_000
"""Training clicks from which vectors are stored on disk; with fewer, computing them takes some seconds."""

ROUNDING = 1e-6
"""Share of the largest squared singular value below which others are 0."""

VERSION = 1
"""Version of the vectors in file names."""


class BehaviourConfig(Config):
    """Space of co-clicks, from training clicks alone.

    Args:
        width: number of dimensions.
    """

    width: int = Field(WIDTH, ge=1, le=1024)


def has_co_clicks(train: Sequences) -> bool:
    """Return whether there are clicks of at least two users on at least two items."""
    return len(np.unique(train.items)) > 1 and int((train.lengths > 0).sum()) > 1


def co_click_vectors(train: Sequences, n_items: int, width: int = WIDTH) -> np.ndarray:
    """Return (N, R) float32 vectors of unit length, close for items that the same users clicked.

    They are the leading right singular vectors of the matrix of users' clicks, in which each item's column
    is divided by the square root of its number of users, times the singular values. Without truncation, the
    cosine of two vectors is that of the two sets of users. Repeat clicks count once. An item without a click,
    or of whose users the dimensions retain nothing, gets zeros.

    The vectors are a function of the clicks: the random start is fixed, and one thread computes them.

    Args:
        train: training clicks.
        n_items: N.
        width: R; fewer where there are not so many users or items.

    Raises:
        InputError: if there are fewer than two users or items with clicks.

    Source:
        Nikolakopoulos et al., EigenRec: generalizing PureSVD for effective and efficient top-N
        recommendations (KAIS 2019), with scaling parameter d = 0 and binary clicks.
    """
    if not has_co_clicks(train):
        raise InputError("co-clicks need clicks of two users on two items; the training part has fewer")
    # A copy, since the next line sorts in place.
    ones = np.ones(len(train.items), np.float32)
    clicks_UN = csr_matrix((ones, train.items, train.offsets), shape=(len(train), n_items), copy=True)
    clicks_UN.sum_duplicates()
    clicks_UN.data[:] = 1
    counts_N = np.bincount(clicks_UN.indices, minlength=n_items)
    scale_N = 1 / np.sqrt(np.maximum(counts_N, 1))
    scaled_UN = (clicks_UN @ diags(scale_N.astype(np.float32))).tocsr()
    with threadpool_limits(1):
        vectors_NR = _right_singular(scaled_UN, min(width, *scaled_UN.shape))
    vectors_NR[counts_N == 0] = 0
    return unit_rows(vectors_NR, smallest=SHORTEST)


def behaviour_space(train: Sequences, n_items: int, config: BehaviourConfig, cache_dir: Path) -> VectorSpace:
    """Return the vectors of items' co-clicks, see :func:`co_click_vectors`.

    Those of large logs are stored in ``cache_dir/behaviour``, by a digest of the training clicks.

    Args:
        train: training clicks.
        n_items: N.
        config: width.
        cache_dir: folder of generated data.
    """
    if len(train.items) < STORED_CLICKS:
        return _space(co_click_vectors(train, n_items, config.width))
    path = cache_dir / "behaviour" / f"{_digest(train, n_items, config)}.npy"
    if not is_sound(path):
        logger.info("computing vectors of %s co-clicks, kept in %s", f"{len(train.items):,}", path)
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            np.save(file, co_click_vectors(train, n_items, config.width))
        write_checksum(path)
    return _space(np.load(path))


def _space(vectors_NR: np.ndarray) -> VectorSpace:
    return VectorSpace(vectors_NR, np.asarray(vectors_NR.any(1)))


def _digest(train: Sequences, n_items: int, config: BehaviourConfig) -> str:
    digest = hashlib.blake2b(f"{VERSION}|{n_items}|{config.width}|".encode(), digest_size=16)
    for array in (train.offsets, train.items):
        digest.update(np.ascontiguousarray(array, dtype="<i8").data)
    return digest.hexdigest()


def _right_singular(matrix_UN: csr_matrix, rank: int) -> np.ndarray:
    """Return (N, rank) leading right singular vectors times their values, by block Krylov iteration.

    Blocks converge in far fewer products than subspace iteration (``randomized_svd``) where singular values
    decay slowly, as those of clicks do. Lanczos iteration (ARPACK) is as exact, but restarts at random
    vectors where values repeat, so that two processes get different results.

    Source:
        Musco, Musco: Randomized block Krylov methods for stronger and faster approximate singular value
        decomposition (NIPS 2015), with complete reorthogonalisation.
    """
    n_users, n_items = matrix_UN.shape
    tall = matrix_UN if n_items <= n_users else matrix_UN.T.tocsr()
    wide, size = tall.T.tocsr(), tall.shape[1]
    depth = -(-max(KRYLOV_WIDTH, 4 * rank) // BLOCK)
    if depth * BLOCK >= size:
        squares_K, chosen_SK = np.linalg.eigh((wide.astype(np.float64) @ tall).toarray())
        chosen_SR = chosen_SK[:, -rank:].astype(np.float32)
    else:
        basis_SK, products_KK = _krylov(tall, wide, depth)
        squares_K, rotation_KK = np.linalg.eigh(products_KK)
        chosen_SR = basis_SK @ rotation_KK[:, -rank:].astype(np.float32)
    if tall is not matrix_UN:
        found_NR: np.ndarray = tall @ chosen_SR
        return found_NR
    squares_R = squares_K[-rank:]
    # Where the rank is lower, rounding's square roots are not small.
    values_R = np.sqrt(np.where(squares_R > ROUNDING * squares_R[-1], squares_R, 0))
    return chosen_SR * values_R.astype(np.float32)


def _krylov(tall: csr_matrix, wide: csr_matrix, depth: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a basis (S, K) of orthonormal vectors, and ``wide @ tall`` in it (K, K)."""
    size = tall.shape[1]
    basis_SK = np.empty((size, depth * BLOCK), np.float32, order="F")
    products_KK = np.zeros((depth * BLOCK, depth * BLOCK))
    block_SB = np.random.default_rng(0).standard_normal((size, BLOCK), dtype=np.float32)
    for start in range(0, depth * BLOCK, BLOCK):
        end, before_SK = start + BLOCK, basis_SK[:, :start]
        # Twice: rounding leaves a part of the other directions the first time.
        for _ in range(2):
            block_SB = np.linalg.qr(block_SB - before_SK @ (before_SK.T @ block_SB))[0]
        basis_SK[:, start:end] = block_SB
        block_SB = wide @ (tall @ block_SB)
        products_KB = basis_SK[:, :end].T @ block_SB
        products_KK[:end, start:end] = products_KB
        products_KK[start:end, :end] = products_KB.T
    return basis_SK, products_KK

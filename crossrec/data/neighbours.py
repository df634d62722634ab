"""Item-to-item similarity: the nearest training items of each training item."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from scipy.sparse import csr_matrix

from crossrec.runtime.ranking import top_k
from crossrec.runtime.ranking.sparse import best_positive
from crossrec.types import ABSENT, InputError, Sequences, TopK
from crossrec.vectors import unit_rows

SCORES_AT_ONCE = 1 << 24
"""Maximum number of similarities in memory at a time: 64 MiB in fp32."""

ROWS = 1024
"""Number of items whose common users with others are in memory at a time, stored sparsely."""

ItemSimilarity = Literal["clicks", "content", "both"]
CLICKS: ItemSimilarity = "clicks"
CONTENT: ItemSimilarity = "content"


@dataclass(frozen=True)
class Neighbours:
    """The most similar items of each item, best first.

    Args:
        ids_NK: catalogue indices, all with training clicks; ``ABSENT`` where a list ran out, and in whole
            rows of items without training clicks.
        similarities_NK: float32, above 0; 0 where a list ran out.
    """

    ids_NK: np.ndarray
    similarities_NK: np.ndarray

    @property
    def known_N(self) -> np.ndarray:
        """(N,) bool, items that have at least one neighbour."""
        return self.ids_NK[:, 0] != ABSENT


def no_content() -> InputError:
    """Return the error for content similarity without item vectors."""
    return InputError(
        "item similarity by content needs frozen features, and this model has none; set similarity: clicks, "
        "or give it model.text or model.image with training: frozen"
    )


def find_neighbours(
    train: Sequences, n_items: int, k: int, similarity: ItemSimilarity, content: np.ndarray | None = None
) -> Neighbours:
    """Return the k most similar training items of each training item; ties go to the lower index.

    Similarity by ``clicks`` is the cosine of two items' users, each user weighing ``1 / log(1 + items)``; by
    ``content`` the cosine of their vectors; ``both`` is the larger of the two, each divided by the largest
    in the item's row. Only a similarity above 0 makes a neighbour.

    Args:
        train: training clicks, one row per user.
        n_items: N of the catalogue.
        k: length of the lists.
        similarity: ``clicks``, ``content`` or ``both``.
        content: (N, W) vectors of the items' texts or pictures, zeros for an item that has none.

    Raises:
        InputError: if content is requested and there are no vectors.

    Source:
        Liu et al. 2021, "Contrastive self-supervised sequential recommendation with robust augmentation"
        (CoSeRec), section 4.1: item-based filtering with inverse user frequency, and the larger of two
        normalised similarities, whose second is of learned item vectors and whose range is normalised over
        all pairs; ours divides by the row's maximum, so that no more than some rows exist at a time.
    """
    clicked = np.flatnonzero(np.bincount(train.items, minlength=n_items))
    ids_NK = np.full((n_items, k), ABSENT, dtype=np.int64)
    similarities_NK = np.zeros((n_items, k), dtype=np.float32)
    lists = (
        _by_clicks(train, clicked, k)
        if similarity == CLICKS
        else _by_content_too(train, clicked, k, similarity, content)
    )
    for places, best in lists:
        found = best.ids != ABSENT
        ids_NK[clicked[places]] = np.where(found, clicked[best.ids], ABSENT)
        similarities_NK[clicked[places]] = np.where(found, best.scores, 0)
    return Neighbours(ids_NK, similarities_NK)


def _by_clicks(train: Sequences, clicked: np.ndarray, k: int) -> Iterator[tuple[slice, TopK]]:
    """Yield lists of blocks of clicked items, by common users."""
    for places, common in _common_users(train, clicked, _blocks(len(clicked), ROWS)):
        common[np.arange(common.shape[0]), np.arange(places.start, places.start + common.shape[0])] = 0
        yield places, best_positive(common, k)


def _by_content_too(
    train: Sequences, clicked: np.ndarray, k: int, similarity: ItemSimilarity, content: np.ndarray | None
) -> Iterator[tuple[slice, TopK]]:
    """Yield lists of blocks of clicked items, by content alone or with common users."""
    if content is None:
        raise no_content()
    vectors = unit_rows(np.asarray(content[clicked], dtype=np.float32))
    some = _blocks(len(clicked), max(SCORES_AT_ONCE // max(len(clicked), 1), 1))
    blocks = (
        ((places, None) for places in some)
        if similarity == CONTENT
        else ((places, found.toarray()) for places, found in _common_users(train, clicked, some))
    )
    for places, common in blocks:
        scores = vectors[places] @ vectors.T
        if common is not None:
            scores = np.maximum(_by_largest(common, places.start), _by_largest(scores, places.start))
        scores[np.arange(len(scores)), places.start + np.arange(len(scores))] = -np.inf
        scores[scores <= 0] = -np.inf
        yield places, top_k(torch.from_numpy(scores), k)


def _blocks(n_rows: int, step: int) -> Iterable[slice]:
    return (slice(start, start + step) for start in range(0, n_rows, step))


def _common_users(
    train: Sequences, clicked: np.ndarray, blocks: Iterable[slice]
) -> Iterator[tuple[slice, csr_matrix]]:
    """Yield blocks of the C clicked items with their (R, C) float32 cosines by common users."""
    row_T = train.row_of_click
    item_T = np.searchsorted(clicked, train.items)
    table = csr_matrix((np.ones(len(item_T)), (item_T, row_T)), shape=(len(clicked), len(train)))
    # Distinct items: repeat clicks do not count as further users.
    items_U = np.bincount(table.indices, minlength=len(train))
    table.data = np.log1p(items_U)[table.indices] ** -0.5
    length = np.sqrt(np.asarray(table.multiply(table).sum(axis=1)).ravel())
    users = table.multiply(1 / np.maximum(length, 1e-12)[:, None]).tocsr()
    # Transposed once: each product would convert the transposed table again.
    turned = users.T.tocsr()
    for places in blocks:
        yield places, (users[places] @ turned).tocsr().astype(np.float32)


def _by_largest(scores: np.ndarray, start: int) -> np.ndarray:
    """Return scores divided by the largest of their row, ignoring the diagonal."""
    own = np.arange(len(scores)), start + np.arange(len(scores))
    scores[own] = 0
    largest = scores.max(axis=1, keepdims=True, initial=0)
    return np.where(largest > 0, scores / np.maximum(largest, np.finfo(np.float32).tiny), 0)

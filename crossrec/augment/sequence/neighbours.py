"""Which items are alike: a short list of training items for each training item."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from crossrec.augment.sequence.rows import row_of_click
from crossrec.types import ABSENT, InputError, Sequences

SCORES_AT_ONCE = 1 << 24
"""Similarities that exist at a time: 64 MiB in fp32."""

CLICKS, CONTENT, BOTH = "clicks", "content", "both"


@dataclass(frozen=True)
class SequenceContext:
    """What augmenters may know of the items: of the training part alone.

    Args:
        train: training clicks, one row a user.
        n_items: N of the catalogue.
        content: (N, W) vectors of the items' texts or pictures, zeros for an item that has none; None where
            there are no such vectors.
    """

    train: Sequences
    n_items: int
    content: np.ndarray | None = None
    _found: dict[tuple[int, str], Neighbours] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        if self.content is not None and len(self.content) != self.n_items:
            raise ValueError(f"content has {len(self.content)} rows, the catalogue {self.n_items} items")

    def neighbours(self, k: int, similarity: str) -> Neighbours:
        """As :func:`find_neighbours`, made once for all augmenters that ask for the same."""
        if (k, similarity) not in self._found:
            self._found[k, similarity] = find_neighbours(self, k, similarity)
        return self._found[k, similarity]


@dataclass(frozen=True)
class Neighbours:
    """The items most like each item, best first.

    Args:
        ids_NK: catalogue indices, all with training clicks; ``ABSENT`` where a list ran out, and in whole
            rows of items without training clicks.
    """

    ids_NK: np.ndarray

    @property
    def known_N(self) -> np.ndarray:
        """(N,) bool, items that have at least one neighbour."""
        return self.ids_NK[:, 0] != ABSENT


def no_content() -> InputError:
    """What to say where similarity by content is asked for and there are no vectors."""
    return InputError(
        "item similarity by content needs vectors of a frozen text or image encoder, and this model has "
        "none; set similarity: clicks, or give it model.text or model.image with training: frozen"
    )


def find_neighbours(context: SequenceContext, k: int, similarity: str) -> Neighbours:
    """The k training items most like each training item, never itself, ties by the lower index.

    Similarity by ``clicks`` is the cosine of two items' users, each user weighing ``1 / log(1 + clicks)``; by
    ``content`` the cosine of their vectors; ``both`` is the larger of the two, each divided by the largest
    in the item's row. Only a similarity above 0 makes a neighbour.

    Args:
        context: of the training part.
        k: length of the lists.
        similarity: ``clicks``, ``content`` or ``both``.

    Raises:
        InputError: content is asked for and there is none.

    Source:
        Liu et al. 2021, "Contrastive self-supervised sequential recommendation with robust augmentation"
        (CoSeRec), section 4.1: item-based filtering with inverse user frequency, and the larger of two
        normalised similarities, whose second is of learned item vectors and whose range is normalised over
        all pairs; ours divides by the row's maximum, so that no more than some rows exist at a time.
    """
    import torch

    from crossrec.runtime.ranking import top_k

    clicked = np.flatnonzero(np.bincount(context.train.items, minlength=context.n_items))
    ids_NK = np.full((context.n_items, k), ABSENT, dtype=np.int64)
    for rows, scores in _similarities(context, clicked, similarity):
        scores[np.arange(len(rows)), np.searchsorted(clicked, rows)] = -np.inf
        scores[scores <= 0] = -np.inf
        places = top_k(torch.from_numpy(scores), k).ids
        ids_NK[rows] = np.where(places == ABSENT, ABSENT, clicked[places])
    return Neighbours(ids_NK)


def _similarities(
    context: SequenceContext, clicked: np.ndarray, similarity: str
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Some of the clicked items at a time, and their (R, C) float32 similarity with all C of them."""
    users = _by_users(context.train, clicked) if similarity in (CLICKS, BOTH) else None
    # Turned once: each product would convert the transposed table anew.
    turned = None if users is None else users.T.tocsr()
    vectors = _by_content(context, clicked) if similarity in (CONTENT, BOTH) else None
    step = max(SCORES_AT_ONCE // max(len(clicked), 1), 1)
    for start in range(0, len(clicked), step):
        rows = slice(start, start + step)
        found = []
        if users is not None:
            found.append(np.asarray((users[rows] @ turned).toarray(), dtype=np.float32))
        if vectors is not None:
            found.append(vectors[rows] @ vectors.T)
        if len(found) == 2:
            found = [np.maximum(*(_by_largest(scores, start) for scores in found))]
        yield clicked[rows], found[0]


def _by_largest(scores: np.ndarray, start: int) -> np.ndarray:
    """Scores divided by the largest of their row, the item with itself left aside."""
    own = np.arange(len(scores)), start + np.arange(len(scores))
    scores[own] = 0
    largest = scores.max(axis=1, keepdims=True, initial=0)
    return np.where(largest > 0, scores / np.maximum(largest, np.finfo(np.float32).tiny), 0)


def _by_users(train: Sequences, clicked: np.ndarray) -> Any:
    """Sparse (clicked, U) rows of unit length."""
    from scipy.sparse import csr_matrix

    row_T = row_of_click(train)
    weights_T = np.log1p(train.lengths)[row_T] ** -0.5
    item_T = np.searchsorted(clicked, train.items)
    table = csr_matrix((weights_T, (item_T, row_T)), shape=(len(clicked), len(train)))
    length = np.sqrt(table.multiply(table).sum(1)).A1 if len(clicked) else np.zeros(0)
    return table.multiply(1 / np.maximum(length, 1e-12)[:, None]).tocsr()


def _by_content(context: SequenceContext, clicked: np.ndarray) -> np.ndarray:
    """(clicked, W) float32 rows of unit length; zeros stay zeros."""
    if context.content is None:
        raise no_content()
    rows = np.asarray(context.content[clicked], dtype=np.float32)
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)

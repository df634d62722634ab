"""Diversity within lists. Every function returns one value per query; absent places are ignored."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from crossrec.data.item_table import BEHAVIOUR, CATEGORY, CONTENT
from crossrec.evaluation.metrics.base import ListMetric, MetricInputs
from crossrec.types import ABSENT

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

CHUNK_CELLS = 1 << 24
"""Maximum size of a chunk's largest array, numbers (64 MiB in float32)."""


def intra_list_distance(
    ids_QK: np.ndarray, vectors_ND: np.ndarray, present_N: np.ndarray, k: int
) -> np.ndarray:
    """Mean pairwise cosine distance of a list's items: mean_{i<j} (1 - cos(v_i, v_j)).

    Computed without pairs, from unit vectors: sum_{i != j} cos = |sum_i v_i|^2 - m for m items.

    Args:
        ids_QK: (Q, K) catalogue indices or ``ABSENT``.
        vectors_ND: (N, D) item vectors.
        present_N: (N,) bool, which items have a vector; others and zero vectors are ignored.
        k: cutoff.

    Returns:
        (Q,) from 0 (all alike) to 2, for m items at most m / (m - 1) (vectors that sum to zero); NaN for
        a list with fewer than two usable items.

    Raises:
        ValueError: if a recommended item's vector is not finite.

    Source:
        Smyth, McClave: Similarity vs. diversity (ICCBR 2001); Ziegler et al.: Improving recommendation
        lists through topic diversification (WWW 2005).
    """
    ids_QK = ids_QK[:, :k]
    items, place = np.unique(ids_QK, return_inverse=True)
    unit_ID, usable_I = unit_rows(items, vectors_ND, present_N)
    place_QK = place.reshape(ids_QK.shape)
    count_Q = usable_I[place_QK].sum(1)
    squared_Q = np.empty(len(ids_QK))
    step = max(1, CHUNK_CELLS // max(1, ids_QK.shape[1] * unit_ID.shape[1]))
    for start in range(0, len(ids_QK), step):
        sum_BD = unit_ID[place_QK[start : start + step]].sum(1)
        squared_Q[start : start + step] = np.einsum("bd,bd->b", sum_BD, sum_BD, dtype=np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        distance_Q = 1 - (squared_Q - count_Q) / (count_Q * (count_Q - 1))
    return np.where(count_Q > 1, np.maximum(distance_Q, 0.0), np.nan)


def unit_rows(
    items: np.ndarray, vectors_ND: np.ndarray, present_N: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return unit vectors of some items, zero where unusable, and which are usable.

    Args:
        items: (I,) catalogue indices or ``ABSENT``.
        vectors_ND: (N, D) item vectors.
        present_N: (N,) bool, which items have a vector; a vector of zeros is unusable too.

    Returns:
        (I, D) float32 and (I,) bool.

    Raises:
        ValueError: if the vector of one of these items is not finite.
    """
    usable_I = (items != ABSENT) & present_N[items]
    unit_ID = np.zeros((len(items), vectors_ND.shape[1]), dtype=np.float32)
    unit_ID[usable_I] = vectors_ND[items[usable_I]]
    finite_I = np.isfinite(unit_ID).all(1)
    if not finite_I.all():
        raise ValueError(f"the vector of item {items[~finite_I][0]} is not finite; mark it as not present")
    # Scaled by the largest entry first, so that squares neither overflow nor underflow.
    unit_ID /= np.maximum(np.abs(unit_ID).max(1, initial=0.0, keepdims=True), np.finfo(np.float32).tiny)
    norm_I = np.linalg.norm(unit_ID, axis=1)
    usable_I &= norm_I > 0
    unit_ID[usable_I] /= norm_I[usable_I, None]
    return unit_ID, usable_I


def category_overlap(ids_QK: np.ndarray, categories: csr_matrix, k: int) -> np.ndarray:
    """Mean pairwise Jaccard overlap of categories: mean_{i<j} |C_i & C_j| / |C_i | C_j|; ``jaccard``.

    Args:
        ids_QK: (Q, K) catalogue indices or ``ABSENT``.
        categories: (N, C) membership.
        k: cutoff.

    Returns:
        (Q,) from 0 (no pair shares a category) to 1 (all the same categories); items without a category
        are ignored; NaN for a list with fewer than two usable items.

    Source:
        Jaccard: The distribution of the flora in the alpine zone (1912), averaged over a list's pairs.
    """
    ids_QK = ids_QK[:, :k]
    step = max(1, CHUNK_CELLS // max(1, ids_QK.shape[1] * categories.shape[1]))
    chunks = [_overlap(ids_QK[s : s + step], categories) for s in range(0, len(ids_QK), step)]
    return np.concatenate([np.zeros(0), *chunks])


def _overlap(ids_BK: np.ndarray, categories: csr_matrix) -> np.ndarray:
    member = categories[ids_BK.ravel()].astype(bool).toarray().astype(np.float32)
    member_BKC = member.reshape(*ids_BK.shape, -1)
    member_BKC[ids_BK == ABSENT] = 0
    size_BK = member_BKC.sum(2)
    shared_BKK = member_BKC @ member_BKC.transpose(0, 2, 1)
    either_BKK = size_BK[:, :, None] + size_BK[:, None, :] - shared_BKK
    usable_BK = size_BK > 0
    pair_BKK = usable_BK[:, :, None] & usable_BK[:, None, :] & ~np.eye(ids_BK.shape[1], dtype=bool)
    ratio_BKK = np.divide(shared_BKK, either_BKK, out=np.zeros(pair_BKK.shape), where=pair_BKK)
    pairs_B = pair_BKK.sum((1, 2))
    return np.divide(ratio_BKK.sum((1, 2)), pairs_B, out=np.full(len(ids_BK), np.nan), where=pairs_B > 0)


def category_distance(ids_QK: np.ndarray, categories: csr_matrix, k: int) -> np.ndarray:
    """Mean pairwise Jaccard distance of categories, 1 - :func:`category_overlap`; ``ild_category``.

    Args:
        ids_QK: (Q, K) catalogue indices or ``ABSENT``.
        categories: (N, C) membership.
        k: cutoff.

    Returns:
        (Q,) from 0 (all the same categories) to 1; NaN as for :func:`category_overlap`.

    Source:
        Ziegler et al.: Improving recommendation lists through topic diversification (WWW 2005).
    """
    return 1 - category_overlap(ids_QK, categories, k)


Distance = Callable[[np.ndarray, np.ndarray, np.ndarray, int], np.ndarray]
"""(ids_QK, vectors_ND, present_N, k) -> (Q,)."""


def vector_distance(space: str, meaning: str, distance: Distance = intra_list_distance) -> ListMetric:
    """Return a metric of the distances between a list's items in a vector space."""

    def compute(inputs: MetricInputs) -> np.ndarray:
        items = inputs.items
        return distance(inputs.lists.ids_QK, items.vectors(space), items.present(space), inputs.k)

    return ListMetric(compute=compute, meaning=meaning, space=space)


def _category_distance(inputs: MetricInputs) -> np.ndarray:
    return category_distance(inputs.lists.ids_QK, inputs.items.categories, inputs.k)


def _category_overlap(inputs: MetricInputs) -> np.ndarray:
    return category_overlap(inputs.lists.ids_QK, inputs.items.categories, inputs.k)


ILD = vector_distance(CONTENT, "Mean distance between the items of a list; 0 = all alike.")
ILD_TEXT = vector_distance("text", "Mean distance between a list's items by text.")
ILD_IMAGE = vector_distance("image", "Mean distance between a list's items by picture.")
ILD_BEHAVIOUR = vector_distance(BEHAVIOUR, "Mean distance between a list's items by who clicked them.")
ILD_CATEGORY = ListMetric(
    compute=_category_distance,
    meaning="Mean distance between a list's items by category.",
    space=CATEGORY,
)
JACCARD = ListMetric(
    compute=_category_overlap,
    meaning="Mean overlap of categories between the items of a list.",
    higher_is_better=False,
    space=CATEGORY,
)

"""Rank-aware diversity. Every function returns one value per query; absent places are ignored."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from crossrec.data.item_table import CATEGORY, CONTENT
from crossrec.evaluation.metrics.base import ListMetric, MetricInputs
from crossrec.evaluation.metrics.diversity import unit_rows, vector_distance
from crossrec.types import Sequences

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

ALPHA = 0.5
"""alpha of alpha-nDCG: share of a category's gain lost with every hit that covers it."""

CHUNK_CELLS = 1 << 22


def expected_distance(
    ids_QK: np.ndarray, vectors_ND: np.ndarray, present_N: np.ndarray, k: int
) -> np.ndarray:
    """Expected cosine distance between the items that a user sees at two ranks; ``eild``.

    sum_r C d(r) sum_{s != r} C_r d(max(1, s - r)) (1 - cos(v_r, v_s)) with d(x) = 1 / log2(x + 1),
    C = 1 / sum_r d(r) and C_r = 1 / sum_{s != r} d(max(1, s - r)): a user reaches rank r with weight d(r),
    has seen all ranks above, and continues below with a new discount. Without discounts it is ``ild``. It
    has the source's log discount with relevance-unaware weights (p(rel) = 1): if a query has one target, no
    pair of a list is relevant and the relevance-aware form is always 0.

    Args:
        ids_QK: (Q, K) catalogue indices or ``ABSENT``.
        vectors_ND: (N, D) item vectors.
        present_N: (N,) bool, which items have a vector; others and zero vectors are ignored, but keep
            their ranks.
        k: cutoff.

    Returns:
        (Q,) from 0 (all alike) to 2; NaN for a list with fewer than two usable items.

    Raises:
        ValueError: if a recommended item's vector is not finite.

    Source:
        Vargas, Castells: Rank and relevance in novelty and diversity metrics for recommender systems
        (RecSys 2011), EILD.
    """
    ids_QK = ids_QK[:, :k]
    items, place = np.unique(ids_QK, return_inverse=True)
    unit_ID, usable_I = unit_rows(items, vectors_ND, present_N)
    place_QK = place.reshape(ids_QK.shape)
    width = ids_QK.shape[1]
    rank_K = np.arange(1, width + 1)
    step_KK = np.maximum(1, rank_K[None, :] - rank_K[:, None])
    onward_KK = np.where(np.eye(width, dtype=bool), 0.0, 1 / np.log2(step_KK + 1))
    discount_K = 1 / np.log2(rank_K + 1)
    result_Q = np.full(len(ids_QK), np.nan)
    rows = max(1, CHUNK_CELLS // max(1, width * (unit_ID.shape[1] + width)))
    for start in range(0, len(ids_QK), rows):
        part = slice(start, start + rows)
        unit_BKD, usable_BK = unit_ID[place_QK[part]], usable_I[place_QK[part]]
        distance_BKK = 1.0 - unit_BKD @ unit_BKD.transpose(0, 2, 1)
        weight_BKK = onward_KK * usable_BK[:, None, :]
        onward_BK = (weight_BKK * distance_BKK).sum(2) / np.maximum(weight_BKK.sum(2), np.finfo(float).tiny)
        reach_BK = discount_K * usable_BK
        enough_B = usable_BK.sum(1) > 1
        total_B = (reach_BK * onward_BK).sum(1) / np.maximum(reach_BK.sum(1), np.finfo(float).tiny)
        result_Q[part] = np.where(enough_B, np.maximum(total_B, 0.0), np.nan)
    return result_Q


def alpha_ndcg(
    ids_QK: np.ndarray, hits_QK: np.ndarray, targets: Sequences, categories: csr_matrix, k: int
) -> np.ndarray:
    """Gain of hits, discounted for repeated categories, over the ideal gain.

    DCG / IDCG with DCG = sum_{r<=k} G_r / log2(r + 1) and G_r = rel_r sum_{c in C_r} (1 - alpha)^n_c,
    alpha = 0.5; n_c counts the hits above r in category c. The source's subtopics are categories, its
    relevant documents the query's targets. IDCG takes the targets greedily by gain, ties by index: the
    exact ideal is NP-hard.

    Args:
        ids_QK: (Q, K) catalogue indices or ``ABSENT``.
        hits_QK: (Q, K) bool, whether the item is a target.
        targets: Q rows of distinct targets, sorted by index.
        categories: (N, C) membership; a target without any adds nothing.
        k: cutoff.

    Returns:
        (Q,) from 0 to 1 (above 1 where the greedy ideal falls short of the list, which is rare); NaN for
        a query without a target that has a category.

    Source:
        Clarke et al.: Novelty and diversity in information retrieval evaluation (SIGIR 2008), alpha-nDCG.
    """
    member = categories.astype(bool).astype(np.float64).tocsr()
    step = max(1, CHUNK_CELLS // max(1, member.shape[1]))
    chunks = [np.zeros(0)]
    for start in range(0, len(ids_QK), step):
        rows = np.arange(start, min(start + step, len(ids_QK)))
        ideal_B = _ideal_gain(targets.take(rows), member, k)
        gain_B = _list_gain(ids_QK[rows, :k], hits_QK[rows, :k], member)
        empty_B = np.full(len(rows), np.nan)
        chunks.append(np.divide(gain_B, ideal_B, out=empty_B, where=ideal_B > 0))
    return np.concatenate(chunks)


def _list_gain(ids_BK: np.ndarray, hits_BK: np.ndarray, member: csr_matrix) -> np.ndarray:
    """Return (B,) discounted gain of each list's hits."""
    worth_BC = np.ones((len(ids_BK), member.shape[1]))
    gain_B = np.zeros(len(ids_BK))
    for place in range(ids_BK.shape[1]):
        row_H = np.flatnonzero(hits_BK[:, place])
        member_HC = member[ids_BK[row_H, place]].toarray()
        gain_B[row_H] += (member_HC * worth_BC[row_H]).sum(1) / np.log2(place + 2)
        worth_BC[row_H] *= 1 - ALPHA * member_HC
    return gain_B


def _ideal_gain(targets: Sequences, member: csr_matrix, k: int) -> np.ndarray:
    """Return (B,) discounted gain of the first k targets in greedy order."""
    member_TC = member[targets.items]
    row_T = targets.row_of_click
    # E: one entry for each category of each target.
    target_E = np.repeat(np.arange(len(row_T)), np.diff(member_TC.indptr))
    row_E, category_E = row_T[target_E], member_TC.indices
    worth_BC = np.ones((len(targets), member.shape[1]))
    left_T = np.ones(len(row_T), dtype=bool)
    gain_B = np.zeros(len(targets))
    for place in range(min(k, int(targets.lengths.max(initial=0)))):
        gain_T = np.bincount(target_E, weights=worth_BC[row_E, category_E], minlength=len(row_T))
        gain_T[~left_T] = -1
        # The rows' order stays; within each, the largest gain comes first, ties in order.
        order_T = np.lexsort((-gain_T, row_T))
        best = order_T[targets.offsets[:-1][targets.lengths > place]]
        gain_B[row_T[best]] += gain_T[best] / np.log2(place + 2)
        worth_BC[row_T[best]] *= 1 - ALPHA * member_TC[best].toarray()
        left_T[best] = False
    return gain_B


def _alpha_ndcg(inputs: MetricInputs) -> np.ndarray:
    lists = inputs.lists
    return alpha_ndcg(lists.ids_QK, lists.hits_QK, lists.targets, inputs.items.categories, inputs.k)


ALPHA_NDCG = ListMetric(
    compute=_alpha_ndcg,
    meaning="Hits discounted by rank and by how often their categories came before.",
    digits=4,
    space=CATEGORY,
)
EILD = vector_distance(
    CONTENT,
    "Distance between a list's items, those on top and close by weighing more.",
    expected_distance,
)

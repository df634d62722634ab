"""Calibration: agreement of a list's category proportions with those of the user's history."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from crossrec.data.item_table import CATEGORY
from crossrec.evaluation.metrics.base import ListMetric, MetricInputs
from crossrec.types import ABSENT, Sequences

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

SMOOTHING = 0.01
"""alpha of the source: weight of the history's distribution mixed into the list's."""

CHUNK_CELLS = 1 << 22


def calibration(ids_QK: np.ndarray, histories: Sequences, categories: csr_matrix, k: int) -> np.ndarray:
    """Divergence of a list's category distribution from its history's, in nats; lower is better.

    KL(p || q') = sum_c p_c ln(p_c / q'_c) with q' = (1 - alpha) q + alpha p and alpha = 0.01. p averages
    p(c|i) over the history's clicks (a repeated click counts each time), q over the list; p(c|i) is
    spread evenly over the item's categories. All clicks and ranks have the same weight.

    Args:
        ids_QK: (Q, K) catalogue indices or ``ABSENT``; absent places are ignored.
        histories: Q rows.
        categories: (N, C) membership; items without a category are ignored.
        k: cutoff.

    Returns:
        (Q,) from 0 (same proportions) to -ln(alpha) = 4.605 (no category in common); NaN where the
        history or the list has no item with a category.

    Source:
        Steck: Calibrated recommendations (RecSys 2018), equations 1, 2, 4 and 5.
    """
    share = _spread_evenly(categories)
    step = max(1, CHUNK_CELLS // max(1, categories.shape[1]))
    chunks = [np.zeros(0)]
    for start in range(0, len(ids_QK), step):
        rows = np.arange(start, min(start + step, len(ids_QK)))
        chunks.append(_divergence(histories.take(rows), ids_QK[rows, :k], share))
    return np.concatenate(chunks)


def _spread_evenly(categories: csr_matrix) -> csr_matrix:
    from scipy.sparse import diags

    member = categories.astype(bool).astype(np.float64)
    count_N = np.asarray(member.sum(1)).ravel()
    return (diags(1 / np.maximum(count_N, 1)) @ member).tocsr()


def _divergence(histories: Sequences, ids_BK: np.ndarray, share: csr_matrix) -> np.ndarray:
    here_BK = ids_BK != ABSENT
    offsets = np.concatenate([[0], np.cumsum(here_BK.sum(1))])
    p_BC = _distribution(histories.offsets, histories.items, share)
    q_BC = _distribution(offsets, ids_BK[here_BK], share)
    row_P, column_P = np.nonzero(p_BC > 0)
    p_P = p_BC[row_P, column_P]
    mixed_P = (1 - SMOOTHING) * q_BC[row_P, column_P] + SMOOTHING * p_P
    divergence_B = np.bincount(row_P, weights=p_P * np.log(p_P / mixed_P), minlength=len(ids_BK))
    known_B = (p_BC.sum(1) > 0) & (q_BC.sum(1) > 0)
    return np.where(known_B, np.maximum(divergence_B, 0.0), np.nan)


def _distribution(offsets: np.ndarray, items: np.ndarray, share: csr_matrix) -> np.ndarray:
    """Return (B, C) category shares of each row's items; rows sum to 1, or to 0 without categories."""
    from scipy.sparse import csr_matrix

    # Entries of one row may repeat an item: the product adds them up.
    rows = csr_matrix((np.ones(len(items)), items, offsets), shape=(len(offsets) - 1, share.shape[0]))
    mass_BC = (rows @ share).toarray()
    return mass_BC / np.maximum(mass_BC.sum(1, keepdims=True), np.finfo(float).tiny)


def _calibration(inputs: MetricInputs) -> np.ndarray:
    lists = inputs.lists
    return calibration(lists.ids_QK, lists.histories, inputs.items.categories, inputs.k)


CALIBRATION = ListMetric(
    compute=_calibration,
    meaning="KL divergence between a history's categories and its list's.",
    higher_is_better=False,
    space=CATEGORY,
)

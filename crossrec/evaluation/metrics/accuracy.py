"""Accuracy of ranked lists. Every function maps hits to one value per query.

Shared conventions: ranks start at 1; ranks after the end of a list are misses; a query without targets
gives NaN and is omitted from means. T is the set of a query's distinct targets, rel_i is 1 if the item at
rank i is in T.
"""

from __future__ import annotations

import numpy as np

from crossrec.evaluation.metrics.base import HitMetric


def recall(hits_QK: np.ndarray, n_targets_Q: np.ndarray, k: int) -> np.ndarray:
    """Share of the targets in the list: sum_{i<=k} rel_i / |T|.

    The divisor is |T| even if |T| > k, so that 1 may be unreachable. With one target it equals ``hit``.

    Args:
        hits_QK: (Q, K) bool.
        n_targets_Q: (Q,) distinct targets.
        k: cutoff, at most K.

    Returns:
        (Q,) from 0 to 1; NaN without targets.

    Source:
        Manning, Raghavan, Schuetze: Introduction to information retrieval (2008), section 8.3.
    """
    return _ratio(hits_QK[:, :k].sum(1), n_targets_Q)


def hit(hits_QK: np.ndarray, n_targets_Q: np.ndarray, k: int) -> np.ndarray:
    """Whether the list holds any target: 1 if sum_{i<=k} rel_i > 0, else 0.

    Args:
        hits_QK: (Q, K) bool.
        n_targets_Q: (Q,) distinct targets.
        k: cutoff, at most K.

    Returns:
        (Q,) 0 or 1; NaN without targets.

    Source:
        Deshpande, Karypis: Item-based top-N recommendation algorithms (TOIS 2004), section 6.2.
    """
    return np.where(n_targets_Q > 0, hits_QK[:, :k].any(1).astype(float), np.nan)


def mrr(hits_QK: np.ndarray, n_targets_Q: np.ndarray, k: int) -> np.ndarray:
    """Reciprocal rank of the first hit within k: 1 / min{i <= k: rel_i = 1}; 0 without a hit.

    Args:
        hits_QK: (Q, K) bool.
        n_targets_Q: (Q,) distinct targets.
        k: cutoff, at most K.

    Returns:
        (Q,) from 0 to 1; NaN without targets.

    Source:
        Voorhees: The TREC-8 question answering track report (1999).
    """
    first_Q = 1.0 / (1 + hits_QK[:, :k].argmax(1))
    return np.where(n_targets_Q > 0, np.where(hits_QK[:, :k].any(1), first_Q, 0.0), np.nan)


def ndcg(hits_QK: np.ndarray, n_targets_Q: np.ndarray, k: int) -> np.ndarray:
    """Discounted gain over that of the best possible list of k.

    DCG / IDCG with DCG = sum_{i<=k} rel_i / log2(i + 1) and IDCG = sum_{i<=min(k, |T|)} 1 / log2(i + 1):
    one target at rank 1 gives 1.

    Args:
        hits_QK: (Q, K) bool.
        n_targets_Q: (Q,) distinct targets.
        k: cutoff, at most K.

    Returns:
        (Q,) from 0 to 1; NaN without targets.

    Source:
        Jarvelin, Kekalainen: Cumulated gain-based evaluation of IR techniques (TOIS 2002), with the
        logarithm's base 2 and no undiscounted ranks.
    """
    discount_K = 1.0 / np.log2(np.arange(2, k + 2))
    ideal = np.concatenate([[0.0], np.cumsum(discount_K)])
    gain_Q = hits_QK[:, :k] @ discount_K[: hits_QK.shape[1]]
    return _ratio(gain_Q, ideal[np.minimum(n_targets_Q, k)])


def average_precision(hits_QK: np.ndarray, n_targets_Q: np.ndarray, k: int) -> np.ndarray:
    """Mean precision at the ranks of the hits: sum_{i<=k} rel_i * precision_i / min(k, |T|).

    precision_i is the share of hits among the first i ranks. Some tools divide by |T| instead, which makes 1
    unreachable if |T| > k. Its mean is ``map``.

    Args:
        hits_QK: (Q, K) bool.
        n_targets_Q: (Q,) distinct targets.
        k: cutoff, at most K.

    Returns:
        (Q,) from 0 to 1; NaN without targets.

    Source:
        Buckley, Voorhees: Evaluating evaluation measure stability (SIGIR 2000), cut at k.
    """
    hits = hits_QK[:, :k]
    precision = np.cumsum(hits, axis=1) / np.arange(1, hits.shape[1] + 1)
    return _ratio((hits * precision).sum(1), np.minimum(n_targets_Q, k))


def _ratio(above_Q: np.ndarray, below_Q: np.ndarray) -> np.ndarray:
    result = np.full(len(above_Q), np.nan)
    return np.divide(above_Q, below_Q, out=result, where=below_Q > 0)


RECALL = HitMetric(of_hits=recall, meaning="Share of the next clicks that stand in the list.", digits=4)
NDCG = HitMetric(
    of_hits=ndcg, meaning="Hits discounted by the logarithm of their rank; 1 = every click on top.", digits=4
)
MRR = HitMetric(of_hits=mrr, meaning="One divided by the rank of the first hit.", digits=4)
HIT = HitMetric(of_hits=hit, meaning="Share of lists with at least one hit.", digits=4)
MAP = HitMetric(of_hits=average_precision, meaning="Precision averaged over the ranks of the hits.", digits=4)

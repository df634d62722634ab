"""Content-based: items that resemble what the history is about; clicks of others play no part."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import torch
from scipy.sparse import csr_matrix, diags

from crossrec.baselines import terms
from crossrec.baselines.base import Baseline, history_matrix
from crossrec.baselines.content_config import ContentConfig, ContentSpace
from crossrec.baselines.context import BaselineContext, centred_unit
from crossrec.types import Sequences

LABELS: dict[ContentSpace, str] = {
    "tfidf": "TF-IDF",
    "bm25": "BM25",
    "text": "text vectors",
    "image": "image vectors",
    "categories": "categories",
}
Table: TypeAlias = "np.ndarray | csr_matrix"


class ContentBased(Baseline):
    """Scores an item by the dot product of its content with the history's mean content.

    In the spaces ``tfidf``, ``text``, ``image`` and ``categories``, items have unit length (vectors about
    the catalogue's mean). In ``bm25``, the history's texts are the query. An item without content in this
    space scores -inf, so a list may run out; so does every item for a history without any.

    Items without a training click are recommended like all others.

    Args:
        context: the catalogue, with what the space needs.
        config: space, decay.

    Raises:
        InputError: the catalogue has no such content.

    Source:
        Rocchio's profile without negative examples; Pazzani and Billsus 2007, "Content-based
        recommendation systems".
    """

    def __init__(self, context: BaselineContext, config: ContentConfig) -> None:
        super().__init__(context.n_items, f"content {LABELS[config.space]}")
        self.config = config
        self._query_NW, self._items_NW = _tables(context, config, self.name)
        known_N = _known(self._items_NW)
        self._known_N1 = known_N[:, None].astype(np.float32)
        self._unknown_N = torch.from_numpy(~known_N)

    def _learn(self, train: Sequences, clicks_UN: csr_matrix) -> None:
        """Content says all: there is nothing to learn from clicks."""

    def _score(self, histories: Sequences) -> torch.Tensor:
        weights_BN = history_matrix(histories, self.n_items, self.config.recency).astype(np.float32)
        totals_B1 = weights_BN @ self._known_N1
        sums_BW = weights_BN @ self._query_NW
        sums_BW = sums_BW if isinstance(sums_BW, np.ndarray) else sums_BW.toarray()
        profile_BW = np.divide(sums_BW, totals_B1, out=np.zeros_like(sums_BW), where=totals_B1 > 0)
        scores_BN = torch.from_numpy(np.ascontiguousarray((self._items_NW @ profile_BW.T).T))
        scores_BN.masked_fill_(self._unknown_N, -torch.inf)
        return scores_BN.masked_fill_(torch.from_numpy(totals_B1 <= 0), -torch.inf)


def _tables(context: BaselineContext, config: ContentConfig, asker: str) -> tuple[Table, Table]:
    """Items as parts of a history, and as candidates; each (N, W) float32."""
    if config.space in ("tfidf", "bm25"):
        counts_NV = terms.term_counts(context.need_texts(asker), config.min_items)
        if config.space == "bm25":
            weights_NV = terms.bm25(counts_NV, config.k1, config.b)
            return counts_NV.astype(np.float32), weights_NV.astype(np.float32)
        table: Table = terms.tfidf(counts_NV).astype(np.float32)
    elif config.space == "categories":
        table = _unit(context.need_categories(asker).astype(np.float32))
    else:
        table = centred_unit(*context.need_vectors(config.space, asker))
    return table, table


def _unit(matrix: csr_matrix) -> csr_matrix:
    lengths = np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=1)).ravel())
    inverse = np.divide(1, lengths, out=np.zeros_like(lengths), where=lengths > 0)
    return csr_matrix(diags(inverse) @ matrix, dtype=np.float32)


def _known(table: Table) -> np.ndarray:
    """(N,) bool, which rows have any content."""
    if isinstance(table, np.ndarray):
        return np.asarray(table.any(axis=1))
    return np.asarray(np.diff(table.indptr) > 0)

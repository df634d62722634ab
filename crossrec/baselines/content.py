"""Content-based recommender: items similar to the history's content, independent of other users' clicks."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from itertools import product
from typing import Literal, Self, TypeAlias

import numpy as np
import torch
from pydantic import Field
from scipy.sparse import csr_matrix, diags

from crossrec.baselines.base import Baseline, TunableOptions, history_matrix
from crossrec.data.item_table import CATEGORY, TEXTS, ItemTable
from crossrec.types import Sequences
from crossrec.vectors import centred_rows, unit_rows

ContentSpace = Literal["tfidf", "bm25", "text", "image", "categories"]

LABELS: dict[ContentSpace, str] = {
    "tfidf": "TF-IDF",
    "bm25": "BM25",
    "text": "text vectors",
    "image": "image vectors",
    "categories": "categories",
}

Table: TypeAlias = "np.ndarray | csr_matrix"


class ContentBased(Baseline):
    """Content-based recommender: dot product of an item's content and the history's mean content.

    In the spaces ``tfidf``, ``text``, ``image`` and ``categories``, items have unit length (vectors about
    the catalogue's mean). In ``bm25``, the history's texts are the query. An item without content in this
    space scores -inf, so a list may run out; so does every item for a history without any.

    Items without a training click are recommended like all others.

    Args:
        options: space, decay.
        context: the catalogue, with what the space needs.

    Raises:
        InputError: if the catalogue has no such content.

    Source:
        Rocchio's profile without negative examples; Pazzani and Billsus 2007, "Content-based
        recommendation systems".
    """

    class Options(TunableOptions):
        """Items whose content resembles that of the history.

        Args:
            space: ``tfidf`` and ``bm25`` compare the words of the texts, ``text`` and ``image`` the frozen
                encoders' vectors, ``categories`` the items' categories.
            recency: weight of a history click relative to the next later one, 1 for a plain mean.
            k1: saturation of repeated words, BM25 only.
            b: strength of length normalisation, 0 to 1, BM25 only.
            min_items: minimum number of items with a word for it to count.
        """

        space: ContentSpace = "tfidf"
        recency: float = Field(default=0.9, gt=0, le=1)
        k1: float = Field(default=1.2, gt=0)
        b: float = Field(default=0.75, ge=0, le=1)
        min_items: int = Field(default=2, ge=1)

        @property
        def needs(self) -> tuple[str, ...]:
            """Item features that the baseline requires, by their names in :meth:`ItemTable.check`."""
            names = {"tfidf": TEXTS, "bm25": TEXTS, "categories": CATEGORY}
            return (names.get(self.space, self.space),)

        def grid(self) -> list[Self]:
            """Return the options that tuning tries, all in this space."""
            damping = (0.25, 0.75) if self.space == "bm25" else (self.b,)
            return [
                self.model_copy(update={"recency": recency, "b": b})
                for recency, b in product((1.0, 0.95, 0.9, 0.7, 0.5), damping)
            ]

    def __init__(self, options: Options, items: ItemTable) -> None:
        super().__init__(items.n_items, f"content {LABELS[options.space]}")
        self.options = options
        self._query_NW, self._items_NW = _tables(items, options, self.name)
        known_N = _known(self._items_NW)
        self._known_N1 = known_N[:, None].astype(np.float32)
        self._unknown_N = torch.from_numpy(~known_N)

    def _learn(self, train: Sequences, clicks_UN: csr_matrix) -> None:
        """Learn nothing: scores depend on content alone."""

    def _score(self, histories: Sequences) -> torch.Tensor:
        weights_BN = history_matrix(histories, self.n_items, self.options.recency).astype(np.float32)
        totals_B1 = weights_BN @ self._known_N1
        sums_BW = weights_BN @ self._query_NW
        sums_BW = sums_BW if isinstance(sums_BW, np.ndarray) else sums_BW.toarray()
        profile_BW = np.divide(sums_BW, totals_B1, out=np.zeros_like(sums_BW), where=totals_B1 > 0)
        scores_BN = torch.from_numpy(np.ascontiguousarray((self._items_NW @ profile_BW.T).T))
        scores_BN.masked_fill_(self._unknown_N, -torch.inf)
        return scores_BN.masked_fill_(torch.from_numpy(totals_B1 <= 0), -torch.inf)


def _tables(items: ItemTable, options: ContentBased.Options, asker: str) -> tuple[Table, Table]:
    """Return item content for histories and for candidates, each (N, W) float32."""
    if options.space in ("tfidf", "bm25"):
        counts_NV = term_counts(items.require_texts(asker), options.min_items)
        if options.space == "bm25":
            weights_NV = bm25(counts_NV, options.k1, options.b)
            return counts_NV.astype(np.float32), weights_NV.astype(np.float32)
        table: Table = tfidf(counts_NV).astype(np.float32)
    elif options.space == "categories":
        items.require(CATEGORY, asker)
        table = _unit(items.categories.astype(np.float32))
    else:
        table = centred_unit(items, options.space, asker)
    return table, table


def _unit(matrix: csr_matrix) -> csr_matrix:
    lengths = np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=1)).ravel())
    inverse = np.divide(1, lengths, out=np.zeros_like(lengths), where=lengths > 0)
    return csr_matrix(diags(inverse) @ matrix, dtype=np.float32)


def _known(table: Table) -> np.ndarray:
    """Return (N,) bool, rows that have content."""
    if isinstance(table, np.ndarray):
        return np.asarray(table.any(axis=1))
    return np.asarray(np.diff(table.indptr) > 0)


_WORD = re.compile(r"\w\w+")


def term_counts(texts: Sequence[str], min_items: int) -> csr_matrix:
    """Return (N, V) float64 counts of each word in each text.

    Words are runs of at least two letters, digits or underscores, in lower case.

    Args:
        texts: N texts.
        min_items: minimum number of texts with a word; rarer words are ignored.
    """
    rows = [Counter(_WORD.findall(text.lower())) for text in texts]
    items_of = Counter(word for row in rows for word in row)
    column = {word: i for i, word in enumerate(sorted(w for w, n in items_of.items() if n >= min_items))}
    entries = [(column[word], count) for row in rows for word, count in row.items() if word in column]
    lengths = [sum(word in column for word in row) for row in rows]
    columns, counts = np.array(entries, dtype=np.int64).reshape(-1, 2).T
    offsets = np.cumsum([0, *lengths])
    found = csr_matrix((counts.astype(np.float64), columns, offsets), shape=(len(texts), len(column)))
    found.sort_indices()
    return found


def tfidf(counts_NV: csr_matrix) -> csr_matrix:
    """Return counts times ln((1 + N) / (1 + n)) + 1, n texts having the word; rows of unit length.

    Source:
        Salton and Buckley 1988, "Term-weighting approaches in automatic text retrieval", with one text
        that has every word added, as scikit-learn does.
    """
    n_texts, having = counts_NV.shape[0], np.bincount(counts_NV.indices, minlength=counts_NV.shape[1])
    weighted_NV = counts_NV @ diags(np.log((1 + n_texts) / (1 + having)) + 1)
    lengths = np.sqrt(np.asarray(weighted_NV.multiply(weighted_NV).sum(axis=1)).ravel())
    inverse = np.divide(1, lengths, out=np.zeros_like(lengths), where=lengths > 0)
    return csr_matrix(diags(inverse) @ weighted_NV)


def bm25(counts_NV: csr_matrix, k1: float, b: float) -> csr_matrix:
    """Return (N, V) BM25 weights: what each word of a query adds to each text's score.

    Args:
        counts_NV: word counts from :func:`term_counts`.
        k1: saturation of repeated words.
        b: strength of length normalisation, 0 to 1.

    Source:
        Robertson and Zaragoza 2009, "The probabilistic relevance framework: BM25 and beyond", equation
        3.15, with 1 added inside the logarithm so that frequent words never count against a text.
    """
    n_texts, having = counts_NV.shape[0], np.bincount(counts_NV.indices, minlength=counts_NV.shape[1])
    inverse_frequency = np.log1p((n_texts - having + 0.5) / (having + 0.5))
    lengths = np.asarray(counts_NV.sum(axis=1)).ravel()
    damping = k1 * (1 - b + b * lengths / max(lengths.mean(), 1e-12))
    found = counts_NV.copy()
    of_row = np.repeat(damping, np.diff(counts_NV.indptr))
    found.data = inverse_frequency[counts_NV.indices] * found.data * (k1 + 1) / (found.data + of_row)
    return found


def centred_unit(items: ItemTable, space: str, asker: str) -> np.ndarray:
    """Return (N, W) float32 unit vectors about the mean of the items that have one, zeros for the others.

    Encoders' vectors are in a narrow cone: without centring, all items are similar.

    Raises:
        InputError: if there is no such space.
    """
    items.require(space, asker)
    centred_NW = centred_rows(items.vectors(space), items.present(space))
    return unit_rows(centred_NW, smallest=1e-6).astype(np.float32)

"""Words of texts as sparse weights: counts, TF-IDF, BM25."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

import numpy as np
from scipy.sparse import csr_matrix, diags

_WORD = re.compile(r"\w\w+")


def term_counts(texts: Sequence[str], min_items: int) -> csr_matrix:
    """(N, V) float64 how often each text has each word.

    Words are runs of at least two letters, digits or underscores, in lower case.

    Args:
        texts: N texts.
        min_items: words that fewer texts have are left out.
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
    """Counts times ln((1 + N) / (1 + n)) + 1, n texts having the word; rows of unit length.

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
    """What each word of a query adds to each text's score.

    Args:
        counts_NV: from :func:`term_counts`.
        k1: saturation of repeated words.
        b: how strongly long texts are damped, 0 to 1.

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

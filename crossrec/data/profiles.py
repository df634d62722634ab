"""User features from training clicks: words of the clicked items, and click behaviour."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix, diags

from crossrec.data.item_table import tail_items
from crossrec.types import Sequences

WORDS = r"(?u)[\u3400-\u9fff]|[^\W\d_\u3400-\u9fff]{2,}"
"""A Chinese character, or a run of at least two letters of any other script."""
MIN_DOCUMENTS = 2
"""Minimum number of texts with a word."""
SECONDS_PER_DAY = 86_400.0


@dataclass(frozen=True)
class ItemWords:
    """TF-IDF of the catalogue's texts.

    Args:
        weights_NV: (N, V) rows of unit length; empty for an item without a known word.
        words: (V,) the vocabulary.
    """

    weights_NV: csr_matrix
    words: np.ndarray


@dataclass(frozen=True)
class Behaviour:
    """Click behaviour, one row per user.

    Args:
        values_UF: (U, F) float64; zeros for a user without a training click.
        names: (F,) of the columns.
    """

    values_UF: np.ndarray
    names: tuple[str, ...]


def item_words(texts: list[str], train_counts: np.ndarray, max_words: int) -> ItemWords:
    """Return TF-IDF of texts, with vocabulary and document frequencies of items with a training click.

    Args:
        texts: N texts, empty where missing.
        train_counts: (N,) training clicks of each item.
        max_words: maximum size V of the vocabulary, the most frequent words.

    Source:
        Spärck Jones: A statistical interpretation of term specificity (Journal of Documentation 1972), with
        scikit-learn's smoothing, ln((1 + n) / (1 + df)) + 1.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    known = [text for text, count in zip(texts, train_counts, strict=True) if count > 0 and text.strip()]
    smallest = MIN_DOCUMENTS if len(known) > 2 * MIN_DOCUMENTS else 1
    # Words of nearly every text carry no information, in any language.
    largest = 0.5 if len(known) > 2 * MIN_DOCUMENTS else 1.0
    vectorizer = TfidfVectorizer(
        token_pattern=WORDS, max_features=max_words, min_df=smallest, max_df=largest, dtype=np.float32
    )
    try:
        vectorizer.fit(known)
    except ValueError:  # scikit-learn's only sign of a corpus without a usable word
        return ItemWords(csr_matrix((len(texts), 0), dtype=np.float32), np.zeros(0, dtype=object))
    return ItemWords(csr_matrix(vectorizer.transform(texts)), vectorizer.get_feature_names_out())


def click_matrix(train: Sequences, n_items: int) -> csr_matrix:
    """Return (U, N) click counts of each user and item."""
    ones = np.ones(len(train.items), dtype=np.float32)
    # A copy: summing duplicates sorts the indices in place, and the log must not change.
    items = np.array(train.items)
    matrix = csr_matrix((ones, items, np.array(train.offsets)), shape=(len(train), n_items))
    matrix.sum_duplicates()
    return matrix


def user_words(train: Sequences, words: ItemWords) -> csr_matrix:
    """Return (U, V) mean TF-IDF rows of the users' training clicks; empty for users without any.

    Args:
        train: U rows of training clicks.
        words: words of the catalogue's texts.
    """
    mean = diags(1.0 / np.maximum(train.lengths, 1).astype(np.float32))
    return csr_matrix(mean @ click_matrix(train, words.weights_NV.shape[0]) @ words.weights_NV)


def behaviour(train: Sequences, categories: csr_matrix, tail_share: float) -> Behaviour:
    """Return counts of each user's training clicks.

    Columns: ``clicks``, ``distinct_items``, ``distinct_categories``, ``share_of_tail`` (of the clicks),
    ``repeats`` (share of clicks on items clicked before), and where times are known ``days_active`` (first
    to last click) and ``days_since_last`` (to the last training click of all).

    Args:
        train: U rows of training clicks.
        categories: (N, C) membership.
        tail_share: share of the training clicks on tail items, see :func:`tail_items`.
    """
    n_items = categories.shape[0]
    clicks = click_matrix(train, n_items)
    counts_N = np.bincount(train.items, minlength=n_items)
    n_U = train.lengths.astype(np.float64)
    safe_U = np.maximum(n_U, 1)
    distinct_U = np.diff(clicks.indptr).astype(np.float64)
    touched = (clicks @ categories).tocsr()
    touched.eliminate_zeros()
    tail_N = tail_items(counts_N, tail_share).astype(np.float32)
    columns = {
        "clicks": n_U,
        "distinct_items": distinct_U,
        "distinct_categories": np.diff(touched.indptr).astype(np.float64),
        "share_of_tail": np.asarray(clicks @ tail_N, dtype=np.float64) / safe_U,
        "repeats": (n_U - distinct_U) / safe_U,
    }
    if train.times is not None and len(train.items):
        columns |= _ages(train)
    return Behaviour(np.stack(list(columns.values()), axis=1), tuple(columns))


def _ages(train: Sequences) -> dict[str, np.ndarray]:
    times = np.asarray(train.times, dtype=np.float64)
    some_U = train.lengths > 0
    first_U, last_U = np.zeros(len(train)), np.zeros(len(train))
    first_U[some_U] = times[train.offsets[:-1][some_U]]
    last_U[some_U] = times[train.offsets[1:][some_U] - 1]
    since_U = np.where(some_U, times.max() - last_U, 0.0)
    return {
        "days_active": (last_U - first_U) / SECONDS_PER_DAY,
        "days_since_last": since_U / SECONDS_PER_DAY,
    }

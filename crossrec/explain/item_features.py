"""What a surrogate tree may ask about items."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix

from crossrec.data.catalog import Catalog
from crossrec.types import Sequences

POPULARITY = "training clicks"
PRICE = "price"
AFFINITY = "share of the user's clicks in its categories"


@dataclass(frozen=True)
class ItemFeatures:
    """Readable features of items, and one of an item for a user.

    Args:
        names: of F features, the last of which depends on the user.
        table_NF: (N, F - 1) float32, NaN where not known.
        categories_NC: membership of items in categories.
        popularity: name of the feature that is popularity.
    """

    names: tuple[str, ...]
    table_NF: np.ndarray
    categories_NC: csr_matrix
    popularity: str = POPULARITY

    @classmethod
    def of(cls, catalog: Catalog, train_counts: np.ndarray, *, n_words: int = 100) -> ItemFeatures:
        """Popularity, price, categories and the weights of frequent words.

        Args:
            catalog: N items.
            train_counts: (N,) training clicks.
            n_words: words with the highest counts; their TF-IDF weights are features.
        """
        prices_N = np.asarray(catalog.column(PRICE).to_pylist(), dtype=np.float32)
        categories_NC = catalog.category_matrix
        words, weights_NW = _tf_idf(catalog, n_words)
        columns = [train_counts[:, None], prices_N[:, None], categories_NC.toarray(), weights_NW]
        names = [POPULARITY, PRICE, *(f"category {name}" for name in catalog.category_names)]
        names += [f"word '{word}'" for word in words]
        return cls((*names, AFFINITY), np.hstack(columns).astype(np.float32), categories_NC)

    def of_pairs(self, histories: Sequences, users_T: np.ndarray, items_T: np.ndarray) -> np.ndarray:
        """(T, F) features of items for users.

        Args:
            histories: one row a user.
            users_T: rows of ``histories``.
            items_T: catalogue indices.
        """
        rows = histories.row_of_click
        ones = np.ones(len(rows), np.float32)
        clicks_UN = csr_matrix((ones, (rows, histories.items)), shape=(len(histories), len(self.table_NF)))
        tastes_UC = (clicks_UN @ self.categories_NC).toarray() / np.maximum(histories.lengths, 1)[:, None]
        members_TC = self.categories_NC[items_T].toarray()
        affinity_T = (tastes_UC[users_T] * members_TC).max(axis=1, initial=0)
        return np.hstack([self.table_NF[items_T], affinity_T[:, None]]).astype(np.float32)


def _tf_idf(catalog: Catalog, n_words: int) -> tuple[list[str], np.ndarray]:
    """Up to W frequent words, English stop words left out, and (N, W) weights."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    texts = catalog.texts(np.arange(len(catalog)))
    vectorizer = TfidfVectorizer(max_features=n_words, stop_words="english")
    analyse = vectorizer.build_analyzer()
    if not any(analyse(text) for text in texts):
        return [], np.zeros((len(texts), 0), np.float32)
    weights_NW = vectorizer.fit_transform(texts)
    return vectorizer.get_feature_names_out().tolist(), weights_NW.toarray()

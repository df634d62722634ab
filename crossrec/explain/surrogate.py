"""Surrogate decision tree of a recommender for a group of users, and its item features."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix

from crossrec.data.catalog import Catalog
from crossrec.evaluation.bootstrap import Estimate, estimate_difference, estimate_means
from crossrec.explain.explanation import plain
from crossrec.types import ABSENT, InputError, Recommender, Sequences

POPULARITY = "training clicks"
PRICE = "price"
AFFINITY = "share of the user's clicks in its categories"


@dataclass(frozen=True)
class ItemFeatures:
    """Readable features of items, the last of which depends on the user.

    Args:
        names: names of F features.
        table_NF: (N, F - 1) float32, NaN where unknown.
        categories_NC: membership of items in categories.
        popularity: name of the feature that is popularity.
    """

    names: tuple[str, ...]
    table_NF: np.ndarray
    categories_NC: csr_matrix
    popularity: str = POPULARITY

    @classmethod
    def of(cls, catalog: Catalog, train_counts: np.ndarray, *, n_words: int = 100) -> ItemFeatures:
        """Return popularity, price, categories and TF-IDF weights of frequent words.

        Args:
            catalog: catalogue of N items.
            train_counts: (N,) training clicks.
            n_words: number of most frequent words whose TF-IDF weights are features.
        """
        prices_N = np.asarray(catalog.column(PRICE).to_pylist(), dtype=np.float32)
        categories_NC = catalog.category_matrix
        words, weights_NW = _tf_idf(catalog, n_words)
        columns = [train_counts[:, None], prices_N[:, None], categories_NC.toarray(), weights_NW]
        names = [POPULARITY, PRICE, *(f"category {name}" for name in catalog.category_names)]
        names += [f"word '{word}'" for word in words]
        return cls((*names, AFFINITY), np.hstack(columns).astype(np.float32), categories_NC)

    def of_pairs(self, histories: Sequences, users_T: np.ndarray, items_T: np.ndarray) -> np.ndarray:
        """Return (T, F) features of items for users.

        Args:
            histories: one row per user.
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
    """Return up to W frequent words without English stop words, and (N, W) weights."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    texts = catalog.texts(np.arange(len(catalog)))
    vectorizer = TfidfVectorizer(max_features=n_words, stop_words="english")
    analyse = vectorizer.build_analyzer()
    if not any(analyse(text) for text in texts):
        return [], np.zeros((len(texts), 0), np.float32)
    weights_NW = vectorizer.fit_transform(texts)
    return vectorizer.get_feature_names_out().tolist(), weights_NW.toarray()


SHOWN, NOT_SHOWN = "recommended", "not recommended"
LEAST_USERS = 4
LEAST_GAIN = 0.002
"""Minimum decrease of Gini impurity by a split; smaller ones make rules longer and hardly better."""
LEAST_LEAF = 20
"""Minimum number of questions per leaf."""


@dataclass(frozen=True)
class Surrogate:
    """Surrogate tree and its fidelity.

    Fidelity is the share of (user, item) questions on which tree and recommender agree, over held-out users;
    half of each user's questions are recommended items, so guessing gives 0.5.

    Args:
        tree_text: rules of the tree.
        fidelity: fidelity of the tree.
        popularity_fidelity: fidelity of the baseline, a tree that reads the items' popularity alone.
        difference: difference of the two, paired by user.
        importances: feature -> its share of the splits' gain; those above 0, largest first.
        n_fit: number of users in fitting.
        n_held_out: number of held-out users.
    """

    tree_text: str
    fidelity: Estimate
    popularity_fidelity: Estimate
    difference: Estimate
    importances: dict[str, float]
    n_fit: int
    n_held_out: int

    def __str__(self) -> str:
        """Return the rules and their fidelity."""
        return (
            f"{self.tree_text.rstrip()}\n"
            f"agrees with the model on {_shown(self.fidelity)} of the held-out questions "
            f"({self.n_held_out} users; guessing gives 0.500);\n"
            f"a tree that knows popularity alone on {_shown(self.popularity_fidelity)}; "
            f"difference {_shown(self.difference)}"
        )

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {str(name): plain(value) for name, value in vars(self).items()}


def surrogate(
    recommender: Recommender,
    histories: Sequences,
    features: ItemFeatures,
    *,
    k: int = 10,
    max_depth: int = 4,
    held_out: float = 0.3,
    n_resamples: int = 1000,
    seed: int = 0,
) -> Surrogate:
    """Fit a tree that predicts whether an item is in a user's top k.

    Each user's questions are the k recommended items and as many random other items that were not clicked. So
    shallow a tree describes the recommender's behaviour for the group as a whole, not the reason for one
    score; its fidelity says how completely.

    Args:
        recommender: recommender to explain.
        histories: one row per user of a group; clicked items are not recommended.
        features: features of the items.
        k: length of the lists.
        max_depth: maximum depth of the tree.
        held_out: share of held-out users.
        n_resamples: number of resamples of the bootstrap.
        seed: seed of the division of users and of the random items.

    Raises:
        InputError: for too few users, or too few items to draw from.

    Source:
        Craven, Shavlik: Extracting tree-structured representations of trained networks (NIPS 1996), who call
        the share fidelity; CART, Breiman et al. 1984, through scikit-learn.
    """
    n_users = len(histories)
    if n_users < LEAST_USERS:
        raise InputError(f"a surrogate tree needs at least {LEAST_USERS} users, and {n_users} were given")
    rng = np.random.default_rng(seed)
    questions = _ask(recommender, histories, k, rng)
    judges = rng.permutation(n_users)[: max(1, round(held_out * n_users))]
    judged_T = np.isin(questions.users_T, judges)
    table_TF = features.of_pairs(histories, questions.users_T, questions.items_T)
    tree, right_U = _mimic(table_TF, questions, judged_T, max_depth)
    popularity_T1 = table_TF[:, [features.names.index(features.popularity)]]
    _, popular_U = _mimic(popularity_T1, questions, judged_T, max_depth)
    found = estimate_means({"tree": right_U, "popularity": popular_U}, n_resamples, seed)
    gains = tree.feature_importances_
    return Surrogate(
        tree_text=_text_of(tree, features.names),
        fidelity=found["tree"],
        popularity_fidelity=found["popularity"],
        difference=estimate_difference(right_U - popular_U),
        importances={features.names[i]: float(gains[i]) for i in np.argsort(-gains) if gains[i] > 0},
        n_fit=n_users - len(judges),
        n_held_out=len(judges),
    )


@dataclass(frozen=True)
class _Questions:
    """T questions: would the recommender show this item to this user?"""

    users_T: np.ndarray
    items_T: np.ndarray
    shown_T: np.ndarray


def _ask(recommender: Recommender, histories: Sequences, k: int, rng: np.random.Generator) -> _Questions:
    """Return each user's recommended items, and as many others that were not clicked either."""
    lists = recommender.recommend(histories, k, exclude=histories)
    users, items, shown = [], [], []
    for user, ids_K in enumerate(lists.ids):
        listed = ids_K[ids_K != ABSENT]
        others = np.setdiff1d(np.arange(recommender.n_items), [*listed, *histories.row(user)])
        if len(others) < len(listed):
            raise InputError(f"a list of k={k} leaves too few of {recommender.n_items} items to compare with")
        drawn = rng.choice(others, len(listed), replace=False)
        users.append(np.full(2 * len(listed), user))
        items.append(np.concatenate([listed, drawn]))
        shown.append(np.arange(2 * len(listed)) < len(listed))
    return _Questions(np.concatenate(users), np.concatenate(items), np.concatenate(shown))


def _mimic(
    table_TF: np.ndarray, questions: _Questions, judged_T: np.ndarray, max_depth: int
) -> tuple[Any, np.ndarray]:
    """Return a tree fitted on the questions that are not judged, and its accuracy per judged user."""
    from sklearn.tree import DecisionTreeClassifier

    tree = DecisionTreeClassifier(
        max_depth=max_depth,
        min_samples_leaf=LEAST_LEAF,
        min_impurity_decrease=LEAST_GAIN,
        random_state=0,
    )
    tree.fit(table_TF[~judged_T], questions.shown_T[~judged_T])
    right_T = tree.predict(table_TF[judged_T]) == questions.shown_T[judged_T]
    _, judges_T = np.unique(questions.users_T[judged_T], return_inverse=True)
    return tree, np.bincount(judges_T, right_T) / np.bincount(judges_T)


def _text_of(tree: Any, names: tuple[str, ...]) -> str:
    from sklearn.tree import export_text

    shown = [SHOWN if known else NOT_SHOWN for known in tree.classes_]
    return str(export_text(tree, feature_names=list(names), class_names=shown, decimals=2))


def _shown(estimate: Estimate) -> str:
    low, high = estimate["ci95"]
    ends = "no interval" if math.isnan(low) else f"{low:.3f}, {high:.3f}"
    return f"{estimate['value']:.3f} [{ends}]"

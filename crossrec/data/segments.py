"""User segments and item groups by K-means: strata for balance, slices of a report, or features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from pydantic import Field
from scipy.sparse import csr_matrix

from crossrec.config import Config
from crossrec.data.prepare import PreparedData
from crossrec.data.profiles import Behaviour, ItemWords, behaviour, item_words, user_words
from crossrec.types import ABSENT, InputError
from crossrec.vectors import unit_rows

UserView = Literal["words", "behaviour"]

ItemView = Literal["words", "categories"]


class SegmentsConfig(Config):
    """K-means segments of users and groups of items, from the training split alone.

    Both are slices of the results; user segments are also strata of ``augment.resample``, and item groups a
    modality of the model if ``model.item_group`` is set.

    Args:
        users: number of user segments; those without a training click are in none.
        items: number of item groups; items without any of the views are in none.
        user_views: features of users: mean TF-IDF of the clicked texts, counts of their clicks.
        item_views: features of items: TF-IDF of their text, their categories.
        max_words: maximum size of the vocabulary.
        components: dimensions to which TF-IDF is reduced before grouping.
        seed: seed of the centres.
    """

    users: int = Field(5, ge=1, le=1_000_000)
    items: int = Field(20, ge=1, le=1_000_000)
    user_views: tuple[UserView, ...] = Field(("words", "behaviour"), min_length=1)
    item_views: tuple[ItemView, ...] = Field(("words", "categories"), min_length=1)
    max_words: int = Field(20_000, ge=1)
    components: int = Field(32, ge=1, le=65_536)
    seed: int = Field(0, ge=0)


COUNTS = ("clicks", "distinct_items", "distinct_categories", "days_active", "days_since_last")
"""Columns of behaviour with a long right tail; grouped by their logarithm."""

RESTARTS = 4

SHOWN_WORDS = 4


@dataclass(frozen=True)
class ClusterAssignment:
    """Cluster of each user or item.

    Args:
        labels: (n,) int64 from 0, the largest group first; ``ABSENT`` for one that is in none.
        notes: one sentence per group.
    """

    labels: np.ndarray
    notes: tuple[str, ...]

    @property
    def sizes(self) -> np.ndarray:
        """Number of members of each group."""
        return np.bincount(self.labels[self.labels != ABSENT], minlength=len(self.notes))


def cluster_users(data: PreparedData, config: SegmentsConfig, tail_share: float) -> ClusterAssignment:
    """Cluster users by clicked texts (mean TF-IDF) and click behaviour, from the training split alone.

    Args:
        data: cleaned and split data.
        config: number of segments, and features.
        tail_share: share of the training clicks on tail items.

    Raises:
        InputError: if users are grouped by words alone, and there are none.

    Source:
        Lloyd 1982 with the centres of Arthur and Vassilvitskii 2007, "k-means++", as in scikit-learn.
    """
    train = data.split.train
    some_U = train.lengths > 0
    known = behaviour(train, data.catalog.category_matrix, tail_share)
    words = _catalogue_words(data, config)
    if not len(words.words) and set(config.user_views) == {"words"}:
        raise InputError(
            "segments.user_views: users are grouped by words alone, and the texts of the training items have "
            "no word to group by; add behaviour, or leave segments out"
        )
    tastes = user_words(train, words)
    views = []
    if "words" in config.user_views:
        views.append(_reduced(tastes, some_U, config))
    if "behaviour" in config.user_views:
        views.append(_standardised(_logarithms(known), some_U))
    labels_U = _cluster(np.concatenate(views, axis=1), some_U, config.users, config.seed)
    return ClusterAssignment(
        labels_U, tuple(_user_note(labels_U == s, known, tastes, words) for s in _range(labels_U))
    )


def cluster_items(
    data: PreparedData, config: SegmentsConfig, vectors_ND: np.ndarray | None = None
) -> ClusterAssignment:
    """Cluster items by text, categories and vectors; centres are fitted on items with a training click.

    Args:
        data: cleaned and split data.
        config: number of groups, and features.
        vectors_ND: (N, D) content vectors; rows of zeros where missing. None leaves them out.
    """
    trained_N = data.split.train_counts > 0
    words = _catalogue_words(data, config)
    views = []
    if "words" in config.item_views:
        views.append(_reduced(words.weights_NV, trained_N, config))
    if "categories" in config.item_views:
        views.append(unit_rows(data.catalog.category_matrix.toarray()).astype(np.float64))
    if vectors_ND is not None:
        views.append(unit_rows(np.asarray(vectors_ND, dtype=np.float64)))
    points_ND = np.concatenate(views, axis=1)
    known_N = np.any(points_ND != 0, axis=1)
    labels_N = _cluster(points_ND, trained_N, config.items, config.seed, assigned=known_N)
    return ClusterAssignment(
        labels_N, tuple(_item_note(labels_N == g, words, data) for g in _range(labels_N))
    )


def _catalogue_words(data: PreparedData, config: SegmentsConfig) -> ItemWords:
    texts = data.catalog.texts(np.arange(len(data.catalog)))
    return item_words(texts, data.split.train_counts, config.max_words)


def _cluster(
    points: np.ndarray, fitted: np.ndarray, k: int, seed: int, assigned: np.ndarray | None = None
) -> np.ndarray:
    """Return (n,) labels of the assigned points, the largest group first; centres are the fitted points'."""
    from sklearn.cluster import KMeans
    from threadpoolctl import threadpool_limits

    assigned = fitted if assigned is None else assigned
    labels = np.full(len(points), ABSENT, dtype=np.int64)
    own = points[fitted & assigned]
    if not len(own):
        return labels
    k = min(k, len(np.unique(own, axis=0)))
    # One thread: the order of summation, and so the labels, must not depend on the machine.
    with threadpool_limits(1):
        model = KMeans(k, n_init=RESTARTS, random_state=seed).fit(own)
        labels[assigned] = model.predict(points[assigned])
    sizes = np.bincount(labels[assigned], minlength=k)
    rank = np.empty(k, dtype=np.int64)
    rank[np.argsort(-sizes, kind="stable")] = np.arange(k)
    labels[assigned] = rank[labels[assigned]]
    return labels


def _reduced(weights: csr_matrix, fitted: np.ndarray, config: SegmentsConfig) -> np.ndarray:
    """Return unit rows of a latent semantic analysis, fitted on some of the rows."""
    from sklearn.decomposition import TruncatedSVD

    size = min(config.components, min(weights[fitted].shape) - 1)
    if size < 1:
        return unit_rows(weights.toarray()) if weights.shape[1] else np.zeros((weights.shape[0], 0))
    svd = TruncatedSVD(size, random_state=config.seed).fit(weights[fitted])
    return unit_rows(svd.transform(weights))


def _logarithms(known: Behaviour) -> np.ndarray:
    long_tailed = np.isin(known.names, COUNTS)
    return np.where(long_tailed, np.log1p(np.maximum(known.values_UF, 0)), known.values_UF)


def _standardised(values_UF: np.ndarray, fitted: np.ndarray) -> np.ndarray:
    """Return the columns with mean 0 and a summed variance of 1: a block weighs as much as a unit vector."""
    own = values_UF[fitted]
    spread = own.std(0) if len(own) else np.ones(values_UF.shape[1])
    varied = spread > 0
    scaled = (values_UF - (own.mean(0) if len(own) else 0.0)) / np.where(varied, spread, 1.0)
    return np.where(varied, scaled, 0.0) / np.sqrt(max(int(varied.sum()), 1))


def _range(labels: np.ndarray) -> range:
    return range(int(labels.max(initial=-1)) + 1)


def _user_note(members_U: np.ndarray, known: Behaviour, tastes: csr_matrix, words: ItemWords) -> str:
    mean = dict(zip(known.names, known.values_UF[members_U].mean(0), strict=True))
    n_users = int(members_U.sum())
    who = f"{n_users:,} user{'' if n_users == 1 else 's'}"
    parts = [f"{who} with {mean['clicks']:.1f} training clicks on average"]
    parts.append(f"{mean['share_of_tail']:.0%} of them on the tail")
    return ", ".join(parts) + _typical(tastes, members_U, words)


def _item_note(members_N: np.ndarray, words: ItemWords, data: PreparedData) -> str:
    clicks = data.split.train_counts[members_N].sum()
    return f"{int(members_N.sum()):,} items with {clicks:,} training clicks" + _typical(
        words.weights_NV, members_N, words
    )


def _typical(weights: csr_matrix, members: np.ndarray, words: ItemWords) -> str:
    """Return the most characteristic words of a group."""
    if not len(words.words):
        return ""
    lift = np.asarray(weights[members].mean(0) - weights.mean(0)).ravel()
    best = [str(words.words[i]) for i in np.argsort(-lift, kind="stable")[:SHOWN_WORDS] if lift[i] > 0]
    return f"; typical words: {', '.join(best)}" if best else ""

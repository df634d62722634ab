"""Base classes of the baselines: options, fitting, scores, lists, histories as a sparse matrix."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Self

import numpy as np
import torch
from scipy.sparse import csr_matrix

from crossrec.config import Component, ComponentOptions
from crossrec.data.fitted import FittedRecommender, require_split
from crossrec.data.item_table import ItemTable
from crossrec.data.prepare import PreparedData
from crossrec.runtime.ranking import recommend_by_score
from crossrec.runtime.ranking.search import pick_candidates
from crossrec.runtime.ranking.sparse import best_positive
from crossrec.types import Sequences, TopK

HISTORIES = 2048
"""Number of histories whose sparse scores are in memory at a time."""


class TunableOptions(ComponentOptions):
    """Options that tuning can search: the base of every baseline's."""

    @property
    def needs(self) -> tuple[str, ...]:
        """Item features that the baseline requires, by their names in :meth:`ItemTable.check`."""
        return ()

    def grid(self) -> list[Self]:
        """Return the options that tuning tries; only these if there is nothing to tune."""
        return [self]

    def fit(self, data: PreparedData, items: ItemTable | None = None) -> FittedRecommender:
        """Build the baseline and fit it to the training clicks of a data set.

        Args:
            data: cleaned and split data.
            items: features of the items; the data's own, without vectors, when None.

        Raises:
            InputError: if the baseline needs features that the items lack.
        """
        items = require_split(data).item_table() if items is None else items
        for need in self.needs:
            items.check(need, repr(self))
        return FittedRecommender(self.build(items).fit(data.split.train), data, items)


class Baseline(Component, ABC):
    """A recommender that scores the whole catalogue from a history's items.

    Args:
        n_items: N, items in the catalogue.
        name: name in tables.
    """

    def __init__(self, n_items: int, name: str) -> None:
        self._n_items = n_items
        self.name = name
        self._fitted = False

    @property
    def n_items(self) -> int:
        """N, items in the catalogue."""
        return self._n_items

    def fit(self, train: Sequences) -> Self:
        """Fit on the training clicks, one row per user; a second call starts from scratch.

        Raises:
            ValueError: if there is no click, or an item outside the catalogue.
        """
        if len(train.items) == 0:
            raise ValueError(f"{self.name} can't be fitted: the training part has no click")
        self._learn(train, history_matrix(train, self.n_items))
        self._fitted = True
        return self

    def score(self, histories: Sequences, candidates: np.ndarray | None = None) -> torch.Tensor:
        """Score items for each history; -inf for an item that must not be recommended.

        Args:
            histories: B rows, oldest click first; a row may be empty.
            candidates: (B, K) catalogue indices, ``ABSENT`` scores -inf; the whole catalogue when None.

        Returns:
            (B, N) float32, or (B, K) for candidates.

        Raises:
            RuntimeError: if not fitted.
            ValueError: if an item or candidate is outside the catalogue, or candidates have another B.
        """
        self._require_fitted()
        scores_BN = self._score(histories)
        return scores_BN if candidates is None else pick_candidates(scores_BN, candidates)

    def recommend(self, histories: Sequences, k: int, exclude: Sequences | None = None) -> TopK:
        """Return the best k items for each history; ties go to the lower item index.

        Args:
            histories: B rows.
            k: length of the lists.
            exclude: B rows of items that must not appear.
        """
        return recommend_by_score(self, histories, k, exclude)

    def _require_fitted(self) -> None:
        if not self._fitted:
            raise RuntimeError(f"{self.name} has not been fitted: call fit(train) first")

    @abstractmethod
    def _learn(self, train: Sequences, clicks_UN: csr_matrix) -> None:
        """Learn from the clicks: in order (``train``), and summed over repeats (U, N)."""

    @abstractmethod
    def _score(self, histories: Sequences) -> torch.Tensor:
        """Return (B, N) float32 scores, in memory that the caller may change."""


class SparseBaseline(Baseline):
    """A baseline with sparse scores: most items score -inf, so its lists may run out."""

    def recommend(self, histories: Sequences, k: int, exclude: Sequences | None = None) -> TopK:
        """Return the best k items for each history; ties go to the lower item index.

        Args:
            histories: B rows.
            k: length of the lists.
            exclude: B rows of items that must not appear.
        """
        self._require_fitted()
        if exclude is not None and len(exclude) != len(histories):
            raise ValueError(f"{len(exclude)} rows of items to leave out, for {len(histories)} histories")
        ids, scores = [np.zeros((0, k), np.int64)], [np.zeros((0, k), np.float32)]
        for start in range(0, len(histories), HISTORIES):
            rows = np.arange(start, min(start + HISTORIES, len(histories)))
            sparse_BN = self._sparse_scores(histories.take(rows))
            found = best_positive(sparse_BN, k, None if exclude is None else exclude.take(rows))
            ids.append(found.ids)
            scores.append(found.scores)
        return TopK(np.concatenate(ids), np.concatenate(scores))

    def _score(self, histories: Sequences) -> torch.Tensor:
        scores_BN = torch.from_numpy(self._sparse_scores(histories).toarray())
        return scores_BN.masked_fill_(scores_BN <= 0, -torch.inf)

    @abstractmethod
    def _sparse_scores(self, histories: Sequences) -> csr_matrix:
        """Return (B, N) float32; items without a stored score above 0 are not recommended."""


def history_matrix(histories: Sequences, n_items: int, recency: float = 1.0) -> csr_matrix:
    """Return histories as a sparse matrix of summed click weights.

    Args:
        histories: B rows, oldest click first; a click's own weight, if it has one, is a factor.
        n_items: N, items in the catalogue.
        recency: weight of a click relative to the next later one; the last has weight 1.

    Returns:
        (B, N) float64, sorted indices, repeated items summed.

    Raises:
        ValueError: if an item is outside the catalogue.
    """
    items = np.asarray(histories.items, dtype=np.int64)
    if len(items) and (items.min() < 0 or items.max() >= n_items):
        position = int(np.flatnonzero((items < 0) | (items >= n_items))[0])
        row = int(np.searchsorted(histories.offsets, position, side="right")) - 1
        raise ValueError(
            f"history row {row} holds item {items[position]}, outside the catalogue of {n_items} items"
        )
    ages = np.repeat(np.asarray(histories.offsets)[1:], histories.lengths) - 1 - np.arange(len(items))
    weights = np.power(recency, ages.astype(np.float64))
    if histories.weights is not None:
        weights *= histories.weights
    matrix = csr_matrix((weights, items, np.asarray(histories.offsets)), shape=(len(histories), n_items))
    matrix.sum_duplicates()
    return matrix


def distinct_matrix(histories: Sequences, n_items: int) -> csr_matrix:
    """Return the distinct items of histories as a sparse matrix.

    Args:
        histories: B rows.
        n_items: N, items in the catalogue.

    Returns:
        (B, N) float64, the largest weight of the row's clicks on an item: 1 where clicks have no weights.

    Raises:
        ValueError: if an item is outside the catalogue.
    """
    matrix = history_matrix(histories, n_items)
    if histories.weights is None:
        matrix.data[:] = 1
        return matrix
    key = histories.row_of_click * n_items + np.asarray(histories.items, dtype=np.int64)
    order = np.lexsort((histories.weights, key))
    last = np.append(np.diff(key[order]) != 0, True)[: len(key)]
    matrix.data[:] = histories.weights[order][last]  # both are sorted by row and item
    return matrix

"""A recommender whose best candidates are scored again by a language model that reads their titles."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Self

import numpy as np
import torch
from torch import Tensor

from crossrec.model.text_scorer import TextScorer
from crossrec.types import ABSENT, Recommender, Sequences, TopK

ROWS = 1_024
"""Number of histories per batch of the first stage."""


class TextScoredRecommender:
    """Recommender with a text scorer behind it: a cascade of a cheap first stage and a language model.

    The score of a candidate is ``first + weight * (text - center)``: with an item that has no title, or
    after a history without any, it is the first stage's alone. Only the first stage's best candidates
    are read. With weight 0 nothing is read.

    Args:
        inner: first stage.
        scorer: tuned text scorer, with its weight.
        item_vectors: function that returns the first stage's (N, D) item vectors.
        name: name in tables.
    """

    def __init__(
        self, inner: Recommender, scorer: TextScorer, item_vectors: Callable[[], Tensor], name: str
    ) -> None:
        self.inner = inner
        self.scorer = scorer
        self.item_vectors = item_vectors
        self.name = name

    @property
    def n_items(self) -> int:
        """N."""
        return self.inner.n_items

    def fit(self, train: Sequences) -> Self:
        """Raise: both stages are trained already.

        Raises:
            RuntimeError: always.
        """
        raise RuntimeError("this recommender was loaded for use; train through crossrec.experiment")

    def score(self, histories: Sequences, candidates: np.ndarray | None = None) -> Tensor:
        """Return scores of the first stage's best candidates, -inf elsewhere; or those of given candidates.

        Args:
            histories: B rows.
            candidates: (B, K), all of which are read; the whole catalog when None.

        Returns:
            (B, N) float32, or (B, K) for candidates.
        """
        if candidates is not None:
            first_BK = self.inner.score(histories, candidates).cpu().float().numpy()
            text_BK = self._read(histories, candidates)
            return torch.from_numpy(mixed(first_BK, text_BK, *self._weights))
        scores_BN = torch.full((len(histories), self.n_items), -torch.inf)
        for rows in _blocks(len(histories)):
            found = self._rescored(histories.take(rows), self.scorer.options.candidates, None)
            row, column = np.nonzero(found.ids != ABSENT)
            places = (torch.from_numpy(rows[row]), torch.from_numpy(found.ids[row, column]))
            scores_BN[places] = torch.from_numpy(found.scores[row, column])
        return scores_BN

    def recommend(self, histories: Sequences, k: int, exclude: Sequences | None = None) -> TopK:
        """Return the best k items for each history, ties broken by the lower item index.

        In a list that is longer than ``candidates``, the first stage's further items follow in its order.
        """
        ids, scores = np.full((len(histories), k), ABSENT), np.full((len(histories), k), -np.inf, np.float32)
        width = max(self.scorer.options.candidates, k)
        for rows in _blocks(len(histories)):
            barred = None if exclude is None else exclude.take(rows)
            found = self._rescored(histories.take(rows), width, barred)
            places = min(k, found.ids.shape[1])
            ids[rows, :places], scores[rows, :places] = found.ids[:, :places], found.scores[:, :places]
        return TopK(ids, scores)

    def _rescored(self, histories: Sequences, width: int, exclude: Sequences | None) -> TopK:
        found = self.inner.recommend(histories, min(width, self.n_items), exclude)
        text_BC = self._read(histories, found.ids[:, : self.scorer.options.candidates])
        return rescored(found, text_BC, *self._weights)

    def _read(self, histories: Sequences, ids_BC: np.ndarray) -> np.ndarray:
        """Return (B, C) text scores; NaN everywhere if their weight is 0."""
        if not self._weights[0]:
            return np.full(ids_BC.shape, np.nan, np.float32)
        vectors_ND = self.item_vectors() if self.scorer.options.item_tokens else None
        return np.asarray(self.scorer.score(histories, ids_BC, vectors_ND).cpu().numpy())

    @property
    def _weights(self) -> tuple[float, float]:
        """Weight and center of the text score."""
        return float(self.scorer.mix_weight), float(self.scorer.center)


def _blocks(n_rows: int) -> Iterator[np.ndarray]:
    for start in range(0, n_rows, ROWS):
        yield np.arange(start, min(start + ROWS, n_rows))


def mixed(first_BK: np.ndarray, text_BK: np.ndarray, weight: float, center: float) -> np.ndarray:
    """Return (B, K) float32 sums of both scores; the first alone where the text score is NaN.

    Args:
        first_BK: scores of the first stage.
        text_BK: scores of the text scorer.
        weight: weight of the text score.
        center: text score that counts as 0.
    """
    added_BK = np.where(np.isnan(text_BK), 0, weight * (text_BK - center))
    return np.asarray(first_BK + added_BK, np.float32)


def rescored(found: TopK, text_BC: np.ndarray, weight: float, center: float) -> TopK:
    """Return lists whose first C items are ordered by the mixed score, ties broken by the lower index.

    Args:
        found: (B, K) lists of the first stage.
        text_BC: text scores of the first C items of each.
        weight: weight of the text score.
        center: text score that counts as 0.
    """
    width = text_BC.shape[1]
    ids_BC, rest_BR = found.ids[:, :width], found.scores[:, width:]
    scores_BC = mixed(found.scores[:, :width], text_BC, weight, center)
    scores_BC = np.where(ids_BC == ABSENT, np.float32(-np.inf), scores_BC)
    keys_BC = np.where(ids_BC == ABSENT, np.iinfo(np.int64).max, ids_BC)
    order_BC = np.lexsort((keys_BC, -scores_BC), axis=1)
    best = (np.take_along_axis(ids_BC, order_BC, 1), np.take_along_axis(scores_BC, order_BC, 1))
    if rest_BR.shape[1]:
        # The others keep their order, below the last candidate.
        lowest_B1 = np.where(np.isfinite(scores_BC), scores_BC, np.inf).min(1, keepdims=True)
        gap_B1 = np.where(np.isfinite(rest_BR[:, :1]), lowest_B1 - rest_BR[:, :1], 0)
        rest_BR = rest_BR + np.minimum(gap_B1, 0)
    scores_BK = np.concatenate([best[1], rest_BR], axis=1).astype(np.float32)
    return TopK(np.concatenate([best[0], found.ids[:, width:]], axis=1), scores_BK)

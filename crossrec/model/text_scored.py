"""A recommender whose best candidates are scored again by a language model that reads their titles."""

from __future__ import annotations

from collections.abc import Callable
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
    after a history without any, it is the first stage's alone. An item outside the first stage's best
    candidates can't be recommended. With weight 0 nothing is read.

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
            return torch.from_numpy(self._mixed(histories, candidates, first_BK))
        scores_BN = torch.full((len(histories), self.n_items), -torch.inf)
        for start in range(0, len(histories), ROWS):
            rows = np.arange(start, min(start + ROWS, len(histories)))
            found = self._scored(histories.take(rows), self.scorer.options.candidates, None)
            row, column = np.nonzero(found.ids != ABSENT)
            places = (torch.from_numpy(rows[row]), torch.from_numpy(found.ids[row, column]))
            scores_BN[places] = torch.from_numpy(found.scores[row, column])
        return scores_BN

    def recommend(self, histories: Sequences, k: int, exclude: Sequences | None = None) -> TopK:
        """Return the best k candidates for each history, ties broken by the lower item index."""
        width = max(self.scorer.options.candidates, k)
        ids, scores = np.full((len(histories), k), ABSENT), np.full((len(histories), k), -np.inf, np.float32)
        for start in range(0, len(histories), ROWS):
            rows = np.arange(start, min(start + ROWS, len(histories)))
            found = self._scored(histories.take(rows), width, None if exclude is None else exclude.take(rows))
            best = ordered(found.ids, found.scores, k)
            ids[rows, : best.ids.shape[1]], scores[rows, : best.ids.shape[1]] = best.ids, best.scores
        return TopK(ids, scores)

    def _scored(self, histories: Sequences, width: int, exclude: Sequences | None) -> TopK:
        """Return the first stage's candidates in its order, with the mixed scores."""
        found = self.inner.recommend(histories, min(width, self.n_items), exclude)
        return TopK(found.ids, self._mixed(histories, found.ids, found.scores))

    def _mixed(self, histories: Sequences, ids_BK: np.ndarray, first_BK: np.ndarray) -> np.ndarray:
        weight = float(self.scorer.mix_weight)
        if weight == 0:
            return first_BK
        vectors_ND = self.item_vectors() if self.scorer.options.item_tokens else None
        text_BK = self.scorer.score(histories, ids_BK, vectors_ND).cpu().numpy()
        return mixed(first_BK, text_BK, weight, float(self.scorer.center))


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


def ordered(ids_BC: np.ndarray, scores_BC: np.ndarray, k: int) -> TopK:
    """Return the best k of C candidates, ties broken by the lower index, absent ones last."""
    scores_BC = np.where(ids_BC == ABSENT, -np.inf, scores_BC).astype(np.float32)
    order_BK = np.lexsort((np.where(ids_BC == ABSENT, np.iinfo(np.int64).max, ids_BC), -scores_BC), axis=1)
    best_BK = order_BK[:, :k]
    return TopK(np.take_along_axis(ids_BC, best_BK, 1), np.take_along_axis(scores_BC, best_BK, 1))

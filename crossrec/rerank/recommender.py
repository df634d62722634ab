"""A recommender whose candidates are reranked, itself a recommender."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import numpy as np
import torch

from crossrec.rerank.base import Pool, Reranker
from crossrec.types import Recommender, Sequences, TopK

BATCH = 1024
"""Users reranked at once; bounds memory by BATCH * candidates * width of a vector."""


class RerankedRecommender:
    """Takes the best candidates of a recommender and reranks them.

    Args:
        inner: gives the candidates.
        stages: applied one after the other; all but the last keep the whole pool.
        candidates: C, how many candidates to rerank (more where longer lists are asked for).
        name: what tables call it.
        device: where reranking runs.
    """

    def __init__(
        self,
        inner: Recommender,
        stages: Sequence[Reranker],
        *,
        candidates: int,
        name: str,
        device: torch.device | str = "cpu",
    ) -> None:
        self.inner = inner
        self.stages = tuple(stages)
        self.candidates = candidates
        self.name = name
        self.device = torch.device(device)

    @property
    def n_items(self) -> int:
        """N."""
        return self.inner.n_items

    def fit(self, train: Sequences) -> Self:
        """Fits the inner recommender."""
        self.inner.fit(train)
        return self

    def score(self, histories: Sequences, candidates: np.ndarray | None = None) -> torch.Tensor:
        """The inner recommender's scores: a reranked place hangs on the whole list, not on one item."""
        return self.inner.score(histories, candidates)

    def recommend(self, histories: Sequences, k: int, exclude: Sequences | None = None) -> TopK:
        """The reranked lists; scores are those that the last stage leaves."""
        pool = max(min(self.candidates, self.n_items), k)
        candidates = self.inner.recommend(histories, pool, exclude)
        return rerank_lists(candidates, histories, self.stages, k, self.device)


def rerank_lists(
    candidates: TopK,
    histories: Sequences,
    stages: Sequence[Reranker],
    k: int,
    device: torch.device | str = "cpu",
) -> TopK:
    """Reranks lists that are there already.

    Args:
        candidates: (B, C) best first.
        histories: B rows.
        stages: applied one after the other.
        k: length of the lists that come out.
        device: where reranking runs.

    Returns:
        (B, k), ``ABSENT`` where a row ran out.
    """
    ids = np.full((len(candidates), k), -1, np.int64)
    scores = np.full((len(candidates), k), -np.inf, np.float32)
    for start in range(0, len(candidates), BATCH):
        rows = np.arange(start, min(start + BATCH, len(candidates)))
        pool = Pool(
            torch.from_numpy(candidates.ids[rows]).to(device),
            torch.from_numpy(candidates.scores[rows]).to(device),
            histories.take(rows),
        )
        for number, stage in enumerate(stages):
            pool = stage.rerank(pool, k if number == len(stages) - 1 else pool.ids_BC.shape[1])
        width = min(k, pool.ids_BC.shape[1])
        ids[rows, :width] = pool.ids_BC[:, :width].cpu().numpy()
        scores[rows, :width] = pool.scores_BC[:, :width].cpu().numpy()
    return TopK(ids, scores)

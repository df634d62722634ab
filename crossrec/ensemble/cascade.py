"""Cascade: cheap candidates, a costly model that scores only these, and optionally a reranker."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol, Self

import numpy as np
import torch
from torch import Tensor

from crossrec.ensemble.candidates import as_lists
from crossrec.runtime.ranking.search import pick_candidates
from crossrec.types import ABSENT, InputError, Recommender, Sequences, TopK

BATCH = 256
"""Number of histories per batch; bounds memory by BATCH * candidates * width of a vector."""

RETRIEVE, RANK, RERANK = "retrieve", "rank", "rerank"


class ListReranker(Protocol):
    """Reranker that chooses and orders k of given candidates, best first."""

    def __call__(self, candidates: TopK, histories: Sequences, k: int) -> TopK:
        """Return (B, k) lists from (B, C) candidates."""
        ...


@dataclass
class StageTimes:
    """Time of each stage, and number of users.

    Args:
        seconds: stage -> total seconds.
        users: number of lists.
        clock: clock; ``time.process_time`` excludes other processes on the machine.
    """

    seconds: dict[str, float] = field(default_factory=dict)
    users: int = 0
    clock: Callable[[], float] = time.perf_counter

    @contextmanager
    def measured(self, stage: str) -> Iterator[None]:
        """Add the time of the block to a stage."""
        start = self.clock()
        yield
        self.seconds[stage] = self.seconds.get(stage, 0.0) + self.clock() - start

    def per_user(self) -> dict[str, float]:
        """Return stage -> microseconds per user; empty before the first list."""
        return (
            {stage: 1e6 * spent / self.users for stage, spent in self.seconds.items()} if self.users else {}
        )

    def clear(self) -> None:
        """Start from zero."""
        self.seconds.clear()
        self.users = 0


class Cascade:
    """Cascade: retrieves candidates, ranks them by another recommender's scores, and optionally reranks.

    The ranker scores (B, C) candidates, never the catalogue. An item that is not retrieved can't be
    recommended.

    Args:
        retriever: source of the candidates, by ``recommend``.
        ranker: recommender that scores them, by ``score``.
        candidates: C, number of retrieved candidates (more for longer lists).
        rerank: reranker of the ranked candidates.
        name: name in tables.

    Raises:
        InputError: if the two have different catalogues, or C is below 1.
    """

    def __init__(
        self,
        retriever: Recommender,
        ranker: Recommender,
        *,
        candidates: int,
        rerank: ListReranker | None = None,
        name: str = "cascade",
    ) -> None:
        if retriever.n_items != ranker.n_items:
            raise InputError(
                f"a cascade's stages must share one catalogue; the retriever has {retriever.n_items} items, "
                f"the ranker {ranker.n_items}"
            )
        if candidates < 1:
            raise InputError(f"candidates: a cascade needs at least one, got {candidates}")
        self.retriever = retriever
        self.ranker = ranker
        self.candidates = candidates
        self.rerank = rerank
        self.name = name
        self.times = StageTimes()

    @property
    def n_items(self) -> int:
        """N."""
        return self.ranker.n_items

    def fit(self, train: Sequences) -> Self:
        """Fit both stages."""
        self.retriever.fit(train)
        self.ranker.fit(train)
        return self

    def score(self, histories: Sequences, candidates: np.ndarray | None = None) -> Tensor:
        """Return the ranker's scores of retrieved items, -inf elsewhere, without reranking.

        Args:
            histories: B rows.
            candidates: (B, K), ``ABSENT`` scores -inf; the whole catalogue when None.

        Returns:
            (B, N) float32, or (B, K) for candidates.
        """
        scores_BN = torch.full((len(histories), self.n_items), -torch.inf)
        for rows in _blocks(len(histories)):
            part = histories.take(rows)
            ids_BC = self._retrieved(part, self.candidates, None)
            scores_BC = self._ranked(part, ids_BC)
            row, column = np.nonzero(ids_BC != ABSENT)
            scores_BN[rows[row], ids_BC[row, column]] = scores_BC[row, column]
        return scores_BN if candidates is None else pick_candidates(scores_BN, candidates)

    def recommend(self, histories: Sequences, k: int, exclude: Sequences | None = None) -> TopK:
        """Return the best k retrieved items, ties broken by the lower index; adds to ``times``."""
        ids = np.full((len(histories), k), ABSENT, np.int64)
        scores = np.full((len(histories), k), -np.inf, np.float32)
        places = max(self.candidates, k)
        for rows in _blocks(len(histories)):
            part = histories.take(rows)
            with self.times.measured(RETRIEVE):
                ids_BC = self._retrieved(part, places, None if exclude is None else exclude.take(rows))
            with self.times.measured(RANK):
                scores_BC = self._ranked(part, ids_BC)
                kept = ids_BC.shape[1] if self.rerank is not None else k
                lists = as_lists(ids_BC, scores_BC, kept)
            if self.rerank is not None:
                with self.times.measured(RERANK):
                    lists = self.rerank(lists, part, k)
            ids[rows], scores[rows] = lists.ids, lists.scores
            self.times.users += len(rows)
        return TopK(ids, scores)

    def _retrieved(self, histories: Sequences, places: int, exclude: Sequences | None) -> np.ndarray:
        """Return (B, C) ascending item indices, ``ABSENT`` first, so that ties go to the lower index."""
        return np.sort(self.retriever.recommend(histories, min(places, self.n_items), exclude).ids, axis=1)

    def _ranked(self, histories: Sequences, ids_BC: np.ndarray) -> Tensor:
        # Not every recommender supports ABSENT among candidates; item 0 replaces it and is masked.
        scores_BC = self.ranker.score(histories, np.maximum(ids_BC, 0)).cpu().float()
        return scores_BC.masked_fill(torch.from_numpy(ids_BC == ABSENT), -torch.inf)


def _blocks(n_rows: int) -> Iterator[np.ndarray]:
    for start in range(0, n_rows, BATCH):
        yield np.arange(start, min(start + BATCH, n_rows))

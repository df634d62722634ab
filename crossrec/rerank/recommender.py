"""Chains of rerankers over a recommender's candidates; the result is a recommender again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import numpy as np
import torch
from pydantic import Field, model_validator

from crossrec.config import Config
from crossrec.data.item_table import ItemTable
from crossrec.rerank import RERANKERS, RerankerOptions
from crossrec.rerank.base import Reranker, keeps_account, rerank_lists
from crossrec.types import InputError, Recommender, Sequences, TopK


class RerankConfig(Config):
    """Chain of rerankers over a recommender's candidates.

    Args:
        stages: rerankers in order; all but the last keep the whole pool.
        candidates: number of the recommender's best items to rerank.
    """

    stages: tuple[RerankerOptions, ...] = Field(min_length=1)
    candidates: int = Field(default=100, ge=1, le=100_000)

    @model_validator(mode="after")
    def _later_stages_see_the_order(self) -> Self:
        before = ""
        for number, stage in enumerate(self.stages):
            if _keeps_account(stage) and number < len(self.stages) - 1:
                raise ValueError(
                    f"stages.{number}: '{RERANKERS.name_of(stage)}' counts what is shown, so it must "
                    "be the last stage"
                )
            if getattr(stage, "order", "choice") == "score" and not self._chooses_list(number):
                raise ValueError(
                    f"stages.{number}: order: score of a stage that orders the whole pool changes nothing; "
                    "set it in the last stage"
                )
            relevance = getattr(stage, "relevance", "rank") if getattr(stage, "reorders", True) else "rank"
            if before and relevance != "rank":
                raise ValueError(
                    f"stages.{number}: '{before}' before it leaves scores that no longer say the order, and "
                    f"relevance '{relevance}' would go back to them; give this stage relevance: rank"
                )
            if getattr(stage, "keeps_scores", False):
                before = RERANKERS.name_of(stage)
        return self

    def _chooses_list(self, number: int) -> bool:
        """Return whether a stage chooses k items, rather than orders the whole pool."""
        return number == len(self.stages) - 1 or self.keeps_account

    @property
    def keeps_account(self) -> bool:
        """Whether lists depend on those shown before."""
        return _keeps_account(self.stages[-1])

    def wrap(self, recommender: Recommender, items: ItemTable, name: str) -> RerankedRecommender:
        """Return the recommender with its candidates reranked, on the device of the item features.

        Args:
            recommender: source of the candidates.
            items: features of its items.
            name: name of the result in tables.

        Raises:
            InputError: if a stage needs categories, vectors or a column that the catalogue lacks, or if the
                features belong to another catalogue.
        """
        if items.n_items != recommender.n_items:
            raise InputError(
                f"rerank: features of {items.n_items} items for a recommender of {recommender.n_items}"
            )
        stages = [stage.build(items) for stage in self.stages]
        device = items.device
        return RerankedRecommender(recommender, stages, candidates=self.candidates, name=name, device=device)


def _keeps_account(stage: Config) -> bool:
    return bool(getattr(getattr(stage, "component", None), "keeps_account", False))


class RerankedRecommender:
    """Recommender whose best candidates are reranked.

    Args:
        inner: source of the candidates.
        stages: rerankers in order; all but the last keep the whole pool.
        candidates: C, number of candidates to rerank (more for longer lists).
        name: name in tables.
        device: device of the reranking.
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
        """Number of items, N."""
        return self.inner.n_items

    @property
    def in_order(self) -> bool:
        """Whether a list depends on those before, so that requests must come in order of time."""
        return keeps_account(self.stages)

    def restarted(self) -> RerankedRecommender:
        """Return the same recommender with an empty account of what it has shown."""
        last = self.stages[-1]
        return RerankedRecommender(
            self.inner,
            [*self.stages[:-1], last.restarted() if self.in_order else last],
            candidates=self.candidates,
            name=self.name,
            device=self.device,
        )

    def fit(self, train: Sequences) -> Self:
        """Fit the inner recommender."""
        self.inner.fit(train)
        return self

    def score(self, histories: Sequences, candidates: np.ndarray | None = None) -> torch.Tensor:
        """Return the inner recommender's scores; a reranked place depends on the list, not on one item."""
        return self.inner.score(histories, candidates)

    def recommend(self, histories: Sequences, k: int, exclude: Sequences | None = None) -> TopK:
        """Return the reranked lists, with the scores of the last stage."""
        pool = max(min(self.candidates, self.n_items), k)
        candidates = self.inner.recommend(histories, pool, exclude)
        return rerank_lists(candidates, histories, self.stages, k, self.device)

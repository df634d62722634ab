"""What the configurations of rerankers share."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from crossrec.config import Config

Relevance = Literal["minmax", "softmax", "rank"]


class TradeOffOptions(Config):
    """What every reranker has that weighs relevance against something else.

    Args:
        diversity: weight of the other goal: 0 leaves the pool's order alone.
        relevance: scale of relevance: ``minmax`` and ``softmax`` go by the scores, ``rank`` by the order
            alone, which a stage after another one should use where that one keeps the scores.
    """

    keeps_scores: ClassVar[bool] = True
    """Whether candidates keep their scores in an order that is no longer that of the scores."""

    diversity: float = Field(default=0.5, ge=0, le=1)
    relevance: Relevance = "minmax"

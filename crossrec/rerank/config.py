"""Configuration of reranking: any reranker, and a chain of them over a recommender's candidates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Self

from pydantic import Field, model_validator

from crossrec.config import Config, UnionFamily
from crossrec.rerank.context_config import ContextConfig
from crossrec.rerank.fatigue_config import FatigueConfig
from crossrec.rerank.intent_config import CalibratedConfig, PopularityDebiasConfig, XQuADConfig
from crossrec.rerank.similarity_config import DPPConfig, MaxSumConfig, MMRConfig, SlidingSpectrumConfig
from crossrec.types import InputError

if TYPE_CHECKING:
    from crossrec.rerank.base import ItemTraits
    from crossrec.rerank.recommender import RerankedRecommender
    from crossrec.types import Recommender

RerankerConfig = Annotated[
    MMRConfig
    | DPPConfig
    | MaxSumConfig
    | SlidingSpectrumConfig
    | XQuADConfig
    | CalibratedConfig
    | PopularityDebiasConfig
    | FatigueConfig
    | ContextConfig,
    UnionFamily(),
]
"""Any reranker, told apart by ``type``."""


class RerankConfig(Config):
    """Rerankers over a recommender's candidates.

    Args:
        stages: applied one after the other; all but the last order the whole pool.
        candidates: best items of the recommender that are reranked.
    """

    stages: tuple[RerankerConfig, ...] = Field(min_length=1)
    candidates: int = Field(default=100, ge=1, le=100_000)

    @model_validator(mode="after")
    def _later_stages_see_the_order(self) -> Self:
        before = ""
        for number, stage in enumerate(self.stages):
            relevance = getattr(stage, "relevance", "rank")
            if before and relevance != "rank":
                raise ValueError(
                    f"stages.{number}: '{before}' before it leaves scores that no longer say the order, and "
                    f"relevance '{relevance}' would go back to them; give this stage relevance: rank"
                )
            if getattr(stage, "keeps_scores", False):
                before = getattr(stage, "type", type(stage).__name__)
        return self

    def wrap(self, recommender: Recommender, traits: ItemTraits, name: str) -> RerankedRecommender:
        """The recommender with its candidates reranked, on the device of the traits.

        Args:
            recommender: gives the candidates.
            traits: what is known of its items.
            name: what tables call the result.

        Raises:
            InputError: a stage needs categories, vectors or a column that the traits lack, or the traits are
                of another catalogue.
        """
        from crossrec.rerank.recommender import RerankedRecommender

        if traits.n_items != recommender.n_items:
            raise InputError(
                f"rerank: traits of {traits.n_items} items for a recommender of {recommender.n_items}"
            )
        stages = [stage.build(traits) for stage in self.stages]
        device = traits.categories_NG.device
        return RerankedRecommender(recommender, stages, candidates=self.candidates, name=name, device=device)

"""Configuration of a study of policies in a simulated feedback loop."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator

from crossrec.baselines import BaselineOptions
from crossrec.config import Config, Family
from crossrec.exploration import ExplorerOptions
from crossrec.rerank import RerankerOptions
from crossrec.rerank.recommender import RerankConfig
from crossrec.simulation.choice_model import ChoiceModelConfig
from crossrec.simulation.config import EnvironmentConfig


class DemoTastesConfig(Config):
    """True tastes of the demo's shoppers; every recommender starts from the demo's whole log."""


class FittedTastesConfig(ChoiceModelConfig):
    """Choice model fitted to the log; recommenders start from the part that gave its first features."""


TASTES = Family(
    "tastes",
    {
        "demo": "crossrec.studies.feedback_loop.config:DemoTastesConfig",
        "fitted": "crossrec.studies.feedback_loop.config:FittedTastesConfig",
    },
)

TastesConfig = Annotated[Config, TASTES]
"""Source of the users' hidden tastes."""


class BaselineLearnerConfig(Config):
    """Baseline, refitted on the full log each time.

    Args:
        baseline: options of the baseline.
    """

    baseline: BaselineOptions


class NeuralLearnerConfig(Config):
    """Model of the base experiment, trained once and then fine-tuned.

    Its first training is shared by all policies of a seed.

    Args:
        first_epochs: epochs over the log at the start; those of the base experiment when None.
        epochs: epochs of each later training, over the histories of users who clicked since.
        lr_share: factor of the base experiment's learning rates in the later trainings.
    """

    first_epochs: int | None = Field(None, ge=0)
    epochs: int = Field(1, ge=0, le=1_000_000)
    lr_share: float = Field(0.3, gt=0)


LEARNERS = Family(
    "learner",
    {
        "baseline": "crossrec.studies.feedback_loop.config:BaselineLearnerConfig",
        "neural": "crossrec.studies.feedback_loop.config:NeuralLearnerConfig",
    },
)

LearnerConfig = Annotated[Config, LEARNERS]
"""Model that learns from the clicks."""


class PolicyConfig(Config):
    """Recommendation policy of the simulation.

    Args:
        learner: model that scores items.
        rerank: chain of rerankers over its candidates.
        explore: explorer that draws lists; null shows the best.
        every: rounds from one retraining to the next.
        candidates: number of the learner's best items from which rerankers and explorers choose.
    """

    learner: LearnerConfig
    rerank: tuple[RerankerOptions, ...] = ()
    explore: ExplorerOptions | None = None
    every: int = Field(1, ge=1)
    candidates: int = Field(100, ge=1, le=100_000)

    @model_validator(mode="after")
    def _stages_fit(self) -> Self:
        if self.rerank:
            chain = RerankConfig(stages=self.rerank, candidates=self.candidates)
            if chain.keeps_account and self.explore is not None:
                raise ValueError(
                    "explore: the last reranker counts the lists that it shows, but the explorer draws "
                    "others; leave out one of them"
                )
        for part in (*self.rerank, *([self.explore] if self.explore else [])):
            if getattr(part, "space", None) == "model":
                raise ValueError(
                    "space 'model' changes with every retraining; use category, text, image or content"
                )
        return self


class FeedbackLoopConfig(Config):
    """Policies with the same simulated users and common random numbers.

    Args:
        base: configuration file of the experiment: data, model, training, spaces of distances.
        changes: overrides of the experiment.
        tastes: source of the users' hidden tastes.
        environment: behaviour of the users.
        policies: name -> policy.
        compare_with: policies with which all others are compared; the first one by default.
        users: number of users, drawn by the seed, who take part; all when None.
        rounds: number of rounds of recommending and learning.
        seeds: seeds of users, random numbers and initial weights.
        k: length of the lists.
        tail_share: share of the clicks at the start on tail items.
        out: folder of the results; a restarted study is resumed.
        device: device of the models.
    """

    base: Path
    changes: tuple[str, ...] = ()
    tastes: TastesConfig = DemoTastesConfig()
    environment: EnvironmentConfig = EnvironmentConfig()
    policies: dict[str, PolicyConfig] = Field(min_length=1)
    compare_with: tuple[str, ...] = ()
    users: int | None = Field(None, ge=2, le=1_000_000)
    rounds: int = Field(20, ge=1)
    seeds: tuple[int, ...] = Field((0, 1, 2, 3, 4, 5, 6, 7, 8, 9), min_length=1)
    k: int = Field(10, ge=2, le=10_000)
    tail_share: float = Field(0.2, ge=0, le=1)
    out: Path
    device: str = "auto"

    @field_validator("seeds")
    @classmethod
    def _distinct(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(seeds)) < len(seeds) or min(seeds) < 0:
            raise ValueError(f"needs distinct seeds that are not negative; got {list(seeds)}")
        return seeds

    @model_validator(mode="after")
    def _known_references(self) -> Self:
        for name in self.compare_with:
            if name not in self.policies:
                raise ValueError(f"compare_with: '{name}' is not among {', '.join(self.policies)}")
        return self

    @property
    def references(self) -> tuple[str, ...]:
        """Policies with which all others are compared."""
        return self.compare_with or (next(iter(self.policies)),)

"""The configuration of a search: what is drawn, by which sampler, for which measure, for how long."""

from __future__ import annotations

from typing import Annotated, Any, Generic, Literal, Self, TypeVar

from pydantic import Field, field_validator, model_validator

from crossrec.config import Config, UnionFamily

Choices = tuple[Any, ...] | dict[str, dict[str, Any]]
"""Values of the key that an axis is named after, or names with the overrides that each stands for."""

Direction = Literal["maximize", "minimize"]

Number = TypeVar("Number", int, float)


class RangeConfig(Config, Generic[Number]):
    """A number between two others.

    Args:
        low, high: bounds, both included.
        log: drawn evenly in the logarithm.
    """

    low: Number
    high: Number
    log: bool = False

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.low >= self.high:
            raise ValueError(f"low={self.low} must be below high={self.high}")
        if self.log and self.low <= 0:
            raise ValueError(f"a logarithmic range begins above 0; got low={self.low}")
        return self


class FloatRangeConfig(RangeConfig[float]):
    """A real number."""

    type: Literal["float"] = "float"


class IntRangeConfig(RangeConfig[int]):
    """A whole number."""

    type: Literal["int"] = "int"


class ChoiceConfig(Config):
    """One of some values, or one of some named sets of overrides.

    Args:
        values: a list of the key's values, or name -> overrides.
    """

    type: Literal["choice"] = "choice"
    values: Choices

    @field_validator("values")
    @classmethod
    def _several(cls, values: Choices) -> Choices:
        if len(values) < 2:
            raise ValueError("a choice needs at least two values")
        return values


DimensionConfig = Annotated[FloatRangeConfig | IntRangeConfig | ChoiceConfig, UnionFamily()]


class TPEConfig(Config):
    """Tree-structured Parzen estimator over all keys together.

    Args:
        startup: proposals drawn at random before the estimator begins.

    Source:
        Bergstra et al.: Algorithms for hyper-parameter optimization (NeurIPS 2011).
    """

    type: Literal["tpe"] = "tpe"
    startup: int = Field(10, ge=1)


class RandomConfig(Config):
    """Independent draws.

    Source:
        Bergstra, Bengio: Random search for hyper-parameter optimization (JMLR 2012).
    """

    type: Literal["random"] = "random"


SamplerConfig = Annotated[TPEConfig | RandomConfig, UnionFamily()]


class SearchConfig(Config):
    """A search on validation.

    Args:
        space: key of the experiment (or a name, where it is a choice of overrides) -> what is drawn.
        objective: a metric on validation, such as ``ndcg@10``; its mean over the seeds counts.
        direction: of the objective.
        trials: proposals in all, each trained with every seed.
        minutes: no proposal is made once all trials together took so long; None for no limit.
        sampler: makes proposals.
        seed: of the sampler.
    """

    space: dict[str, DimensionConfig] = Field(min_length=1)
    objective: str = "ndcg@10"
    direction: Direction = "maximize"
    trials: int = Field(20, ge=1, le=1_000_000)
    minutes: float | None = Field(None, gt=0)
    sampler: SamplerConfig = TPEConfig()
    seed: int = Field(0, ge=0)

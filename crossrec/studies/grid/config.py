"""Configuration of an ablation: a grid of named axes, or a search, over any keys and seeds."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, Self, TypeVar

from pydantic import Field, field_validator, model_validator

from crossrec.config import Config, Family, merge
from crossrec.evaluation.config import ComparisonConfig

logger = logging.getLogger(__name__)

Choices = tuple[Any, ...] | dict[str, dict[str, Any]]
"""Values of the key that an axis is named after, or overrides by name."""


Direction = Literal["maximize", "minimize"]


Number = TypeVar("Number", int, float)


class DimensionBase(Config):
    """Dimension of a search's space: one key."""


class RangeConfig(DimensionBase, Generic[Number]):
    """Number in a range.

    Args:
        low, high: bounds, both included.
        log: whether to draw uniformly in the logarithm.
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
    """Real number in a range."""


class IntRangeConfig(RangeConfig[int]):
    """Integer in a range."""


class ChoiceConfig(DimensionBase):
    """One of some values, or one of some named sets of overrides.

    Args:
        values: list of the key's values, or name -> overrides.
    """

    values: Choices

    @field_validator("values")
    @classmethod
    def _several(cls, values: Choices) -> Choices:
        if len(values) < 2:
            raise ValueError("a choice needs at least two values")
        return values


DIMENSIONS = Family(
    "dimension",
    {
        "float": "crossrec.studies.grid.config:FloatRangeConfig",
        "int": "crossrec.studies.grid.config:IntRangeConfig",
        "choice": "crossrec.studies.grid.config:ChoiceConfig",
    },
)

DimensionConfig = Annotated[DimensionBase, DIMENSIONS]


class TPEConfig(Config):
    """Tree-structured Parzen estimator over all keys together.

    Args:
        startup: number of random proposals before the estimator begins.

    Source:
        Bergstra et al.: Algorithms for hyper-parameter optimization (NeurIPS 2011).
    """

    startup: int = Field(10, ge=1)


class RandomConfig(Config):
    """Independent draws.

    Source:
        Bergstra, Bengio: Random search for hyper-parameter optimization (JMLR 2012).
    """


SAMPLERS = Family(
    "sampler",
    {"tpe": "crossrec.studies.grid.config:TPEConfig", "random": "crossrec.studies.grid.config:RandomConfig"},
)

SamplerConfig = Annotated[Config, SAMPLERS]


class SearchConfig(Config):
    """Hyperparameter search on validation.

    Args:
        space: key of the experiment (or a name for a choice of overrides) -> dimension.
        objective: metric on validation, such as ``ndcg@10``, averaged over the seeds.
        direction: direction of the objective.
        trials: number of proposals, each trained with every seed.
        minutes: total time of all trials after which no proposal is made; None for no limit.
        sampler: sampler of proposals.
        seed: seed of the sampler.
    """

    space: dict[str, DimensionConfig] = Field(min_length=1)
    objective: str = "ndcg@10"
    direction: Direction = "maximize"
    trials: int = Field(20, ge=1, le=1_000_000)
    minutes: float | None = Field(None, gt=0)
    sampler: SamplerConfig = TPEConfig()
    seed: int = Field(0, ge=0)


Part = Literal["valid", "test"]


COLUMNS = ("trial", "variant", "seed", "part", "slice", "metric", "value", "low", "high", "n_users", "sd")
"""Columns of results besides those of the axes."""


REMOVED_KEYS = {"stale_after": "a process that died is noticed by its file lock"}
"""Keys of earlier versions -> why they are ignored."""

Labels = dict[str, Any]
"""Axis -> the value's name, or a list of them."""


class AblationConfig(Config):
    """An ablation: variants, seeds and comparison.

    Overrides are mappings as in an experiment's file; ``trainer.lr: 0.01`` is short for nested mappings. A
    nested key wins over the same key in dotted form, and so do overrides on the command line.

    Args:
        base: configuration file of the experiment.
        changes: overrides for all trials.
        axes: name -> (name of a value -> overrides), or a key of the experiment -> list of its values; all
            combinations are tried.
        exclude: combinations to omit; an axis that is not named may have any value.
        include: combinations to add, even with values missing in a key's list; all axes are named.
        search: search, in place of axes.
        seeds: seeds with which every variant is trained.
        measure: split on which variants are measured. In a search all are measured on validation; with
            ``test``, the best one there is measured on test too.
        compare: whether variants are compared with the reference by paired tests; it needs the same queries.
        reference: variant with which all others are compared; the first by default.
        comparison: metrics and tests. A metric of a slice is written ``cold_items:recall@10``.
        report: whether to write every run's page with plots and pictures, which takes seconds each;
            ``evaluate.py RUN`` writes it for one run later.
        jobs: number of trials that run in parallel on this machine.
        out: folder of the study; trials finished there are read.
    """

    base: Path
    changes: dict[str, Any] = Field(default_factory=dict)
    axes: dict[str, Choices] = Field(default_factory=dict)
    exclude: tuple[Labels, ...] = ()
    include: tuple[Labels, ...] = ()
    search: SearchConfig | None = None
    seeds: tuple[int, ...] = Field((0, 1, 2), min_length=1)
    measure: Part = "test"
    compare: bool = True
    reference: str = ""
    comparison: ComparisonConfig = ComparisonConfig()
    report: bool = False
    jobs: int = Field(1, ge=1)
    out: Path

    @model_validator(mode="before")
    @classmethod
    def _without_removed_keys(cls, content: Any) -> Any:
        if not isinstance(content, Mapping):
            return content
        for key in REMOVED_KEYS.keys() & content.keys():
            logger.warning("%s is ignored: %s", key, REMOVED_KEYS[key])
        return {key: value for key, value in content.items() if key not in REMOVED_KEYS}

    @field_validator("seeds")
    @classmethod
    def _distinct(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(seeds)) < len(seeds) or min(seeds) < 0:
            raise ValueError(f"needs distinct seeds that are not negative; got {list(seeds)}")
        return seeds

    @model_validator(mode="after")
    def _grid_or_search(self) -> Self:
        if (self.search is None) == (not self.axes):
            raise ValueError("give either axes, for a grid, or search")
        if self.search is not None and (self.exclude or self.include or self.reference):
            raise ValueError("exclude, include and reference belong to a grid; a search has none of them")
        for name in (*self.axes, *(self.search.space if self.search else ())):
            if name in COLUMNS:
                raise ValueError(f"'{name}' is a column of the results; give the axis another name")
        for name, values in self.axes.items():
            if not values:
                raise ValueError(f"axes.{name}: needs at least one value")
        for where, entries in (("exclude", self.exclude), ("include", self.include)):
            for entry in entries:
                strange = [name for name in entry if name not in self.axes]
                if strange:
                    raise ValueError(f"{where}: '{strange[0]}' is not among the axes {', '.join(self.axes)}")
        return self

    @property
    def measured_part(self) -> Part:
        """Split on which every trial is measured."""
        return self.measure if self.search is None else "valid"


def nested(overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Return dotted keys as nested mappings; a nested key wins over the same key in dotted form.

    ``{"trainer.lr": 0.1, "model": {"width": 32}}`` gives
    ``{"trainer": {"lr": 0.1}, "model": {"width": 32}}``.
    """
    result: dict[str, Any] = {}
    plain = {key: value for key, value in overrides.items() if "." not in key}
    for key, value in overrides.items():
        if "." in key:
            for part in reversed(key.split(".")):
                value = {part: value}
            result = _laid(result, value)
    return _laid(result, plain)


def _laid(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Merge mappings key by key; unlike in overrides, a ``type`` does not discard the keys beside it."""
    result = dict(base)
    for key, value in over.items():
        old = result.get(key)
        both = isinstance(old, Mapping) and isinstance(value, Mapping)
        result[key] = _laid(old, value) if both else value  # type: ignore[arg-type]
    return result


def lay(base: Mapping[str, Any], layers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Apply overrides to a configuration in order; a changed ``type`` starts from its defaults."""
    result = dict(base)
    for layer in layers:
        result = merge(result, nested(layer))
    return result


def named_choices(axis: str, values: Choices) -> dict[str, dict[str, Any]]:
    """Return the values of an axis by name: name -> overrides."""
    if isinstance(values, Mapping):
        return dict(values)
    return {label_of(value): {axis: value} for value in values}


def label_of(value: Any) -> str:
    """Return a value as it appears in names: text unchanged, all else as YAML or Python would write it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return str(value.get("type", "-".join(f"{key}-{label_of(inner)}" for key, inner in value.items())))
    if isinstance(value, (list, tuple)):
        return "-".join(label_of(inner) for inner in value) or "none"
    return str(value)

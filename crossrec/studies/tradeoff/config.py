"""Configuration of a trade-off study, and its points."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator, model_validator

from crossrec.config import Config
from crossrec.evaluation.config import MetricName
from crossrec.rerank import RERANKERS
from crossrec.rerank.recommender import RerankConfig
from crossrec.types import InputError

GRID = (0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
ONE_MODEL = "model"
"""Name of the model if ``runs`` is a list."""


class RerankerSweep(RerankConfig):
    """Chain of rerankers and the strengths to try.

    Args:
        grids: for each stage the values of ``diversity`` to try, or null to keep the stage's own; all
            combinations are tried. By default the last stage with a ``diversity`` uses the study's grid and
            the others keep theirs.
        spaces: values of ``space`` to try in the last stage that has one; its own by default.
    """

    grids: tuple[tuple[float, ...] | None, ...] | None = None
    spaces: tuple[str, ...] = ()


class MethodConfig(Config):
    """Method: all points of some models with some rerankers.

    It always includes the points of these models without a reranker.

    Args:
        models: labels of models in ``runs``.
        rerankers: labels of rerankers in ``rerankers``; none means training alone.
    """

    models: tuple[str, ...] = Field(min_length=1)
    rerankers: tuple[str, ...] = ()


class GoalConfig(Config):
    """Requirements on a picked point.

    Args:
        budget: largest relative loss of accuracy on validation, 0.01 for 1 %.
        gains: measure -> required relative gain. With several, the point is picked whose smallest share of
            a required gain is largest.
    """

    budget: float = Field(0.01, ge=0, lt=1)
    gains: dict[MetricName, float] = Field(min_length=1)

    @field_validator("gains")
    @classmethod
    def _positive(cls, gains: dict[MetricName, float]) -> dict[MetricName, float]:
        if min(gains.values()) <= 0:
            raise ValueError(f"a required gain is above 0, such as 0.2 for 20 %; got {gains}")
        return gains


class TradeoffConfig(Config):
    """Configuration of a trade-off study of accuracy against diversity over trained runs.

    Args:
        out: folder of the results; finished points are not measured again.
        runs: run folders of one model that differ in their seed, or label -> such folders for several
            models (such as one for each weight of a training loss), seeds in the same order for all.
            reference: label of the model with which, unreranked, all is compared; the first by default.
        rerankers: label -> rerankers and strengths.
        methods: name -> models and rerankers. By default each reranker on the reference model and, where
            there are several models, training alone and each reranker on all models.
        grid: values of ``diversity``.
        k: length of the lists.
        accuracy: accuracy metric limited by the budget.
        diversity: measures, each with its front.
        goals: name -> goal.
        metrics: further metrics measured at every point.
        hypervolume_loss: relative loss of accuracy from which a point adds nothing to a hypervolume.
        n_bootstrap: number of resamples of the users.
        seed: seed of the resampling.
        device: device of models and rerankers.
    """

    out: Path
    runs: dict[str, tuple[Path, ...]]
    reference: str = ""
    rerankers: dict[str, RerankerSweep] = Field(default_factory=dict)
    methods: dict[str, MethodConfig] = Field(default_factory=dict)
    grid: tuple[float, ...] = GRID
    k: int = Field(10, ge=2, le=10_000)
    accuracy: MetricName = "ndcg"
    diversity: tuple[MetricName, ...] = ("ild_category", "ild", "coverage")
    goals: dict[str, GoalConfig] = Field(
        default_factory=lambda: {
            "category distance": GoalConfig(gains={"ild_category": 0.2}),
            "category distance and coverage": GoalConfig(gains={"ild_category": 0.2, "coverage": 0.3}),
        }
    )
    metrics: tuple[MetricName, ...] = (
        "ndcg",
        "recall",
        "ild_category",
        "ild",
        "ild_behaviour",
        "coverage",
        "gini",
        "entropy_norm",
    )
    hypervolume_loss: float = Field(0.1, gt=0, le=1)
    n_bootstrap: int = Field(1000, ge=2, le=1_000_000)
    seed: int = Field(0, ge=0)
    device: str = "auto"

    @field_validator("runs", mode="before")
    @classmethod
    def _one_model(cls, runs: Any) -> Any:
        return {ONE_MODEL: runs} if isinstance(runs, list | tuple) else runs

    @field_validator("grid")
    @classmethod
    def _strengths(cls, grid: tuple[float, ...]) -> tuple[float, ...]:
        if not grid or not all(0 <= value <= 1 for value in grid):
            raise ValueError(f"needs values of diversity from 0 to 1; got {list(grid)}")
        return tuple(sorted(set(grid)))

    @model_validator(mode="after")
    def _labels_are_known(self) -> TradeoffConfig:
        if not self.runs:
            raise ValueError("runs: needs at least one trained run")
        lengths = {label: len(folders) for label, folders in self.runs.items()}
        if len(set(lengths.values())) > 1 or min(lengths.values()) < 1:
            raise ValueError(f"runs: every model needs the same number of seeds, at least one; got {lengths}")
        _known("reference", (self.reference_label,), self.runs)
        for name, method in self.methods.items():
            _known(f"methods.{name}.models", method.models, self.runs)
            _known(f"methods.{name}.rerankers", method.rerankers, self.rerankers)
        return self

    @property
    def reference_label(self) -> str:
        """Label of the reference model."""
        return self.reference or next(iter(self.runs))

    @property
    def measured(self) -> tuple[MetricName, ...]:
        """All metrics that any part of the study needs, each once."""
        wanted = [self.accuracy, *self.diversity, *(m for goal in self.goals.values() for m in goal.gains)]
        return tuple(dict.fromkeys([*wanted, *self.metrics]))

    @property
    def all_methods(self) -> dict[str, MethodConfig]:
        """Configured methods, or the default ones."""
        if self.methods:
            return self.methods
        labels, base = tuple(self.runs), self.reference_label
        found = {r: MethodConfig(models=(base,), rerankers=(r,)) for r in self.rerankers}
        if len(labels) > 1:
            found["training"] = MethodConfig(models=labels)
            for reranker in self.rerankers:
                found[f"training + {reranker}"] = MethodConfig(models=labels, rerankers=(reranker,))
        return found or {base: MethodConfig(models=(base,))}


def _known(where: str, labels: tuple[str, ...], there: dict[str, Any]) -> None:
    unknown = [label for label in labels if label not in there]
    if unknown:
        raise ValueError(f"{where}: '{unknown[0]}' is not among {', '.join(there) or 'none'}")


STRENGTH, SPACE = "diversity", "space"
"""Fields of a reranker's configuration that a sweep sets."""


UNRERANKED = ""


@dataclass(frozen=True)
class TradeoffPoint:
    """Point of a study.

    Args:
        model: label of its runs.
        reranker: label of the reranker; ``UNRERANKED`` for the model's own order.
        space: space in which items are compared; "" without one.
        strengths: ``diversity`` of each stage that has one.
        stages: configurations of the rerankers.
        candidates: C, number of reranked items.
    """

    model: str
    reranker: str = UNRERANKED
    space: str = ""
    strengths: tuple[float, ...] = ()
    stages: tuple[Any, ...] = ()
    candidates: int = 0

    @property
    def label(self) -> str:
        """Name in tables and plots."""
        if self.reranker == UNRERANKED:
            return f"{self.model}, unreranked"
        space = f" ({self.space})" if self.space else ""
        return f"{self.model}, {self.reranker}{space} {self.strength}"

    @property
    def overrides(self) -> list[str]:
        """Overrides for ``evaluate.py`` that rerank a run's lists in this way."""
        if self.reranker == UNRERANKED:
            return []
        stages = [RERANKERS.dump(stage) for stage in self.stages]
        return [f"rerank.candidates={self.candidates}", f"rerank.stages={json.dumps(stages)}"]

    @property
    def strength(self) -> str:
        """The strengths as text, such as ``0.3`` or ``0.1, 0.4``."""
        return ", ".join(f"{value:g}" for value in self.strengths)


def all_variants(config: TradeoffConfig) -> list[TradeoffPoint]:
    """Return every point that a method needs, once; the unreranked reference model first."""
    methods = config.all_methods.values()
    models = dict.fromkeys([config.reference_label, *(m for method in methods for m in method.models)])
    pairs = dict.fromkeys(p for method in methods for p in itertools.product(method.models, method.rerankers))
    unreranked = [TradeoffPoint(model) for model in models]
    swept = [_swept(m, r, config.rerankers[r], config.grid) for m, r in pairs]
    return [*unreranked, *itertools.chain.from_iterable(swept)]


def members(method: MethodConfig, variants: Sequence[TradeoffPoint]) -> list[int]:
    """Return the numbers of the points that belong to a method."""
    rerankers = {UNRERANKED, *method.rerankers}
    return [i for i, v in enumerate(variants) if v.model in method.models and v.reranker in rerankers]


def _swept(model: str, label: str, sweep: RerankerSweep, grid: tuple[float, ...]) -> list[TradeoffPoint]:
    strong = [i for i, stage in enumerate(sweep.stages) if hasattr(stage, STRENGTH)]
    spaced = [i for i, stage in enumerate(sweep.stages) if hasattr(stage, SPACE)]
    grids = _grids(label, sweep, strong, grid)
    spaces = sweep.spaces or (None,)
    if sweep.spaces and not spaced:
        raise InputError(f"rerankers.{label}.spaces: no stage of it compares items in a space")
    variants = []
    for space, strengths in itertools.product(spaces, itertools.product(*grids.values())):
        stages = list(sweep.stages)
        for place, strength in zip(grids, strengths, strict=True):
            stages[place] = _changed(stages[place], {STRENGTH: strength})
        if space is not None:
            stages[spaced[-1]] = _changed(stages[spaced[-1]], {SPACE: space})
        variants.append(
            TradeoffPoint(
                model,
                label,
                str(getattr(stages[spaced[-1]], SPACE)) if spaced else "",
                tuple(float(getattr(stages[i], STRENGTH)) for i in strong),
                tuple(stages),
                sweep.candidates,
            )
        )
    return variants


def _grids(
    label: str, sweep: RerankerSweep, strong: list[int], grid: tuple[float, ...]
) -> dict[int, tuple[float, ...]]:
    """Return stage -> the strengths to try in it."""
    if sweep.grids is None:
        return {strong[-1]: grid} if strong else {}
    if len(sweep.grids) != len(sweep.stages):
        raise InputError(
            f"rerankers.{label}.grids: {len(sweep.grids)} entries for {len(sweep.stages)} stages; "
            "give one for each, null where the stage keeps its own diversity"
        )
    asked = {i: values for i, values in enumerate(sweep.grids) if values is not None}
    weak = [i for i in asked if i not in strong]
    if weak:
        raise InputError(f"rerankers.{label}.grids: stage {weak[0] + 1} has no diversity to set")
    return asked


def _changed(stage: Any, update: dict[str, Any]) -> Any:
    """Return the stage's configuration with other values, validated."""
    return type(stage).model_validate({**stage.model_dump(), **update})

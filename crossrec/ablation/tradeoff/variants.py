"""The points of a study: a model, with or without rerankers at some strengths."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from crossrec.ablation.tradeoff.config import MethodConfig, RerankerSweep, TradeoffConfig
from crossrec.types import InputError

STRENGTH, SPACE = "diversity", "space"
"""Fields of a reranker's configuration that a sweep sets."""
UNRERANKED = ""


@dataclass(frozen=True)
class Variant:
    """One point.

    Args:
        model: label of its runs.
        reranker: label, ``UNRERANKED`` where the model's own order stays.
        space: in which items are compared; "" where there is none.
        strengths: ``diversity`` of each stage that has one.
        stages: the rerankers' configurations.
        candidates: C, how many of the model's items are reranked.
    """

    model: str
    reranker: str = UNRERANKED
    space: str = ""
    strengths: tuple[float, ...] = ()
    stages: tuple[Any, ...] = ()
    candidates: int = 0

    @property
    def label(self) -> str:
        """What tables and plots call it."""
        if self.reranker == UNRERANKED:
            return f"{self.model}, unreranked"
        space = f" ({self.space})" if self.space else ""
        return f"{self.model}, {self.reranker}{space} {self.strength}"

    @property
    def overrides(self) -> list[str]:
        """What ``evaluate.py`` takes after a run of the model to rerank its lists in this way."""
        if self.reranker == UNRERANKED:
            return []
        stages = [stage.model_dump(mode="json") for stage in self.stages]
        return [f"rerank.candidates={self.candidates}", f"rerank.stages={json.dumps(stages)}"]

    @property
    def strength(self) -> str:
        """The strengths as text, such as ``0.3`` or ``0.1, 0.4``."""
        return ", ".join(f"{value:g}" for value in self.strengths)


def all_variants(config: TradeoffConfig) -> list[Variant]:
    """Every point that a method needs, once; the unreranked reference model first."""
    methods = config.all_methods.values()
    models = dict.fromkeys([config.reference_label, *(m for method in methods for m in method.models)])
    pairs = dict.fromkeys(p for method in methods for p in itertools.product(method.models, method.rerankers))
    unreranked = [Variant(model) for model in models]
    swept = [_swept(m, r, config.rerankers[r], config.grid) for m, r in pairs]
    return [*unreranked, *itertools.chain.from_iterable(swept)]


def members(method: MethodConfig, variants: Sequence[Variant]) -> list[int]:
    """Which of the points belong to a method."""
    rerankers = {UNRERANKED, *method.rerankers}
    return [i for i, v in enumerate(variants) if v.model in method.models and v.reranker in rerankers]


def _swept(model: str, label: str, sweep: RerankerSweep, grid: tuple[float, ...]) -> list[Variant]:
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
            Variant(
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
    """Stage -> the strengths to try in it."""
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
    """The stage's configuration with other values, validated."""
    return type(stage).model_validate({**stage.model_dump(), **update})

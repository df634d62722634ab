"""The configuration of an ablation: a grid of named axes, or a search, over any keys and seeds."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from crossrec.ablation.grid.search_config import Choices, SearchConfig
from crossrec.config import Config
from crossrec.evaluation.config import ComparisonConfig

Part = Literal["valid", "test"]

COLUMNS = ("trial", "variant", "seed", "part", "slice", "metric", "value", "low", "high", "n_users", "sd")
"""Names of columns that results have beside those of the axes."""

Labels = dict[str, Any]
"""Axis -> the value's name, or a list of them."""


class AblationConfig(Config):
    """What is tried, with which seeds, and how it is compared.

    Overrides are mappings as in an experiment's file; ``trainer.lr: 0.01`` is short for nested mappings.
    Where both say the same key the nested one counts, and so what the command line says.

    Args:
        base: the experiment's configuration file.
        changes: overrides of it for all trials.
        axes: name -> (name of a value -> overrides), or a key of the experiment -> list of its values; all
            combinations are tried.
        exclude: combinations that are left out; an axis that is not named may have any value.
        include: combinations that are added, even with values that a key's list lacks; all axes are named.
        search: in the place of axes.
        seeds: every variant is trained with each.
        measure: the part of the split that variants are measured on. In a search all are measured on
            validation, and with ``test`` the best there, and no other, on test too.
        compare: whether variants are compared with the reference by paired tests; it needs the same queries.
        reference: the variant that all others are compared with; the first by default.
        comparison: metrics and tests. A metric of a slice is written ``cold_items:recall@10``.
        report: whether every run gets its page with plots and pictures, which takes seconds each; without it,
            ``evaluate.py RUN`` makes it for one.
        jobs: trials at work at once on this machine.
        stale_after: seconds without a sign of life after which a worker's trial is given to another.
        out: folder of the study; trials that are finished there are read.
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
    stale_after: float = Field(60.0, gt=0)
    out: Path

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
        """The part that every trial is measured on."""
        return self.measure if self.search is None else "valid"

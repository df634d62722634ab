"""Search: proposals drawn by Optuna, one at a time, from all measurements so far."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from crossrec.runtime.files import held_lock
from crossrec.studies.grid.config import (
    AblationConfig,
    ChoiceConfig,
    DimensionConfig,
    FloatRangeConfig,
    IntRangeConfig,
    RangeConfig,
    SearchConfig,
    TPEConfig,
    label_of,
    named_choices,
)
from crossrec.studies.grid.plan import StudyTrial, Variant, experiment_of
from crossrec.studies.grid.scheduler import (
    JOURNAL_FILE,
    NAME,
    SECONDS,
    Assignment,
    Scheduler,
    TakenAssignment,
    require_optuna,
)
from crossrec.types import InputError

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.samplers import BaseSampler


class Search(Scheduler):
    """Proposals of a search; each is an assignment with a run for each seed.

    Args:
        config: configuration of the study.
        since: see :class:`crossrec.studies.grid.scheduler.Scheduler`.

    Raises:
        InputError: if the folder holds a search of another space, or of an earlier version.
    """

    def __init__(self, config: AblationConfig, since: int | None = None) -> None:
        if config.search is None:
            raise ValueError("the study is a grid")
        self.search: SearchConfig = config.search
        if (config.out / "proposals").exists():
            raise InputError(f"{config.out} holds a search of crossrec 0.1; give this one another out")
        super().__init__(config, since)
        self._known: dict[str, Assignment] = {}

    @cached_property
    def space(self) -> dict[str, BaseDistribution]:
        """Distributions of the proposals."""
        return {name: _distribution(name, dimension) for name, dimension in self.search.space.items()}

    def assignments(self) -> list[Assignment]:
        """Return all proposals, of all processes."""
        for recorded in self._recorded():
            name = recorded.user_attrs.get(NAME)
            if name is not None and name not in self._known:
                self._check_space(name, recorded.params)
                self._known[name] = self._assignment(len(self._known), recorded.params)
        return list(self._known.values())

    def exhausted(self) -> bool:
        """Return whether the budget allows no further proposal."""
        if len(self.assignments()) >= self.search.trials:
            return True
        if self.search.minutes is None:
            return False
        seconds = sum(trial.user_attrs.get(SECONDS, 0.0) for trial in self._recorded())
        return bool(seconds >= 60 * self.search.minutes)

    def best(self) -> Assignment | None:
        """Return the best proposal on validation, the earlier one in a tie; None if none is measured."""
        sign = -1.0 if self.search.direction == "maximize" else 1.0
        known = [
            (sign * value, one.number) for one in self.assignments() if (value := self.value(one)) is not None
        ]
        return self.assignments()[min(known)[1]] if known else None

    @property
    def objective(self) -> str:
        """The metric on validation."""
        return self.search.objective

    def _propose(self) -> TakenAssignment | None:
        """Draw the next proposal: it depends on the seed, its number and everything measured by now."""
        if self.exhausted():
            return None
        number = len(self.assignments())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Optuna warns of experimental arguments
            self.study.sampler = self._sampler(number)
            drawn = self.study.ask(self.space)
        assignment = self._assignment(number, drawn.params)
        # Only trials with a name are proposals: a process that dies before leaves none.
        drawn.set_user_attr(NAME, assignment.name)
        return self._taken(assignment, drawn, *held_lock(self._lock_file(assignment.name)))

    def _sampler(self, number: int) -> BaseSampler:
        optuna = require_optuna()
        # Each sampler begins at its seed: the number makes proposals of all processes distinct.
        seed = int(np.random.default_rng([self.search.seed, number]).integers(2**31))
        sampler: BaseSampler = optuna.samplers.RandomSampler(seed=seed)
        if isinstance(self.search.sampler, TPEConfig):
            # Running proposals count as bad ones, so that processes spread out.
            sampler = optuna.samplers.TPESampler(
                n_startup_trials=self.search.sampler.startup, multivariate=True, constant_liar=True, seed=seed
            )
        return sampler

    def _assignment(self, number: int, values: Mapping[str, Any]) -> Assignment:
        overrides = []
        for name, value in values.items():
            dimension = self.search.space[name]
            if isinstance(dimension, ChoiceConfig):
                overrides.append(named_choices(name, dimension.values)[value])
            else:
                overrides.append({name: value})
        labels = {name: label_of(value) for name, value in values.items()}
        variant = Variant(f"trial-{number:04d}", labels, tuple(overrides))
        trials = tuple(StudyTrial(variant, experiment_of(self.config, variant, s)) for s in self.config.seeds)
        return Assignment(variant.name, trials, dict(values), number)

    def _check_space(self, proposal: str, values: Mapping[str, Any]) -> None:
        space = self.search.space
        strange = next((name for name in {**space, **values} if (name in space) != (name in values)), None)
        if strange is None:
            strange = next((n for n, value in values.items() if not _holds(n, space[n], value)), None)
        if strange is not None:
            raise InputError(
                f"{self.config.out / JOURNAL_FILE}: {proposal} was proposed from another search.space: "
                f"'{strange}' differs. Give the search another out, or return to the first space"
            )


def _holds(name: str, dimension: DimensionConfig, value: Any) -> bool:
    if isinstance(dimension, ChoiceConfig):
        return value in named_choices(name, dimension.values)
    assert isinstance(dimension, RangeConfig)
    return isinstance(value, (int, float)) and bool(dimension.low <= value <= dimension.high)


def _distribution(name: str, dimension: DimensionConfig) -> BaseDistribution:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(dimension, ChoiceConfig):
        return CategoricalDistribution(list(named_choices(name, dimension.values)))
    if isinstance(dimension, FloatRangeConfig):
        return FloatDistribution(dimension.low, dimension.high, log=dimension.log)
    assert isinstance(dimension, IntRangeConfig)
    return IntDistribution(dimension.low, dimension.high, log=dimension.log)


def open_scheduler(config: AblationConfig, since: int | None = None) -> Scheduler:
    """Return the scheduler of a grid or of a search."""
    return Scheduler(config, since) if config.search is None else Search(config, since)

"""The proposals of a search: made one at a time from all that is measured, kept as files.

Optuna is asked anew for each proposal, with everything that is known given to it: its state is nothing but
the study's folder, which any machine can read.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from crossrec.evaluation.results import Evaluation
from crossrec.runtime.files import write_text
from crossrec.studies.grid.board import Board
from crossrec.studies.grid.config import (
    AblationConfig,
    ChoiceConfig,
    DimensionConfig,
    FloatRangeConfig,
    SearchConfig,
    TPEConfig,
    label_of,
    named_choices,
)
from crossrec.studies.grid.plan import StudyTrial, Variant, experiment_of, split_slice
from crossrec.types import InputError

if TYPE_CHECKING:
    from optuna import Study
    from optuna.distributions import BaseDistribution
    from optuna.samplers import BaseSampler
    from optuna.trial import FrozenTrial


PROPOSALS_FOLDER = "proposals"


@dataclass(frozen=True)
class Proposal:
    """Settings to try.

    Args:
        number: from 0.
        values: key -> a number, or the name of a choice.
        trials: one for each seed.
    """

    number: int
    values: Mapping[str, Any]
    trials: tuple[StudyTrial, ...]

    @property
    def name(self) -> str:
        """Of its variant."""
        return self.trials[0].variant.name


class Search:
    """The proposals of a study, and how many more there may be.

    Args:
        config: of the study.
        board: of the study.
    """

    def __init__(self, config: AblationConfig, board: Board) -> None:
        if config.search is None:
            raise ValueError("the study is a grid")
        self.config, self.board = config, board
        self.search: SearchConfig = config.search
        self._known: list[Proposal] = []
        self._values: dict[int, float] = {}

    def proposals(self) -> list[Proposal]:
        """All that were made, by whomever."""
        while (path := self._path(len(self._known))).exists():
            values = json.loads(path.read_text(encoding="utf-8"))
            self._check_space(path, values)
            self._known.append(self._proposal(len(self._known), values))
        return self._known

    def trials(self) -> list[StudyTrial]:
        """Of all proposals."""
        return [trial for proposal in self.proposals() for trial in proposal.trials]

    def exhausted(self) -> bool:
        """Whether the budget allows no further proposal."""
        if len(self.proposals()) >= self.search.trials:
            return True
        if self.search.minutes is None:
            return False
        ended = self.board.outcomes([trial.name for trial in self.trials()])
        return sum(outcome.seconds for outcome in ended.values()) >= 60 * self.search.minutes

    def extend(self) -> bool:
        """Makes the next proposal; False where there is to be none, or another worker is making it.

        Raises:
            InputError: optuna is not installed.
        """
        if self.exhausted():
            return False
        number = len(self.proposals())
        claim = self.board.claims.take(f"proposal-{number:04d}")
        if claim is None:
            return False
        try:
            if not self._path(number).exists():
                write_text(self._path(number), json.dumps(self._ask(number)) + "\n")
        finally:
            claim.release()
        return True

    def value(self, proposal: Proposal) -> float | None:
        """The objective on validation, mean over seeds; None while a seed is missing, or has none."""
        if proposal.number not in self._values:
            ended = self.board.outcomes([trial.name for trial in proposal.trials])
            if [outcome.status for outcome in ended.values()] != ["done"] * len(proposal.trials):
                return None
            values = [objective_of(trial, self.search.objective) for trial in proposal.trials]
            self._values[proposal.number] = float(np.mean(values))
        found = self._values[proposal.number]
        return None if np.isnan(found) else found

    def best(self) -> Proposal | None:
        """The best on validation, the earlier one of equals; None where no proposal is measured."""
        sign = -1.0 if self.search.direction == "maximize" else 1.0
        known = [(sign * value, p.number) for p in self.proposals() if (value := self.value(p)) is not None]
        return self.proposals()[min(known)[1]] if known else None

    def _check_space(self, path: Path, values: Mapping[str, Any]) -> None:
        space = self.search.space
        strange = next((name for name in {**space, **values} if (name in space) != (name in values)), None)
        if strange is None:
            strange = next(
                (name for name, value in values.items() if not _holds(name, space[name], value)), None
            )
        if strange is not None:
            raise InputError(
                f"{path} was proposed from another search.space: '{strange}' differs. Give the search "
                "another out, or go back to the space that it began with"
            )

    def _path(self, number: int) -> Path:
        return self.board.folder / PROPOSALS_FOLDER / f"{number:04d}.json"

    def _proposal(self, number: int, values: Mapping[str, Any]) -> Proposal:
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
        return Proposal(number, values, trials)

    def _ask(self, number: int) -> dict[str, Any]:
        """A proposal's values, which hang on the seed, its number and all that is known by now."""
        space = {name: _distribution(name, self.search) for name in self.search.space}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # optuna warns of what it calls experimental
            study = _study(self.search, number, space)
            for proposal in self.proposals():
                study.add_trial(self._told(proposal, space))
            return dict(study.ask(space).params)

    def _told(self, proposal: Proposal, space: Mapping[str, BaseDistribution]) -> FrozenTrial:
        from optuna.trial import TrialState, create_trial

        value = self.value(proposal)
        ended = self.board.outcomes([trial.name for trial in proposal.trials])
        missing = TrialState.FAIL if len(ended) == len(proposal.trials) else TrialState.RUNNING
        return create_trial(
            state=missing if value is None else TrialState.COMPLETE,
            value=value,
            params=dict(proposal.values),
            distributions=dict(space),
        )


def _holds(name: str, dimension: DimensionConfig, value: Any) -> bool:
    if isinstance(dimension, ChoiceConfig):
        return value in named_choices(name, dimension.values)
    return isinstance(value, (int, float)) and dimension.low <= value <= dimension.high


def objective_of(trial: StudyTrial, metric: str) -> float:
    """A metric of a measured trial on validation."""
    part, name = split_slice(metric)
    evaluation = Evaluation.load(trial.config.run_folder / "eval" / "valid")
    found: Mapping[str, Any] = evaluation.slices[part] if part else evaluation.metrics
    return float(found[name]["value"])


def _study(search: SearchConfig, number: int, space: Mapping[str, BaseDistribution]) -> Study:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    # A sampler that is made anew begins at its seed: the number keeps proposals apart.
    seed = int(np.random.default_rng([search.seed, number]).integers(2**31))
    sampler: BaseSampler = optuna.samplers.RandomSampler(seed=seed)
    if isinstance(search.sampler, TPEConfig):
        # Proposals at work elsewhere count as bad ones, so that workers spread out.
        sampler = optuna.samplers.TPESampler(
            n_startup_trials=search.sampler.startup, multivariate=True, constant_liar=True, seed=seed
        )
    return optuna.create_study(sampler=sampler, direction=search.direction)


def _distribution(name: str, search: SearchConfig) -> BaseDistribution:
    try:
        from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
    except ImportError as error:
        raise InputError("a search needs optuna: pip install 'crossrec[search]'") from error
    dimension = search.space[name]
    if isinstance(dimension, ChoiceConfig):
        return CategoricalDistribution(list(named_choices(name, dimension.values)))
    if isinstance(dimension, FloatRangeConfig):
        return FloatDistribution(dimension.low, dimension.high, log=dimension.log)
    return IntDistribution(dimension.low, dimension.high, log=dimension.log)


def check_search(config: AblationConfig) -> None:
    """Refuses a search that could not propose, before anything is trained.

    Raises:
        InputError: optuna is not installed.
    """
    if config.search is not None:
        for name in config.search.space:
            _distribution(name, config.search)

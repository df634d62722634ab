"""Scheduler of ablations: an Optuna study in a journal file shared by any number of processes.

An assignment is a unit of work of one process: a run of a grid, or a search's proposal with a run for each
seed. Whether an assignment is done is read from its run folders; the journal records workers, errors and
proposals.

Journal storage has no heartbeats. A process holds a file lock while it works on an assignment, and the
operating system releases the lock when the process ends for any reason: an Optuna trial that is RUNNING
while its lock is free was left by a dead process, and its assignment is taken again.
"""

from __future__ import annotations

import logging
import math
import os
import socket
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from crossrec.evaluation.results import METRICS_FILE, Evaluation
from crossrec.runtime.files import held_lock, lock, release_lock
from crossrec.studies.grid.config import AblationConfig
from crossrec.studies.grid.plan import StudyTrial, grid, split_slice, trials_of, wanted_metrics
from crossrec.types import InputError

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial

logger = logging.getLogger(__name__)

JOURNAL_FILE, LOCK_FILE, LOCKS_FOLDER, LOGS_FOLDER = "study.journal", ".study.lock", "locks", "logs"
STUDY_NAME = "ablation"
MOST_DEATHS = 3
"""Number of processes that may die during an assignment before it counts as failed."""

NAME, SECONDS, WORKER, ERROR, RELEASED = "name", "seconds", "worker", "error", "released"
"""User attributes of an Optuna trial."""


@dataclass(frozen=True)
class TrialResult:
    """Result of a trial.

    Args:
        status: whether it is measured.
        seconds: duration of its assignment; 0 where the journal has none.
        error: error in one line; empty if it is done.
    """

    status: Literal["done", "failed"]
    seconds: float
    error: str = ""


@dataclass(frozen=True)
class Assignment:
    """Runs that one process trains in sequence.

    Args:
        name: unique name in the study.
        trials: one run of a grid, or a run for each seed of a search's proposal.
        values: values of a proposal: key -> a number, or the name of a choice.
        number: position in the plan, or of the proposal.
    """

    name: str
    trials: tuple[StudyTrial, ...]
    values: Mapping[str, Any] = field(default_factory=dict)
    number: int = 0


@dataclass(frozen=True)
class TakenAssignment:
    """Assignment in progress in this process, with its Optuna trial and its lock's descriptor."""

    assignment: Assignment
    trial: Trial
    lock: int


class Scheduler:
    """Assignments of a grid, shared by all processes that open its study; a subclass has a search's.

    Args:
        config: configuration of the study.
        since: number of Optuna trials when the command began: those that failed or died before are tried
            again. By default the current number.

    Raises:
        InputError: if Optuna is not installed, or the journal can't be read.
    """

    def __init__(self, config: AblationConfig, since: int | None = None) -> None:
        self.config = config
        self.study = _open_study(config)
        self.since = len(self._recorded()) if since is None else since
        self._planned: list[Assignment] | None = None

    @property
    def space(self) -> dict[str, BaseDistribution]:
        """Distributions that Optuna draws from; a grid has none."""
        return {}

    def assignments(self) -> list[Assignment]:
        """Return all assignments known by now, in the order of execution."""
        if self._planned is None:
            planned = trials_of(self.config, grid(self.config))
            self._planned = [Assignment(t.name, (t,), number=n) for n, t in enumerate(planned)]
        return self._planned

    def exhausted(self) -> bool:
        """Return whether there will be no further assignments."""
        return True

    def take(self) -> TakenAssignment | None:
        """Take the first assignment that is not done, failed or in progress; None if there is none."""
        with self._exclusive():
            busy = self._busy()
            for assignment in self.assignments():
                if assignment.name not in busy and self.result(assignment) is None:
                    taken = self._start(assignment)
                    if taken is not None:
                        return taken
            return self._propose()

    def finish(self, taken: TakenAssignment, seconds: float, error: str = "") -> None:
        """Record the end of an assignment and release it.

        Args:
            taken: assignment of this process.
            seconds: seconds since it was taken.
            error: error in one line; empty if all its runs are measured.
        """
        from optuna.trial import TrialState

        value = None if error else self.value(taken.assignment)
        attributes: dict[str, Any] = {SECONDS: seconds, **({ERROR: error} if error else {})}
        state = TrialState.FAIL if value is None else TrialState.COMPLETE
        self._tell(taken, attributes, state, value)

    def give_back(self, taken: TakenAssignment) -> None:
        """Release an assignment that was interrupted, so that the next process takes it at once."""
        from optuna.trial import TrialState

        self._tell(taken, {RELEASED: True}, TrialState.FAIL, None)

    def result(self, assignment: Assignment) -> TrialResult | None:
        """Return the result of an assignment; None while it has not ended."""
        recorded = [t for t in self._recorded() if t.user_attrs.get(NAME) == assignment.name]
        if all(self.measured(trial) for trial in assignment.trials):
            seconds = [t.user_attrs[SECONDS] for t in recorded if SECONDS in t.user_attrs]
            return TrialResult("done", seconds[-1] if seconds else 0.0)
        failures = [t for t in recorded if t.number >= self.since and t.state.name == "FAIL"]
        if failures and ERROR in failures[-1].user_attrs:
            last = failures[-1].user_attrs
            return TrialResult("failed", last[SECONDS], last[ERROR])
        deaths = sum(RELEASED not in t.user_attrs and ERROR not in t.user_attrs for t in failures)
        if deaths >= MOST_DEATHS:
            error = f"{deaths} processes died, perhaps for lack of memory (fewer jobs need less)"
            return TrialResult("failed", 0.0, error)
        return None

    def results(self) -> dict[str, TrialResult]:
        """Return the outcome of each finished run by its name."""
        found = {}
        for assignment in self.assignments():
            result = self.result(assignment)
            for trial in assignment.trials:
                if self.measured(trial):
                    found[trial.name] = TrialResult("done", 0.0 if result is None else result.seconds)
                elif result is not None:
                    found[trial.name] = result
        return found

    def over(self) -> bool:
        """Return whether all assignments have ended and there will be no further ones."""
        return self.exhausted() and all(self.result(one) is not None for one in self.assignments())

    def measured(self, trial: StudyTrial) -> bool:
        """Return whether a run's folder holds its metrics on the study's part of the split."""
        return (trial.config.run_folder / "eval" / self.config.measured_part / METRICS_FILE).exists()

    def value(self, assignment: Assignment) -> float | None:
        """Return the value reported to Optuna: the objective's mean over the runs; None without one."""
        if not all(self.measured(trial) for trial in assignment.trials):
            return None
        part, metric = self.config.measured_part, self.objective
        if not metric:
            return 0.0
        value = float(np.mean([objective_of(trial, metric, part) for trial in assignment.trials]))
        return value if math.isfinite(value) else None

    @property
    def objective(self) -> str:
        """Metric reported to Optuna: for a grid the first one named, or "" for none."""
        return next(iter(wanted_metrics(self.config)), "")

    def log(self, trial: StudyTrial) -> Path:
        """Return the file of a run's output."""
        return self.config.out / LOGS_FOLDER / f"{trial.name}.log"

    def _propose(self) -> TakenAssignment | None:
        """Make a new assignment and take it; a grid has none to make."""
        return None

    def _recorded(self) -> list[FrozenTrial]:
        """Optuna's trials."""
        try:
            return self.study.get_trials(deepcopy=False)
        except ValueError as error:  # a line that was cut short
            path = self.config.out / JOURNAL_FILE
            raise InputError(
                f"{path} is damaged ({error}): remove it; runs that are finished are read from their folders"
            ) from error

    def _busy(self) -> set[str]:
        """Return the assignments on which live processes work; report trials of dead ones as failed."""
        from optuna.trial import TrialState

        busy = set()
        for trial in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            name = trial.user_attrs.get(NAME)
            if name is not None and self._alive(trial.number, name):
                busy.add(name)
            else:
                self.study.tell(trial.number, state=TrialState.FAIL)
        return busy

    def _alive(self, number: int, name: str) -> bool:
        path = self._lock_file(name)
        file, free = held_lock(path)
        release_lock(file, path if free else None)
        # Without locks, trials that began before this command count as dead.
        return number >= self.since if free is None else not free

    def _start(self, assignment: Assignment) -> TakenAssignment | None:
        """Mark an assignment as running; None where another process holds its lock."""
        from optuna.trial import TrialState

        file, free = held_lock(self._lock_file(assignment.name))
        if free is False:
            release_lock(file)
            return None
        self.study.enqueue_trial(dict(assignment.values), user_attrs={NAME: assignment.name})
        trial = self.study.ask(self.space)
        while trial.user_attrs.get(NAME) != assignment.name:  # left by a process that died in between
            self.study.tell(trial, state=TrialState.FAIL)
            trial = self.study.ask(self.space)
        return self._taken(assignment, trial, file, free)

    def _taken(self, assignment: Assignment, trial: Trial, file: int, free: bool | None) -> TakenAssignment:
        if free is None:
            logger.warning("the file system of %s has no locks: run one command at a time", self.config.out)
        trial.set_user_attr(WORKER, f"{socket.gethostname()}:{os.getpid()}")
        return TakenAssignment(assignment, trial, file)

    def _tell(
        self, taken: TakenAssignment, attributes: Mapping[str, Any], state: Any, value: float | None
    ) -> None:
        with self._exclusive():
            try:
                for key, content in attributes.items():
                    taken.trial.set_user_attr(key, content)
                self.study.tell(taken.trial, value, state)
            except (ValueError, RuntimeError) as error:
                # Reported as dead by a machine that does not see this one's locks; the results are kept.
                logger.warning("%s: its end could not be recorded: %s", taken.assignment.name, error)
            finally:
                release_lock(taken.lock, self._lock_file(taken.assignment.name))

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        """Keep other processes from taking assignments within the block."""
        file = os.open(self.config.out / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            lock(file, wait=True)
            yield
        finally:
            os.close(file)

    def _lock_file(self, name: str) -> Path:
        return self.config.out / LOCKS_FOLDER / f"{name}.lock"


def _open_study(config: AblationConfig) -> Study:
    optuna = require_optuna()
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

    config.out.mkdir(parents=True, exist_ok=True)
    path = str((config.out / JOURNAL_FILE).resolve())
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    direction = "maximize" if config.search is None else config.search.direction
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Optuna warns of experimental arguments
            storage = JournalStorage(JournalFileBackend(path, JournalFileOpenLock(path)))
            study: Study = optuna.create_study(
                storage=storage, study_name=STUDY_NAME, direction=direction, load_if_exists=True
            )
    except ValueError as error:
        raise InputError(
            f"{path} is damaged ({error}): remove it; runs that are finished are read from their folders"
        ) from error
    if study.direction.name.lower() != direction:
        raise InputError(
            f"search.direction: the search in {config.out} began with the other; give another out"
        )
    return study


def require_optuna() -> Any:
    """Import and return Optuna.

    Raises:
        InputError: if it is not installed.
    """
    try:
        import optuna
    except ImportError as error:
        raise InputError("ablations need optuna: pip install 'crossrec[studies]'") from error
    return optuna


def objective_of(trial: StudyTrial, metric: str, part: str = "valid") -> float:
    """Return a metric of a measured trial."""
    evaluation = Evaluation.load(trial.config.run_folder / "eval" / part)
    of_slice, name = split_slice(metric)
    found: Mapping[str, Any] = evaluation.slices[of_slice] if of_slice else evaluation.metrics
    return float(found[name]["value"])

"""One trial: an ordinary run, trained or resumed, measured on the part that the study says."""

from __future__ import annotations

import logging
import time
import traceback
from contextlib import redirect_stdout

from crossrec.data.prepare import DataConfig
from crossrec.experiment.config import ExperimentConfig
from crossrec.experiment.prepared import PreparedExperiment
from crossrec.experiment.train import run_training
from crossrec.studies.grid.board import Board, TrialResult
from crossrec.studies.grid.claims import Claim
from crossrec.studies.grid.config import Part
from crossrec.studies.grid.plan import StudyTrial
from crossrec.types import InputError

logger = logging.getLogger(__name__)


class Ground:
    """Data that trials one after the other share, as far as their configurations allow."""

    def __init__(self) -> None:
        self._shared: PreparedExperiment | None = None

    def setting(self, config: ExperimentConfig) -> PreparedExperiment:
        """The trial's setting; its data is prepared only where the last trial's was another."""
        if self._shared is None or _divided_by(self._shared.config) != _divided_by(config):
            self._shared = PreparedExperiment.of(config)
        return PreparedExperiment(config, self._shared.data, self._shared.content)


def _divided_by(config: ExperimentConfig) -> tuple[DataConfig, bool]:
    """Keys that the data of an experiment depend on."""
    return config.data, config.evaluation.repeats


def perform(
    trial: StudyTrial, claim: Claim, part: Part, board: Board, ground: Ground, *, report: bool
) -> TrialResult | None:
    """Runs a claimed trial and writes down how it ended; what it prints goes to its log.

    Args:
        trial: to run.
        claim: on it; released at the end.
        part: of the split, to be measured.
        board: of the study.
        ground: of this worker.
        report: whether the run gets its page.

    Returns:
        How it ended; None where another worker took the trial over.
    """
    outcome: TrialResult | None = None
    try:
        try:
            outcome = _attempt(trial, part, board, ground, report=report)
            if not claim.check_lost():
                board.finish(trial.name, outcome)
        finally:
            claim.release()
    except KeyboardInterrupt:
        # The interrupt of a lost claim may come as late as in its release.
        if not claim.lost:
            raise
    if claim.lost:
        logger.warning("%s was taken over by another worker", trial.name)
        return None
    return outcome


def _attempt(trial: StudyTrial, part: Part, board: Board, ground: Ground, *, report: bool) -> TrialResult:
    """Runs a trial, and says how it ended."""
    started = time.perf_counter()
    path = board.log(trial.name)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with path.open("a", encoding="utf-8") as log, redirect_stdout(log):
            run_training(trial.config, part, shared=ground.setting(trial.config), report=report)
        return TrialResult("done", round(time.perf_counter() - started, 1), board.worker)
    except Exception as error:
        # Whatever went wrong in this trial, the others may be well.
        told = str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}"
        details = "" if isinstance(error, InputError) else traceback.format_exc()
        return TrialResult("failed", round(time.perf_counter() - started, 1), board.worker, told, details)

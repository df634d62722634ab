"""A worker: takes one trial after the other until all of a study have ended."""

from __future__ import annotations

import _thread
import logging
import sys
import threading
import time
from collections.abc import Callable
from typing import Protocol

from crossrec.studies.grid.board import Board, TrialResult
from crossrec.studies.grid.claims import Claim, interruptible
from crossrec.studies.grid.config import AblationConfig
from crossrec.studies.grid.plan import StudyTrial, grid, trials_of
from crossrec.studies.grid.search import Search

POLL = 1.0
"""Seconds between looks at what others are doing, at most."""


Told = Callable[[StudyTrial, TrialResult], None]


class TrialSource(Protocol):
    """Where trials come from."""

    def trials(self) -> list[StudyTrial]:
        """Those known by now."""
        ...

    def extend(self) -> bool:
        """Adds trials; False where there are none to add, or another worker is at it."""
        ...

    def exhausted(self) -> bool:
        """Whether there will be no further ones."""
        ...


class Grid:
    """The trials of a grid, all known at once.

    Args:
        trials: in the order in which they are taken.
    """

    def __init__(self, trials: list[StudyTrial]) -> None:
        self._trials = trials

    def trials(self) -> list[StudyTrial]:
        """All of them."""
        return self._trials

    def extend(self) -> bool:
        """There are none to add."""
        return False

    def exhausted(self) -> bool:
        """There will be no further ones."""
        return True


def source_of(config: AblationConfig, board: Board) -> TrialSource:
    """Where a study's trials come from."""
    if config.search is not None:
        return Search(config, board)
    return Grid(trials_of(config, grid(config)))


def work(config: AblationConfig, source: TrialSource, board: Board, told: Told) -> None:
    """Runs trials until all have ended, here or at other workers, whose trials are taken over if they die.

    Args:
        config: of the study.
        source: of its trials.
        board: of the study.
        told: of every trial that ended here.
    """
    with interruptible():
        _take_all(config, source, board, told)


def _take_all(config: AblationConfig, source: TrialSource, board: Board, told: Told) -> None:
    from crossrec.studies.grid.trial import Ground, perform

    ground, pause = Ground(), min(POLL, config.stale_after / 10)
    while True:
        found = _next(source, board)
        if found is not None:
            trial, claim = found
            outcome = perform(trial, claim, config.measured_part, board, ground, report=config.report)
            if outcome is not None:
                told(trial, outcome)
        elif not source.extend():
            if source.exhausted() and _all_ended(source, board):
                return
            time.sleep(pause)


def _next(source: TrialSource, board: Board) -> tuple[StudyTrial, Claim] | None:
    for trial in source.trials():
        claim = board.take(trial.name)
        if claim is not None:
            return trial, claim
    return None


def _all_ended(source: TrialSource, board: Board) -> bool:
    names = [trial.name for trial in source.trials()]
    return len(board.outcomes(names)) == len(names)


def main() -> int:
    """The process of one worker: reads the study's configuration, as JSON in one line, from its input.

    Where the input ends, whoever started it is gone or wants it to stop: the trial at work is given back.
    """
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    config = AblationConfig.model_validate_json(sys.stdin.readline())
    board = Board.of(config)
    over = threading.Event()
    threading.Thread(target=_stop_with_input, args=(over,), daemon=True).start()
    logger = logging.getLogger(__name__)
    try:
        work(
            config,
            source_of(config, board),
            board,
            lambda trial, outcome: logger.info("%s: %s", trial.name, outcome.status),
        )
    except KeyboardInterrupt:
        logger.info("stopped; the trial at work goes on from its checkpoint when the study does")
        return 130
    finally:
        over.set()
    return 0


def _stop_with_input(over: threading.Event) -> None:
    sys.stdin.read()
    if not over.is_set():
        _thread.interrupt_main()


if __name__ == "__main__":
    raise SystemExit(main())

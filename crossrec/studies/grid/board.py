"""The state of a study on disk: how each trial ended, and who is at work."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from crossrec.runtime.files import write_text
from crossrec.studies.grid.claims import Claim, Claims
from crossrec.studies.grid.config import AblationConfig

OUTCOMES_FOLDER, CLAIMS_FOLDER, LOGS_FOLDER = "outcomes", "claims", "logs"


MOST_DEATHS = 3
"""So many workers may die at a trial before it counts as failed."""


Status = Literal["done", "failed"]


@dataclass(frozen=True)
class TrialResult:
    """How a trial ended.

    Args:
        status: whether it is measured.
        seconds: it took, since it was last taken up.
        worker: who finished it.
        error: in one line; empty if it is done.
        details: the error's traceback, where it was not the configuration's fault.
    """

    status: Status
    seconds: float
    worker: str
    error: str = ""
    details: str = ""


class Board:
    """Outcomes and claims of a study's trials, shared by all workers.

    Args:
        folder: of the study.
        stale_after: seconds without a sign of life after which a worker's claim is dead.
        worker: who looks; machine and process by default.
    """

    def __init__(self, folder: Path, stale_after: float, worker: str = "") -> None:
        self.folder = folder
        self.worker = worker or f"{socket.gethostname()}:{os.getpid()}"
        self.claims = Claims(folder / CLAIMS_FOLDER, self.worker, stale_after)

    @classmethod
    def of(cls, config: AblationConfig) -> Board:
        """The board of a study."""
        return cls(config.out, config.stale_after)

    def outcome(self, name: str) -> TrialResult | None:
        """How a trial ended; None while it has not."""
        try:
            text = self._path(name).read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        return TrialResult(**json.loads(text))

    def outcomes(self, names: Sequence[str]) -> dict[str, TrialResult]:
        """Those that have ended."""
        found = {name: self.outcome(name) for name in names}
        return {name: outcome for name, outcome in found.items() if outcome is not None}

    def finish(self, name: str, outcome: TrialResult) -> None:
        """Writes down how a trial ended."""
        write_text(self._path(name), json.dumps(asdict(outcome), indent=2) + "\n")

    def take(self, name: str) -> Claim | None:
        """Claims a trial that has not ended and that nobody is at; None otherwise."""
        if self.outcome(name) is not None:
            return None
        claim = self.claims.take(name)
        if claim is None:
            return None
        if self.outcome(name) is not None:  # it ended between the look and the claim
            claim.release()
            return None
        deaths = self.claims.deaths(name) - 1
        if deaths >= MOST_DEATHS:
            error = f"{deaths} workers died at it, perhaps for lack of memory (fewer jobs need less)"
            self.finish(name, TrialResult("failed", 0.0, self.worker, error))
            claim.release()
            return None
        return claim

    def forgive(self, names: Sequence[str]) -> None:
        """Lets failed trials be tried anew; how they failed stays on record beside."""
        for name in names:
            outcome = self.outcome(name)
            if outcome is not None and outcome.status == "failed":
                self.reopen(name, outcome.status)

    def reopen(self, name: str, why: str) -> None:
        """Lets a trial that has ended be taken again; how it ended stays on record as ``name.why-0``."""
        before = len(list(self._path(name).parent.glob(f"{name}.{why}-*.json")))
        try:
            self._path(name).rename(self._path(f"{name}.{why}-{before}"))
        except FileNotFoundError:
            return  # another command has just done the same
        self.claims.forget(name)

    def log(self, name: str) -> Path:
        """Where a trial's output goes."""
        return self.folder / LOGS_FOLDER / f"{name}.log"

    def _path(self, name: str) -> Path:
        return self.folder / OUTCOMES_FOLDER / f"{name}.json"

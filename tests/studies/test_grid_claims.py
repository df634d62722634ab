"""Claims on trials: one worker at a time, whatever happens to it."""

from __future__ import annotations

import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from crossrec.studies.grid.board import MOST_DEATHS, Board, TrialResult
from crossrec.studies.grid.claims import Claim, Claims, interruptible
from crossrec.studies.grid.pool import shares_of
from crossrec.studies.grid.trial import perform

LONG = 10_000.0


class Clock:
    """Seconds that a test lets pass."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def nap(seconds: float) -> None:
    """An interrupt from another thread is seen between two short naps, not in a long one."""
    for _ in range(int(100 * seconds)):
        time.sleep(0.01)


def test_of_many_workers_at_once_one_gets_the_claim(tmp_path: Path) -> None:
    together = threading.Barrier(8)

    def take(number: int) -> Claim | None:
        claims = Claims(tmp_path, str(number), LONG)
        together.wait()
        return claims.take("trial.0")

    for _ in range(5):
        with ThreadPoolExecutor(8) as pool:
            taken = [claim for claim in pool.map(take, range(8)) if claim is not None]
        assert len(taken) == 1
        taken[0].release()


def test_a_claim_that_is_given_back_is_free_at_once_and_others_names_are_not_touched(tmp_path: Path) -> None:
    first, second = Claims(tmp_path, "a", LONG), Claims(tmp_path, "b", LONG)
    claim, other = first.take("trial.1"), first.take("trial.1.0")
    assert claim is not None
    assert other is not None, "a name that begins like another is another's"
    assert second.take("trial.1") is None
    claim.release()
    again = second.take("trial.1")
    assert again is not None
    assert second.take("trial.1.0") is None
    again.release()
    other.release()


def test_a_dead_worker_s_claim_is_taken_over_a_living_one_s_is_not(tmp_path: Path) -> None:
    clock = Clock()
    dead = Claims(tmp_path, "dead", LONG).take("trial")
    assert dead is not None
    looker = Claims(tmp_path, "looker", 60, clock)
    for now in (0, 59):
        clock.now = now
        assert looker.take("trial") is None
    dead._beat += 1
    dead._write(released=False)
    for now in (61, 120):
        clock.now = now
        assert looker.take("trial") is None, "it gave a sign of life since"
    clock.now = 122
    taken = looker.take("trial")
    assert taken is not None
    assert looker.deaths("trial") - 1 == 1
    dead._done.set()
    taken.release()


def test_a_worker_whose_trial_was_taken_over_is_interrupted(tmp_path: Path) -> None:
    claim = Claims(tmp_path, "asleep", 0.2).take("trial")
    assert claim is not None
    (tmp_path / "trial" / "1.json").write_text('{"worker": "other", "beat": 0, "released": false}')
    with pytest.raises(KeyboardInterrupt):
        nap(30)
    assert claim.lost
    claim.release()
    assert '"released": false' in (tmp_path / "trial" / "0.json").read_text()


def test_a_background_job_of_a_script_is_interrupted_too(tmp_path: Path) -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as a shell's "&" starts it
    try:
        claim = Claims(tmp_path, "asleep", 5.0).take("trial")
        assert claim is not None
        (tmp_path / "trial" / "1.json").write_text('{"released": false}')
        with pytest.raises(KeyboardInterrupt), interruptible():
            nap(10)
        assert claim.lost
        claim.release()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_slow_worker_whose_trial_was_taken_over_writes_no_outcome(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    board = Board(tmp_path, LONG, "slow")
    claim = board.take("trial")
    assert claim is not None

    def train(*_: Any, **__: Any) -> None:
        (tmp_path / "claims" / "trial" / "1.json").write_text('{"released": false}')

    monkeypatch.setattr("crossrec.studies.grid.trial.run_training", train)
    trial: Any = SimpleNamespace(name="trial", config=None)
    ground: Any = SimpleNamespace(setting=lambda config: None)
    assert perform(trial, claim, "test", board, ground, report=False) is None
    assert board.outcome("trial") is None, "its next sign of life is far away, but it looked"
    assert '"released": false' in (tmp_path / "claims" / "trial" / "0.json").read_text()


def test_an_interrupt_as_late_as_the_release_of_a_lost_claim_ends_no_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    board = Board(tmp_path, LONG, "slow")
    claim = board.take("trial")
    assert claim is not None
    release = claim.release

    def late() -> None:
        release()
        claim.lost = True
        raise KeyboardInterrupt

    monkeypatch.setattr(claim, "release", late)
    monkeypatch.setattr("crossrec.studies.grid.trial.run_training", lambda *_, **__: None)
    trial: Any = SimpleNamespace(name="trial", config=None)
    ground: Any = SimpleNamespace(setting=lambda config: None)
    assert perform(trial, claim, "test", board, ground, report=False) is None


def test_storage_that_is_away_for_a_moment_ends_no_signs_of_life(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim = Claims(tmp_path, "busy", 0.1).take("trial")
    assert claim is not None
    looks: list[int] = []

    def away() -> bool:
        looks.append(1)
        if len(looks) == 1:
            raise OSError("stale file handle")
        return False

    monkeypatch.setattr(claim, "check_lost", away)
    deadline = time.monotonic() + 30
    while claim._beat < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert claim._beat >= 2
    claim.release()


def test_a_worker_that_claims_a_forgiven_trial_again_is_not_taken_for_dead(tmp_path: Path) -> None:
    clock = Clock()
    worker, looker = Board(tmp_path, LONG, "worker"), Board(tmp_path, 60, "looker")
    looker.claims = Claims(looker.claims.folder, "looker", 60, clock)
    first = worker.take("trial")
    assert first is not None
    assert looker.take("trial") is None
    worker.finish("trial", TrialResult("failed", 1.0, "worker", "no"))
    first.release()
    worker.forgive(["trial"])
    again = worker.take("trial")
    assert again is not None
    clock.now = 1000
    assert looker.take("trial") is None, "it has seen this claim for no time at all"
    again.release()


def test_a_worker_at_work_gives_signs_of_life(tmp_path: Path) -> None:
    claim = Claims(tmp_path, "busy", 0.1).take("trial")
    assert claim is not None
    path = tmp_path / "trial" / "0.json"
    first, deadline = path.read_text(), time.monotonic() + 30
    while path.read_text() == first and time.monotonic() < deadline:
        time.sleep(0.01)
    assert path.read_text() != first
    claim.release()


def test_a_trial_that_ended_is_not_taken_again_until_it_is_forgiven(tmp_path: Path) -> None:
    board = Board(tmp_path, LONG, "me")
    board.finish("good", TrialResult("done", 1.0, "me"))
    board.finish("bad", TrialResult("failed", 1.0, "me", "no such thing"))
    assert board.take("good") is None
    assert board.take("bad") is None
    board.forgive(["good", "bad", "unknown"])
    assert board.take("good") is None
    assert list(board.outcomes(["good", "bad"])) == ["good"]
    assert "no such thing" in (tmp_path / "outcomes" / "bad.failed-0.json").read_text()
    claim = board.take("bad")
    assert claim is not None
    claim.release()


def taken_after_a_while(folder: Path) -> Claim | None:
    """What a new worker gets who waits for dead ones' claims to grow stale."""
    board, clock = Board(folder, 60, "new"), Clock()
    board.claims = Claims(board.claims.folder, "new", 60, clock)
    claim = board.take("trial")
    clock.now = 61
    return claim or board.take("trial")


def test_a_trial_at_which_workers_die_again_and_again_fails(tmp_path: Path) -> None:
    for _ in range(MOST_DEATHS):
        claim = taken_after_a_while(tmp_path)
        assert claim is not None
        claim._done.set()  # dies without giving it back
    assert taken_after_a_while(tmp_path) is None
    outcome = Board(tmp_path, 60).outcome("trial")
    assert outcome is not None
    assert outcome.status == "failed"
    assert f"{MOST_DEATHS} workers died at it" in outcome.error


def test_workers_share_threads_and_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert shares_of(0, 2, 8, []) == {"OMP_NUM_THREADS": "4"}
    assert shares_of(1, 4, 2, ["0"]) == {"OMP_NUM_THREADS": "1"}, "one GPU is everybody's"
    found = [shares_of(n, 3, 9, ["2", "5"])["CUDA_VISIBLE_DEVICES"] for n in range(3)]
    assert found == ["2", "5", "2"]
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert shares_of(0, 2, 8, []) == {}, "what the user says stays"

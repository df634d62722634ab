"""Assignments of a study: one process at a time, whatever happens to it."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml

from crossrec.config import validate
from crossrec.studies.grid.config import AblationConfig
from crossrec.studies.grid.scheduler import (
    JOURNAL_FILE,
    MOST_DEATHS,
    WORKER,
    Assignment,
    Scheduler,
    TakenAssignment,
)
from crossrec.studies.grid.workers import SharedDataCache, perform, shares_of
from crossrec.types import ConfigError, InputError

pytest.importorskip("optuna", reason="needs the extra 'studies'")


@pytest.fixture
def config(id_shop: dict[str, Any], tmp_path: Path) -> AblationConfig:
    base = tmp_path / "base.yaml"
    base.write_text(yaml.safe_dump(id_shop))
    axes = {"width": {f"w{width}": {"model.width": width} for width in (4, 8, 16)}}
    return AblationConfig(base=base, out=tmp_path / "out", axes=axes, seeds=(0,), compare=False)


def measured(scheduler: Scheduler, assignment: Assignment) -> None:
    """As if the runs had been trained and measured."""
    for trial in assignment.trials:
        folder = trial.config.run_folder / "eval" / scheduler.config.measured_part
        folder.mkdir(parents=True)
        (folder / "metrics.json").write_text("{}")


def names(taken: list[TakenAssignment | None]) -> list[str]:
    return [one.assignment.name for one in taken if one is not None]


def dies_at_work(config: AblationConfig, taken: Any) -> None:
    """A process that takes an assignment and is killed."""
    found = Scheduler(config).take()
    taken.send(found.assignment.name if found else "")
    os.kill(os.getpid(), signal.SIGKILL)


def killed_worker(config: AblationConfig) -> str:
    """The name of the assignment at which a process was killed just now."""
    receive, send = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("fork").Process(target=dies_at_work, args=(config, send))
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    return str(receive.recv())


def test_of_many_processes_at_once_each_gets_an_assignment_of_its_own(config: AblationConfig) -> None:
    together = threading.Barrier(5)

    def take(number: int) -> TakenAssignment | None:
        scheduler = Scheduler(config, since=0)
        together.wait()
        return scheduler.take()

    with ThreadPoolExecutor(5) as pool:
        taken = list(pool.map(take, range(5)))
    assert sorted(names(taken)) == ["w16.0", "w4.0", "w8.0"]
    assert taken.count(None) == 2


def test_what_is_given_back_is_free_at_once(config: AblationConfig) -> None:
    first, second = Scheduler(config), Scheduler(config)
    taken = first.take()
    assert taken is not None
    other = second.take()
    assert names([taken, other]) == ["w4.0", "w8.0"]
    first.give_back(taken)
    again = second.take()
    assert names([again]) == ["w4.0"]
    assert not second.over()


def test_a_dead_process_s_assignment_is_taken_over_a_living_one_s_is_not(config: AblationConfig) -> None:
    scheduler = Scheduler(config)
    assert killed_worker(config) == "w4.0"
    living = scheduler.take()
    assert names([living]) == ["w4.0"], "its lock is free, though Optuna's trial is running"
    assert names([Scheduler(config).take()]) == ["w8.0"]
    assert living is not None
    assert living.trial.user_attrs[WORKER].endswith(f":{os.getpid()}")


def test_an_assignment_at_which_processes_die_again_and_again_fails(config: AblationConfig) -> None:
    scheduler = Scheduler(config)
    for _ in range(MOST_DEATHS):
        assert killed_worker(config) == "w4.0"
    assert names([scheduler.take()]) == ["w8.0"]
    result = scheduler.results()["w4.0"]
    assert result.status == "failed"
    assert f"{MOST_DEATHS} processes died, perhaps" in result.error
    assert names([Scheduler(config).take()]) == ["w4.0"], "the next command tries it again"


def test_what_ended_is_not_taken_again_but_what_failed_is_by_the_next_command(config: AblationConfig) -> None:
    scheduler = Scheduler(config)
    for error in ("", "no such thing", ""):
        taken = scheduler.take()
        assert taken is not None
        if not error:
            measured(scheduler, taken.assignment)
        scheduler.finish(taken, 2.0, error)
    assert scheduler.over()
    assert scheduler.take() is None
    found = scheduler.results()
    assert {name: result.status for name, result in found.items()} == {
        "w4.0": "done",
        "w8.0": "failed",
        "w16.0": "done",
    }
    assert found["w8.0"].error == "no such thing"
    assert found["w4.0"].seconds == 2.0
    again = Scheduler(config)
    assert not again.over()
    assert names([again.take()]) == ["w8.0"]
    assert scheduler.over(), "the first command's view of it stays"


def test_finished_runs_are_read_from_their_folders_without_a_journal(config: AblationConfig) -> None:
    scheduler = Scheduler(config)
    for assignment in scheduler.assignments()[:2]:
        measured(scheduler, assignment)
    (config.out / JOURNAL_FILE).unlink()
    assert names([Scheduler(config).take()]) == ["w16.0"]


def test_a_damaged_journal_is_named(config: AblationConfig) -> None:
    path = config.out / JOURNAL_FILE
    Scheduler(config)
    path.write_bytes(path.read_bytes() + b'{"op_code": 4, "tr\n{}\n')
    with pytest.raises(InputError, match=r"study\.journal is damaged.*remove it"):
        Scheduler(config).take()


def test_an_interrupted_assignment_is_given_back(
    config: AblationConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("crossrec.studies.grid.workers.run_training", interrupted)
    monkeypatch.setattr(SharedDataCache, "prepared", lambda *_: None)
    scheduler = Scheduler(config)
    for _ in range(MOST_DEATHS + 1):
        taken = scheduler.take()
        assert taken is not None
        assert taken.assignment.name == "w4.0", "interrupts are no deaths"
        with pytest.raises(KeyboardInterrupt):
            perform(taken, scheduler, SharedDataCache())


def test_an_end_that_was_told_elsewhere_ends_no_worker(
    config: AblationConfig, caplog: pytest.LogCaptureFixture
) -> None:
    from optuna.trial import TrialState

    scheduler = Scheduler(config)
    taken = scheduler.take()
    assert taken is not None
    scheduler.study.tell(taken.trial.number, state=TrialState.FAIL)
    measured(scheduler, taken.assignment)
    scheduler.finish(taken, 1.0)
    assert "could not be recorded" in caplog.text
    assert scheduler.results()["w4.0"].status == "done"


def test_a_background_job_of_a_script_stops_with_the_command_that_started_it(config: AblationConfig) -> None:
    program = (
        "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "import time, crossrec.studies.grid.workers as w\n"
        "w.open_scheduler = lambda *_: None\n"
        "def work(*_):\n"
        "    print('working', flush=True)\n"
        "    for _ in range(6000): time.sleep(0.01)\n"
        "w.work = work\n"
        "raise SystemExit(w.main())\n"
    )
    job = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert job.stdin is not None
    assert job.stdout is not None
    job.stdin.write(f'{{"config": {config.model_dump_json()}, "since": 0}}\n')
    job.stdin.flush()
    assert job.stdout.readline() == "working\n"
    started = time.monotonic()
    job.stdin.close()
    assert job.wait(60) == 130
    assert time.monotonic() - started < 30
    job.stdout.close()


def test_jobs_share_threads_and_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert shares_of(0, 2, 8, []) == {"OMP_NUM_THREADS": "4"}
    assert shares_of(1, 4, 2, ["0"]) == {"OMP_NUM_THREADS": "1"}, "one GPU is everybody's"
    found = [shares_of(n, 3, 9, ["2", "5"])["CUDA_VISIBLE_DEVICES"] for n in range(3)]
    assert found == ["2", "5", "2"]
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert shares_of(0, 2, 8, []) == {}, "what the user says stays"


def test_keys_of_earlier_versions_are_ignored_with_a_message(
    config: AblationConfig, caplog: pytest.LogCaptureFixture
) -> None:
    content = {**config.model_dump(mode="json"), "stale_after": 60.0}
    assert validate(AblationConfig, content, "study.yaml") == config
    assert "stale_after is ignored" in caplog.text
    with pytest.raises(ConfigError, match="stale_afte"):
        validate(AblationConfig, {**config.model_dump(mode="json"), "stale_afte": 60.0}, "study.yaml")

"""Worker processes of an ablation: each trains one assignment after the other until all have ended."""

from __future__ import annotations

import _thread
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout

import torch

from crossrec.data.prepare import DataConfig
from crossrec.experiment.config import ExperimentConfig
from crossrec.experiment.prepared import PreparedExperiment
from crossrec.serving.training import run_training
from crossrec.studies.grid.config import AblationConfig
from crossrec.studies.grid.plan import StudyTrial
from crossrec.studies.grid.scheduler import LOGS_FOLDER, Scheduler, TakenAssignment
from crossrec.studies.grid.search import open_scheduler
from crossrec.types import InputError

logger = logging.getLogger(__name__)

MODULE = "crossrec.studies.grid.workers"
THREADS, GPUS = "OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES"
POLL = 0.5
"""Seconds between checks of other processes."""
PATIENCE = 30.0
"""Time for a process to give its assignment back, seconds."""


def work(scheduler: Scheduler, ended: Callable[[], None]) -> None:
    """Train assignments until all have ended in any process; take over those of dead processes.

    Args:
        scheduler: scheduler of the study.
        ended: function called after each assignment of this process.
    """
    cache = SharedDataCache()
    while True:
        taken = scheduler.take()
        if taken is not None:
            perform(taken, scheduler, cache)
            ended()
        elif scheduler.over():
            return
        else:
            time.sleep(POLL)


class SharedDataCache:
    """Cache of the last trial's prepared data, for the next trial with the same data."""

    def __init__(self) -> None:
        self._shared: PreparedExperiment | None = None

    def prepared(self, config: ExperimentConfig) -> PreparedExperiment:
        """Return the trial's experiment on prepared data."""
        if self._shared is None or _data_keys(self._shared.config) != _data_keys(config):
            self._shared = PreparedExperiment.of(config)
        return PreparedExperiment(config, self._shared.data, self._shared.content)


def _data_keys(config: ExperimentConfig) -> tuple[DataConfig, bool]:
    """Return the keys that the data of an experiment depend on."""
    return config.data, config.evaluation.repeats


def perform(taken: TakenAssignment, scheduler: Scheduler, cache: SharedDataCache) -> None:
    """Train or resume an assignment's runs, measure them, record the end."""
    started, error = time.perf_counter(), ""
    try:
        for trial in taken.assignment.trials:
            if not scheduler.measured(trial):
                error = _train(trial, scheduler, cache)
            if error:
                break
    except BaseException:
        scheduler.give_back(taken)
        raise
    scheduler.finish(taken, round(time.perf_counter() - started, 1), error)


def _train(trial: StudyTrial, scheduler: Scheduler, cache: SharedDataCache) -> str:
    """Train and measure one run, logging its output; return the error in one line, "" for success."""
    path, config = scheduler.log(trial), scheduler.config
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as log, redirect_stdout(log):
        try:
            run_training(
                trial.config, config.measured_part, shared=cache.prepared(trial.config), report=config.report
            )
        except InputError as error:
            return str(error)
        except Exception as error:  # whatever failed in this trial, the others may succeed
            log.write(traceback.format_exc())
            return f"{type(error).__name__}: {error}"
    return ""


def run_jobs(config: AblationConfig, since: int, tick: Callable[[], None]) -> None:
    """Run ``config.jobs`` processes until all assignments have ended.

    Args:
        config: configuration of the study.
        since: number of Optuna trials when the command began.
        tick: function called repeatedly meanwhile.

    Raises:
        InputError: if all processes ended before their work was done.
    """
    n_cpus, gpus = _cpus(), _gpus()
    jobs: list[subprocess.Popen[str]] = []
    try:
        for number in range(config.jobs):
            shares = shares_of(number, config.jobs, n_cpus, gpus)
            jobs.append(_start(config, since, number, shares))
        while any(job.poll() is None for job in jobs):
            tick()
            time.sleep(POLL)
        tick()
    finally:
        for job in jobs:
            _stop(job)
    if all(job.returncode != 0 for job in jobs):
        raise InputError(
            f"all {config.jobs} jobs ended early, the last with status {jobs[-1].returncode}; their output "
            f"is in {config.out / LOGS_FOLDER}"
        )


def shares_of(number: int, jobs: int, n_cpus: int, gpus: list[str]) -> dict[str, str]:
    """Return the environment of a job: its threads and, if there are several GPUs, its own GPU.

    A user's setting of ``OMP_NUM_THREADS`` is kept.
    """
    shares = {} if THREADS in os.environ else {THREADS: str(max(1, n_cpus // jobs))}
    if len(gpus) > 1:
        shares[GPUS] = gpus[number % len(gpus)]
    return shares


def _start(
    config: AblationConfig, since: int, number: int, shares: Mapping[str, str]
) -> subprocess.Popen[str]:
    path = config.out / LOGS_FOLDER / f"job-{os.getpid()}-{number}.log"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as log:
        job = subprocess.Popen(
            [sys.executable, "-m", MODULE],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            text=True,
            env={**os.environ, **shares},
            # An interrupt from the keyboard reaches this process alone; jobs stop when their input ends.
            start_new_session=True,
        )
    assert job.stdin is not None
    job.stdin.write(json.dumps({"config": config.model_dump(mode="json"), "since": since}) + "\n")
    job.stdin.flush()
    return job


def _stop(job: subprocess.Popen[str]) -> None:
    assert job.stdin is not None
    job.stdin.close()
    try:
        job.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        job.kill()
        job.wait()


def _cpus() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _gpus() -> list[str]:
    """Return the GPUs that this process may use, by the names that ``CUDA_VISIBLE_DEVICES`` takes."""
    if os.environ.get(GPUS):
        return os.environ[GPUS].split(",")
    return [str(number) for number in range(torch.cuda.device_count())]


def main() -> int:
    """Run one job; configuration and ``since`` come as a line of JSON on standard input.

    When the input ends, the parent command is gone or wants the job to stop, and the assignment is given
    back.
    """
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    # A shell's background job ignores interrupts from birth, and so would its children.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    content = json.loads(sys.stdin.readline())
    config = AblationConfig.model_validate(content["config"])
    over = threading.Event()
    threading.Thread(target=_stop_with_input, args=(over,), daemon=True).start()
    try:
        work(open_scheduler(config, content["since"]), lambda: None)
    except KeyboardInterrupt:
        logger.info("stopped; the run at work is resumed from its checkpoint by the next command")
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

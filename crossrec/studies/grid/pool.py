"""Several workers on one machine, each a process with its share of the threads."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from crossrec.studies.grid.board import LOGS_FOLDER
from crossrec.studies.grid.config import AblationConfig
from crossrec.types import InputError

WORKER_MODULE = "crossrec.studies.grid.worker"


THREADS, GPUS = "OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES"


POLL = 0.5


PATIENCE = 30.0
"""Seconds that a worker has to give its trial back."""


def run_workers(config: AblationConfig, tick: Callable[[], None]) -> None:
    """Runs ``config.jobs`` workers until all of the study's trials have ended.

    Args:
        config: of the study.
        tick: called again and again meanwhile.

    Raises:
        InputError: all workers ended before their work did.
    """
    n_cpus, gpus = _cpus(), _gpus()
    workers = []
    try:
        for number in range(config.jobs):
            shares = shares_of(number, config.jobs, n_cpus, gpus)
            workers.append(_start(config, number, shares))
        while any(worker.poll() is None for worker in workers):
            tick()
            time.sleep(POLL)
        tick()
    finally:
        for worker in workers:
            _stop(worker)
    if all(worker.returncode != 0 for worker in workers):
        raise InputError(
            f"all {config.jobs} workers ended early, the last with status {workers[-1].returncode}; their "
            f"output stands in {config.out / LOGS_FOLDER}"
        )


def shares_of(number: int, jobs: int, n_cpus: int, gpus: list[str]) -> dict[str, str]:
    """Environment of the worker of a number: its threads and, where there are several GPUs, its own.

    Threads that the user set by ``OMP_NUM_THREADS`` stay as they are.
    """
    shares = {} if THREADS in os.environ else {THREADS: str(max(1, n_cpus // jobs))}
    if len(gpus) > 1:
        shares[GPUS] = gpus[number % len(gpus)]
    return shares


def _start(config: AblationConfig, number: int, shares: Mapping[str, str]) -> subprocess.Popen[str]:
    path: Path = config.out / LOGS_FOLDER / f"worker-{os.getpid()}-{number}.log"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as log:
        worker = subprocess.Popen(
            [sys.executable, "-m", WORKER_MODULE],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            text=True,
            env={**os.environ, **shares},
            # An interrupt from the keyboard is ours alone; workers stop when their input ends.
            start_new_session=True,
        )
    assert worker.stdin is not None
    worker.stdin.write(config.model_dump_json() + "\n")
    worker.stdin.flush()
    return worker


def _stop(worker: subprocess.Popen[str]) -> None:
    assert worker.stdin is not None
    worker.stdin.close()
    try:
        worker.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        worker.kill()
        worker.wait()


def _cpus() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _gpus() -> list[str]:
    """The GPUs that this process may use, by the names that ``CUDA_VISIBLE_DEVICES`` takes."""
    if os.environ.get(GPUS):
        return os.environ[GPUS].split(",")
    import torch

    return [str(number) for number in range(torch.cuda.device_count())]

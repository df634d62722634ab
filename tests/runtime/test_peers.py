"""A process that is stopped or killed does not keep the others waiting for ever."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("peers_program.py")
REPOSITORY = Path(__file__).parents[2]
SECONDS = 3.0


@contextmanager
def two_processes(mode: str, victim: int, seconds: float = SECONDS) -> Iterator[list[subprocess.Popen[str]]]:
    """Both ranks, started as by a launcher that does not look after them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2", "OMP_NUM_THREADS": "1"}
    path = os.pathsep.join([str(REPOSITORY), os.environ.get("PYTHONPATH", "")])
    processes = [
        subprocess.Popen(
            [sys.executable, str(PROGRAM), mode, str(victim), str(seconds)],
            env={**os.environ, **shared, "PYTHONPATH": path, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in (0, 1)
    ]
    try:
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.communicate()


# Rank 0 is the process through which the others meet.
@pytest.mark.slow
@pytest.mark.parametrize(("mode", "victim"), [("stop", 1), ("stop", 0), ("kill", 1), ("kill", 0)])
def test_the_other_process_ends_and_says_why(mode: str, victim: int) -> None:
    with two_processes(mode, victim) as processes:
        other = processes[1 - victim]
        out, problems = other.communicate(timeout=90)
        assert other.returncode not in (0, None)
        assert "no sign of life for 3 seconds" in problems
        assert "resumes from the latest checkpoint" in problems
        assert "trainer.collective_timeout" in problems
        assert "done" not in out
        if (mode, victim) == ("stop", 1):
            assert f"process 1 ({processes[1].pid} on {socket.gethostname()})" in problems


@pytest.mark.slow
def test_long_work_of_one_process_is_no_silence() -> None:
    with two_processes("long work", 0) as processes:
        for process in processes:
            out, problems = process.communicate(timeout=90)
            assert (process.returncode, out) == (0, "done\n"), problems

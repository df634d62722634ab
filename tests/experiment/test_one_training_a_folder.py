"""Two trainings on one run folder: the second one says who holds it; a killed one holds nothing."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from crossrec.cli.commands import main
from crossrec.experiment.run_folder import hold_run
from crossrec.types import InputError

REPOSITORY = Path(__file__).parents[2]
HOLDER = """
import sys
from pathlib import Path
from crossrec.experiment.run_folder import hold_run
with hold_run(Path(sys.argv[1])):
    sys.stdout.write("held\\n")
    sys.stdout.flush()
    sys.stdin.read()
"""


@contextmanager
def held(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that trains in a folder, as far as others can see."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder)],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A training of ids alone, whose data are not there: whoever gets to reading them says so."""
    content = {
        "name": "mine",
        "runs_dir": str(tmp_path / "runs"),
        "data": {"source": {"type": "table"}, "root": str(tmp_path / "no-data")},
        "model": {"text": None, "image": None, "item_id": True},
    }
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def test_the_second_training_says_who_holds_the_folder(config: Path, tmp_path: Path, capsys: Any) -> None:
    folder = tmp_path / "runs" / "mine"
    with held(folder) as holder:
        assert main(["train", str(config)]) == 2
        said = capsys.readouterr().err
        assert all(part in said for part in (str(folder), f"process {holder.pid}", os.uname().nodename))
        assert f"since {time.strftime('%Y-')}" in said
        assert "name=" in said
        assert not folder.exists()
        # Another run is nobody else's.
        assert main(["train", str(config), "name=other"]) == 2
        assert "no-data" in capsys.readouterr().err
        holder.kill()
        holder.wait()
        assert main(["train", str(config)]) == 2
        assert "no-data" in capsys.readouterr().err
    assert not list((tmp_path / "runs").glob(".*"))


def test_a_folder_is_free_again_after_its_training(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "mine"
    for _ in range(2):
        with hold_run(folder), pytest.raises(InputError, match=f"process {os.getpid()}"), hold_run(folder):
            pass


def test_a_worker_that_outlives_a_killed_training_holds_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    forking = HOLDER.replace(
        "    sys.stdout.write",
        "    import os, time\n    if not os.fork():\n        os.close(0); os.close(1); time.sleep(30)\n"
        "    sys.stdout.write",
    )
    process = subprocess.Popen(
        [sys.executable, "-c", forking, str(folder)],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    process.kill()
    process.wait()
    with hold_run(folder):
        pass


def test_a_file_system_without_locks_is_named_and_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(file: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("fcntl.flock", refuse)
    with hold_run(tmp_path / "mine"), hold_run(tmp_path / "mine"):
        assert "has no locks" in caplog.text


def test_a_place_that_can_not_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file")
    with pytest.raises(InputError, match="choose another runs_dir"), hold_run(tmp_path / "runs" / "mine"):
        pass


@pytest.mark.slow
def test_every_process_of_a_second_launch_ends(config: Path, tmp_path: Path) -> None:
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    with held(tmp_path / "runs" / "mine") as holder:
        second = subprocess.run(
            [*launcher, str(REPOSITORY / "train.py"), str(config)],
            env={**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"},
            capture_output=True,
            text=True,
            timeout=180,
        )
    assert second.returncode != 0
    assert f"is being trained by process {holder.pid}" in second.stderr
    assert "no-data" not in second.stderr

"""One environment a peer, made once from exact pins."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

DRIVERS = Path(__file__).parent
INSTALLED = ".installed"
TORCH = "torch==2.15.0"


class InstallError(Exception):
    """A peer could not be installed; the message is the installer's last line."""


@dataclass(frozen=True)
class Peer:
    """A framework and how it is installed.

    Args:
        title: name and version, for tables.
        driver: the script that runs it.
        requirements: exact pins; none for crossrec, which runs where this script runs.
        without_dependencies: installed afterwards as they are.
    """

    title: str
    driver: str
    requirements: tuple[str, ...] = ()
    without_dependencies: tuple[str, ...] = ()


PEERS = {
    "crossrec": Peer("crossrec", "drive_crossrec.py"),
    "rectools": Peer(
        "RecTools 0.19.0",
        "drive_rectools.py",
        (
            "rectools[torch]==0.19.0",
            TORCH,
            "numpy==1.26.4",
            "pandas==2.3.3",
            "scipy==1.17.1",
            "pytorch-lightning==2.5.2",
        ),
    ),
    # Its dependencies would bring ray, which has no wheels past Python 3.11 and is only used to tune.
    "recbole": Peer(
        "RecBole 1.2.1",
        "drive_recbole.py",
        (
            TORCH,
            "numpy==1.26.4",
            "pandas==2.3.3",
            "scipy==1.17.1",
            "scikit-learn==1.8.0",
            "tensorboard==2.21.0",
            "colorama==0.4.4",
            "colorlog==4.7.2",
            "plotly==7.1.0",
            "psutil==7.2.2",
            "pyyaml==6.0.3",
            "tabulate==0.10.0",
            "texttable==1.7.2",
            "tqdm==4.70.1",
        ),
        ("recbole==1.2.1", "thop==0.1.1.post2209072238"),
    ),
    "replay": Peer(
        "RePlay 0.22.0",
        "drive_replay.py",
        (
            "replay-rec[torch]==0.22.0",
            TORCH,
            "numpy==2.4.6",
            "pandas==2.3.3",
            "pyarrow==23.0.1",
            "lightning==2.6.6",
        ),
    ),
}


def python_of(name: str, work: Path, python: str) -> Path:
    """The interpreter of a peer's environment, which is made where it is missing.

    Args:
        name: key of :data:`PEERS`.
        work: environments go to ``work/environments``.
        python: interpreter that new environments are made from.

    Raises:
        InstallError: the installer failed; its log lies beside the environment.
    """
    peer = PEERS[name]
    if not peer.requirements:
        return Path(sys.executable)
    folder = work / "environments" / name
    interpreter = folder / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    pins = "\n".join([python, *peer.requirements, *peer.without_dependencies])
    digest = hashlib.sha256(pins.encode()).hexdigest()
    if (folder / INSTALLED).exists() and (folder / INSTALLED).read_text() == digest:
        return interpreter
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    log = folder.with_suffix(".log")
    log.write_text("")
    for command in _commands(peer, folder, interpreter, python):
        _run(command, log)
    (folder / INSTALLED).write_text(digest)
    return interpreter


def _commands(peer: Peer, folder: Path, interpreter: Path, python: str) -> list[list[str]]:
    uv = _find_uv()
    if uv is None:
        make = [python, "-m", "venv", str(folder)]
        install = [str(interpreter), "-m", "pip", "install"]
    else:
        make = [uv, "venv", "--python", python, str(folder)]
        install = [uv, "pip", "install", "--python", str(interpreter)]
    commands = [make, [*install, *peer.requirements]]
    if peer.without_dependencies:
        commands.append([*install, "--no-deps", *peer.without_dependencies])
    return commands


def _find_uv() -> str | None:
    beside = Path(sys.executable).with_name("uv")
    return str(beside) if beside.exists() else shutil.which("uv")


def _run(command: list[str], log: Path) -> None:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    with log.open("a") as file:
        file.write(f"$ {' '.join(command)}\n{done.stdout}\n")
    if done.returncode:
        lines = [line.strip() for line in done.stdout.splitlines() if line.strip()]
        raise InstallError(f"installation failed: {lines[-1] if lines else command[0]} (see {log})")

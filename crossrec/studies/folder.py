"""Folder of a study: configuration, results, page, and digests that name cached results."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from crossrec.config import Config
from crossrec.evaluation.report.render import render
from crossrec.experiment.config import ExperimentConfig
from crossrec.runtime.files import write_text
from crossrec.types import InputError

CONFIG_FILE = "config.yaml"


def write_config(folder: Path, config: Config) -> str:
    """Write the resolved configuration into a study's folder; return its text."""
    text = yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    write_text(folder / CONFIG_FILE, text)
    return text


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write results as JSON.

    Raises:
        ValueError: if a number is not finite, which JSON can't represent.
    """
    write_text(path, json.dumps(content, indent=2, allow_nan=False) + "\n")


def write_page(path: Path, template: str, content: Mapping[str, Any]) -> None:
    """Write a self-contained HTML page, which needs neither a network nor JavaScript.

    Args:
        path: path of the file.
        template: name of a file in ``templates/``, without extension.
        content: variables of the template.
    """
    write_text(path, render(__package__, f"templates/{template}.html", content))


def check_same_data(first: ExperimentConfig, other: ExperimentConfig, *, spaces: bool = True) -> None:
    """Check that two runs have the same data and evaluation; folders of generated data may differ.

    Args:
        first: configuration of the study's first run.
        other: configuration of another run.
        spaces: whether the spaces of distances must be the same too.

    Raises:
        InputError: if they differ; the message names the first key.
    """
    differing = {
        "data": without_cache(first) != without_cache(other),
        "spaces": spaces and first.spaces != other.spaces,
        "evaluation.exclude_seen": first.evaluation.exclude_seen != other.evaluation.exclude_seen,
    }
    for name, differs in differing.items():
        if differs:
            raise InputError(
                f"{other.run_folder} and {first.run_folder} differ in {name}: one study compares runs on the "
                "same data, measured alike"
            )


def without_cache(config: ExperimentConfig) -> Config:
    """Return the data section without the folder of generated data."""
    return config.data.model_copy(update={"cache_dir": Path()})


def key_of(content: Mapping[str, Any]) -> str:
    """Return a short digest of all inputs of a result; equal content has an equal digest."""
    text = json.dumps(content, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

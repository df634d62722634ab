"""What stands in a folder of a shared recommender, and its ``config.json``."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crossrec.config import validate
from crossrec.experiment.config import ExperimentConfig
from crossrec.serving.about import About
from crossrec.training.checkpoint import WEIGHTS
from crossrec.types import InputError

LIBRARY = "crossrec"
FORMAT = 1
CONFIG_FILE = "config.json"
FEATURES_FILE = "features.safetensors"
ITEMS_FILE = "items.parquet"
USERS_FILE = "users.parquet"
CARD_FILE = "README.md"
CHECKED = (WEIGHTS, FEATURES_FILE, ITEMS_FILE, USERS_FILE)
"""Files with checksums: those that nobody edits."""


@dataclass(frozen=True)
class Description:
    """The content of ``config.json``.

    Args:
        experiment: of the run, without the folders of the machine that it ran on.
        about: where it comes from and what was measured.
        n_trained: items of the catalogue that the model was trained on; those behind were added later.
        spaces: of ``text`` and ``image`` those in which items can be compared.
        version: of the package that wrote it.
    """

    experiment: ExperimentConfig
    about: About
    n_trained: int
    spaces: tuple[str, ...]
    version: str

    def to_json(self) -> str:
        """As text."""
        content = {
            "library_name": LIBRARY,
            "format": FORMAT,
            "version": self.version,
            "n_trained": self.n_trained,
            "spaces": list(self.spaces),
            "about": self.about.to_dict(),
            "experiment": self.experiment.model_dump(mode="json"),
        }
        return json.dumps(content, indent=2, allow_nan=False, ensure_ascii=False) + "\n"

    @classmethod
    def read(cls, folder: Path, *, trust_code: bool = False) -> Description:
        """From a folder, which may come from somebody else.

        Args:
            folder: of the recommender.
            trust_code: import classes outside the project that it names.

        Raises:
            InputError: the file is no description, or one of a newer format.
        """
        path = folder / CONFIG_FILE
        try:
            content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            found = content["format"]
            if found != FORMAT:
                raise InputError(
                    f"{path}: format {found}, this version of crossrec reads {FORMAT}: update it"
                )
            return cls(
                # Nor may it say where on this machine files are read and written.
                anonymous(
                    validate(ExperimentConfig, content["experiment"], str(path), trust_code=trust_code)
                ),
                About(**content["about"]),
                int(content["n_trained"]),
                tuple(content["spaces"]),
                str(content["version"]),
            )
        except (KeyError, TypeError, json.JSONDecodeError) as error:
            raise InputError(f"{path}: describes no crossrec recommender ({error!r})") from error


def is_pretrained(folder: Path) -> bool:
    """Whether a folder holds a shared recommender."""
    path = folder / CONFIG_FILE
    return (folder / ITEMS_FILE).exists() and path.exists()


def anonymous(config: ExperimentConfig) -> ExperimentConfig:
    """The configuration without the folders of the machine that it ran on."""
    content = config.model_dump(mode="json")
    default = ExperimentConfig()
    content["data"] |= {"root": None, "cache_dir": str(default.data.cache_dir)}
    content["runs_dir"] = str(default.runs_dir)
    return ExperimentConfig.model_validate(content)

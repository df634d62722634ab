"""A first configuration for a folder of data: guessed, checked on the data, and written with its evidence."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crossrec.config import load_config, validate
from crossrec.data.dataset import Dataset
from crossrec.data.guess.folder import FolderGuess, guess_folder
from crossrec.data.guess.roles import Entry
from crossrec.data.prepare import DataConfig, PreparedData
from crossrec.data.splits.base import SplitError
from crossrec.experiment.config import ExperimentConfig
from crossrec.runtime.files import write_text
from crossrec.types import InputError

SMALL_LOG = 100_000
"""Training clicks up to which a log counts as small."""

FULL_SOFTMAX_ITEMS = 20_000
"""Items up to which the loss compares each target with all of them."""

OFTEN_REPEATED = 0.1
"""Share of repeat clicks from which the configuration mentions them."""

DIVISIONS: tuple[dict[str, Any], ...] = (
    {"type": "temporal", "valid_from": 0.8, "test_from": 0.9},
    {"type": "leave_one_out"},
)
"""Splits to try, the preferred first."""


@dataclass(frozen=True)
class FirstConfig:
    """A configuration with the evidence of each key.

    Args:
        entries: keys in order.
        unused: files and columns that are not used, and why.
        data: the data prepared with it; None if that failed.
        fault: why the data can't be prepared; empty if they can.
    """

    entries: tuple[Entry, ...]
    unused: tuple[tuple[str, str], ...]
    data: PreparedData | None
    fault: str = ""

    def text(self, path: Path) -> str:
        """Return the YAML text, for a file at ``path``."""
        head = [
            "# Written by crossrec init. Each key is a guess; the comment behind it is the evidence.",
            f"# crossrec train {path}",
        ]
        tail = (
            ["# Not used:", *(_on_one_line(f"#   {what}: {why}") for what, why in self.unused)]
            if self.unused
            else []
        )
        return "\n".join([*head, *render(self.entries), *tail]) + "\n"


def first_config(root: Path, name: str) -> FirstConfig:
    """Guess a configuration for a folder of data, and prepare the data with it.

    Args:
        root: folder of the data.
        name: name of the run.

    Raises:
        InputError: if the folder's tables are not recognized; the message says what is missing.
    """
    guess = guess_folder(root)
    entries = [
        Entry("name", name, "the run's folder is runs/<name>"),
        Entry("data.root", str(root), "paths below are relative to it; this one to the working directory"),
        *guess.entries,
    ]
    if not guess.ordinal:
        entries.append(Entry("data.cleaning.k_users", 2, "users with one click only have nothing to predict"))
    divisions = DIVISIONS[1:] if guess.ordinal else DIVISIONS
    data, fault = None, ""
    for split in divisions:
        chosen = split
        try:
            data, fault = _prepared(entries, split), ""
            break
        except SplitError as error:
            fault = str(error)
        except InputError as error:
            fault = str(error)
            break
    why = _why_split(guess, chosen)
    entries += [
        Entry(f"data.split.{key}", value, why if key == "type" else "") for key, value in chosen.items()
    ]
    entries += _model(data)
    return FirstConfig(tuple(entries), guess.unused, data, fault)


def write_first_config(root: Path, out: Path | None) -> tuple[Path, FirstConfig]:
    """Write a configuration for a folder of data, and return its path and content.

    Args:
        root: folder of the data.
        out: file to write; ``<folder>.yaml`` in the working directory when None.

    Raises:
        InputError: if the file exists, the folder's tables are not recognized, or the data can't be prepared
            with what was guessed (the file is written all the same, to be corrected).
    """
    name = re.sub(r"[^\w.-]+", "_", root.resolve().name).strip("._-") or "run"
    path = Path(f"{name}.yaml") if out is None else out
    if path.exists():
        raise InputError(f"{path} exists: name another file with --out, or remove it")
    if not path.parent.is_dir():
        raise InputError(f"{path.parent} is no folder: --out names a file in a folder that exists")
    found = first_config(root, name)
    write_text(path, found.text(path))
    load_config(ExperimentConfig, path)
    if found.fault:
        raise InputError(
            f"{path} is written, but the data can't be prepared with it: {found.fault}\n"
            f"Correct the data or that file, then run: crossrec train {path}"
        )
    return path, found


def _prepared(entries: Sequence[Entry], split: dict[str, Any]) -> PreparedData:
    content: dict[str, Any] = {"split": split}
    for entry in entries:
        *above, last = entry.key.split(".")
        if entry.active and above[:1] == ["data"]:
            place = content
            for part in above[1:]:
                place = place.setdefault(part, {})
            place[last] = entry.value
    return Dataset.from_config(validate(DataConfig, content, "the guessed configuration")).split()


def _why_split(guess: FolderGuess, chosen: dict[str, Any]) -> str:
    if chosen["type"] == "temporal":
        return "times are dates: the last tenth of the clicks tests, the tenth before validates"
    if guess.ordinal:
        return "positions are no dates: each user's last click tests, the one before validates"
    return "the temporal split leaves a part empty: each user's last click tests, the one before validates"


def _model(data: PreparedData | None) -> Iterator[Entry]:
    """Yield the model, its training and its evaluation, by the size of the data and what items have."""
    if data is not None:
        n = len(data.catalog)
        for kind, there in (("text", data.catalog.has_text), ("image", data.catalog.has_image)):
            if not there.any():
                what = "a text" if kind == "text" else "a picture"
                yield Entry(f"model.{kind}", None, f"no item has {what}")
    few = data is None or int(data.split.train_ends.sum()) <= SMALL_LOG
    yield Entry("model.item_id", True, "one learned vector per item, beside its content")
    yield Entry("model.smoothing", {"neighbours": 10, "share": 0.4}, "similar items share what they learn")
    yield Entry("model.fusion", {"type": "gated"}, "")
    yield Entry("model.similarity", "dot", "")
    yield Entry("model.modality_dropout", 0.3, "")
    yield Entry("model.sequence", {"type": "sasrec", "max_length": 50}, "others: docs/sequence_models.md")
    if data is None or n <= FULL_SOFTMAX_ITEMS:
        yield Entry("objective.type", "full_softmax", "few enough items to compare all at each step")
    else:
        yield Entry("objective.type", "sampled_softmax", f"{n:,} items: each step samples negatives")
        yield Entry("objective.negatives", 512, "")
    settings = (
        {"epochs": 40, "batch_size": 32, "lr": 0.003, "eval_every": 4, "patience": 4}
        if few
        else {"epochs": 20, "batch_size": 128, "eval_every": 2, "patience": 3}
    )
    why = "few clicks: a high rate and many epochs" if few else "many clicks: fewer epochs"
    for key, value in settings.items():
        yield Entry(f"trainer.{key}", value, why if key == "epochs" else "")
    if data is not None:
        for kind, there in (("text", data.catalog.has_text), ("image", data.catalog.has_image)):
            if not there.any():
                yield Entry(f"spaces.{kind}", None, f"distances between lists are not measured by {kind}")
        share = _repeat_share(data)
        if share >= OFTEN_REPEATED:
            said = f"{share:.0%} of the clicks are on items that the user had clicked: allow them in lists"
            yield Entry("evaluation.exclude_seen", False, said, active=False)


def _repeat_share(data: PreparedData) -> float:
    clicks = data.clicks.sequences
    pairs = set(zip(clicks.row_of_click.tolist(), clicks.items.tolist(), strict=True))
    return 1 - len(pairs) / max(len(clicks.items), 1)


WIDEST_COLUMN = 64
"""Characters up to which comments stand below each other."""


def render(entries: Sequence[Entry]) -> Iterator[str]:
    """Yield the lines of a YAML file with the entries, in order, each with its evidence as a comment."""
    above: list[str] = []
    lines: list[tuple[str, str]] = []
    # A section of which no key is set would be null in YAML: its heading is a comment, too.
    set_keys = [entry.key for entry in entries if entry.active]
    for entry in entries:
        *parents, last = entry.key.split(".")
        common = 0
        while common < min(len(above), len(parents)) and above[common] == parents[common]:
            common += 1
        for depth in range(common, len(parents)):
            prefix = ".".join(parents[: depth + 1]) + "."
            mark = "" if any(key.startswith(prefix) for key in set_keys) else "# "
            lines.append((f"{'  ' * depth}{mark}{parents[depth]}:", ""))
        above = parents
        mark = "" if entry.active else "# "
        lines.append((f"{'  ' * len(parents)}{mark}{last}: {yaml_value(entry.value)}", entry.why))
    width = max((len(line) for line, why in lines if why and len(line) <= WIDEST_COLUMN), default=0)
    for line, why in lines:
        said = _on_one_line(why)
        yield f"{line.ljust(width)}  # {said}" if said else line


def _on_one_line(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text.replace("\n", " "))


def _escaped(character: str) -> str:
    return character if character.isprintable() else f"\\U{ord(character):08x}"


_PLAIN = re.compile(r"[A-Za-z_][\w./ -]*[\w./-]|[A-Za-z_]")
_AMBIGUOUS = {"true", "false", "null", "yes", "no", "on", "off", "y", "n", "none", "nan", "inf"}


def yaml_value(value: Any) -> str:
    """Return a value in YAML's flow style; text that YAML could read as something else is quoted."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{yaml_value(k)}: {yaml_value(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(yaml_value, value)) + "]"
    if isinstance(value, str):
        plain = value.isascii() and _PLAIN.fullmatch(value) and value.lower() not in _AMBIGUOUS
        return value if plain else "".join(map(_escaped, json.dumps(value, ensure_ascii=False)))
    return json.dumps(value)

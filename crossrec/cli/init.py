"""Command ``crossrec init``: a first configuration for a folder of data."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from crossrec.cli.guard import guarded

if TYPE_CHECKING:
    from crossrec.experiment.first_config import FirstConfig


def init(arguments: Sequence[str] | None = None) -> int:
    """``crossrec init FOLDER [--out FILE.yaml]``."""
    parser = argparse.ArgumentParser(
        prog="crossrec init",
        description="Guess the roles of a folder's tables, columns and pictures, and write a configuration "
        "with the evidence of each guess.",
    )
    parser.add_argument(
        "folder", type=Path, help="folder of tables (.csv, .tsv, .parquet, .jsonl) and pictures"
    )
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="YAML file to write, <folder>.yaml here by default"
    )
    parsed = parser.parse_args(arguments)

    def run() -> None:
        from crossrec.experiment.first_config import write_first_config

        path, found = write_first_config(parsed.folder, parsed.out)
        _show(path, found)

    return guarded(run)


def _show(path: Path, found: FirstConfig) -> None:
    from rich.markup import escape
    from rich.table import Table

    from crossrec.experiment.first_config import yaml_value
    from crossrec.experiment.results import console, show

    table = Table(title=f"Guesses in {path}")
    for name in ("key", "guess", "evidence"):
        table.add_column(name, overflow="fold")
    for entry in found.entries:
        if entry.key.startswith("data.") and entry.active:
            key = entry.key.removeprefix("data.").removeprefix("source.")
            table.add_row(*map(escape, (key, yaml_value(entry.value), entry.why)))
    console().print(table)
    for what, why in found.unused:
        show(f"Not used: {what} ({why})")
    if found.data is not None:
        counts = found.data.summary()
        show(
            f"Checked on the data: {counts['users']:,} users, {counts['items']:,} items, "
            f"{counts['clicks']:,} clicks, {counts['items_with_text']:,} items with text, "
            f"{counts['items_with_image']:,} with a picture, {counts['test_queries']:,} test queries"
        )
        for warning in found.data.report.warnings:
            show(f"Warning: {warning}")
    show(f"Written: {path}. Next: crossrec train {path}")

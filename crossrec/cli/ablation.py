"""The command line of ablations; heavy libraries are imported after parsing."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from crossrec.cli.guard import guarded


def ablate(arguments: Sequence[str] | None = None) -> int:
    """``crossrec ablate CONFIG [key=value …]``."""
    parser = argparse.ArgumentParser(
        prog="crossrec ablate",
        description="Trains every variant of a grid, or searches settings, over several seeds, and compares. "
        "Run it again to resume; run it on several machines that share the folder to go faster.",
    )
    parser.add_argument("config", type=Path, help="a YAML file, such as configs/ablations/fusion.yaml")
    parser.add_argument("overrides", nargs="*", help="of the study, such as jobs=2 changes.trainer.epochs=3")
    parsed = parser.parse_args(arguments)

    def run() -> None:
        from crossrec.config import load_config
        from crossrec.studies.grid.config import AblationConfig

        config = load_config(AblationConfig, parsed.config, parsed.overrides)
        from crossrec.studies.grid.study import run_ablation

        run_ablation(config)

    return guarded(run)

"""The command line of the study of generators; heavy libraries are imported after parsing."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from crossrec.cli.guard import guarded


def synthesis(arguments: Sequence[str] | None = None) -> int:
    """``crossrec synthesis CONFIG [key=value …]``."""
    parser = argparse.ArgumentParser(
        prog="crossrec synthesis",
        description="Trains generators of item features, profiles and pictures on a run's training items and "
        "measures their samples beside a Gaussian fit.",
    )
    parser.add_argument("config", type=Path, help="a run's YAML file, such as configs/demo.yaml")
    parser.add_argument(
        "overrides", nargs="*", help="of the study, such as out=runs/mine image_gan=null spaces=[text]"
    )
    parsed = parser.parse_args(arguments)

    def run() -> None:
        from crossrec.config import parse_overrides, validate
        from crossrec.studies.synthesis import SynthesisConfig

        content = {"base": parsed.config, **parse_overrides(parsed.overrides)}
        config = validate(SynthesisConfig, content, parser.prog, trust_code=True)
        from crossrec.studies.synthesis import run_synthesis

        run_synthesis(config)

    return guarded(run)

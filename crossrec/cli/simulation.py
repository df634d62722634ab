"""The command line of simulated feedback loops; heavy libraries are imported after parsing."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from crossrec.cli.guard import guarded


def simulate(arguments: Sequence[str] | None = None) -> int:
    """``crossrec simulate CONFIG [key=value …]``."""
    parser = argparse.ArgumentParser(
        prog="crossrec simulate",
        description="Plays policies against simulated users, round after round. Run it again to resume.",
    )
    parser.add_argument(
        "config", type=Path, help="a YAML file, such as configs/studies/feedback_loop_demo.yaml"
    )
    parser.add_argument("overrides", nargs="*", help="such as rounds=5 seeds=[0,1] users=200")
    parsed = parser.parse_args(arguments)

    def run() -> None:
        from crossrec.config import load_config
        from crossrec.studies.feedback_loop.config import FeedbackLoopConfig

        config = load_config(FeedbackLoopConfig, parsed.config, parsed.overrides)
        from crossrec.studies.feedback_loop.study import run_feedback_loop

        run_feedback_loop(config)

    return guarded(run)

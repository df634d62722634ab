"""The command lines of ``train.py`` and ``evaluate.py``; heavy libraries are imported after parsing."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from crossrec.cli.guard import add_trust, guarded


def train(arguments: Sequence[str] | None = None) -> int:
    """``train.py CONFIG [key=value …]``."""
    parser = argparse.ArgumentParser(
        prog="train.py",
        description="Trains a recommender and measures it beside the baselines. Run it again to resume.",
        epilog="Several processes: accelerate launch train.py … "
        "(on the CPU: ACCELERATE_USE_CPU=true accelerate launch --multi_gpu --num_processes 2 train.py …)",
    )
    parser.add_argument(
        "config", type=Path, help="a YAML file, such as configs/demo.yaml, or a run's config.yaml"
    )
    parser.add_argument("overrides", nargs="*", help="such as model.fusion.type=attention trainer.epochs=3")
    add_trust(parser)
    parsed = parser.parse_args(arguments)

    def run() -> None:
        from crossrec.experiment.run_folder import load_experiment

        config = load_experiment(parsed.config, parsed.overrides, trust_code=parsed.trust_code)
        from crossrec.experiment.train import run_training

        run_training(config)

    return guarded(run)


def evaluate(arguments: Sequence[str] | None = None) -> int:
    """``evaluate.py RUN [--split test] [--predictions FILE] [key=value …]``."""
    parser = argparse.ArgumentParser(
        prog="evaluate.py",
        description="Measures a run, or a file of predictions under the run's protocol, with intervals.",
    )
    parser.add_argument("run", type=Path, help="a run folder, such as runs/demo")
    parser.add_argument("overrides", nargs="*", help="such as evaluation.ks=[5,10,20]")
    parser.add_argument("--split", choices=("valid", "test"), default="test")
    parser.add_argument(
        "--predictions",
        type=Path,
        help="a .parquet or .csv file: user_id, item_id, rank or score (and query, where users have several)",
    )
    add_trust(parser)
    parsed = parser.parse_args(arguments)

    def run() -> None:
        from crossrec.experiment.run_folder import read_run

        config = read_run(parsed.run, parsed.overrides, trust_code=parsed.trust_code)
        from crossrec.experiment.evaluate import run_evaluation
        from crossrec.runtime import distributed

        with distributed.explained(config.trainer.collective_timeout):
            run_evaluation(config, parsed.split, parsed.predictions)

    return guarded(run)

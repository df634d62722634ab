"""The command lines of studies over several runs; heavy libraries are imported after parsing."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from crossrec.cli.guard import add_trust, guarded


def compare(arguments: Sequence[str] | None = None) -> int:
    """``crossrec compare RUN RUN … [--metrics ndcg@10,coverage@10] [--test randomisation] [--group]``."""
    from crossrec.evaluation.config import ComparisonConfig, TestName

    default = ComparisonConfig()
    parser = argparse.ArgumentParser(
        prog="crossrec compare",
        description="Compares measured runs with the first one, with intervals and paired tests.",
    )
    parser.add_argument("runs", nargs="+", metavar="RUN", help="a run folder, or name=RUN,RUN for its seeds")
    parser.add_argument("--split", choices=("valid", "test"), default="test")
    parser.add_argument("--metrics", type=_names, default=(), help="such as ndcg@10,coverage@10")
    parser.add_argument("--diversity", type=_names, default=(), help="metrics drawn against accuracy")
    parser.add_argument("--test", choices=get_args(TestName), default=default.test)
    parser.add_argument("--group", action="store_true", help="base.0 and base.1 are seeds of one system")
    parser.add_argument("--baselines", action="store_true", help="add the first run's own baselines")
    parser.add_argument("--resamples", type=int, default=default.n_bootstrap, help="of the users")
    parser.add_argument("--permutations", type=int, default=default.n_permutations)
    parser.add_argument("--seed", type=int, default=default.seed)
    parser.add_argument("--out", type=Path, help="a folder; compare-<names> beside the first run by default")
    add_trust(parser)
    parsed = parser.parse_args(arguments)

    def run() -> None:
        from crossrec.config import validate

        content = {
            "metrics": parsed.metrics,
            "diversity": parsed.diversity,
            "test": parsed.test,
            "n_bootstrap": parsed.resamples,
            "n_permutations": parsed.permutations,
            "seed": parsed.seed,
        }
        config = validate(ComparisonConfig, content, parser.prog)
        from crossrec.experiment.compare import Request, run_comparison

        request = Request(
            parsed.runs, parsed.split, parsed.group, parsed.baselines, parsed.out, parsed.trust_code
        )
        run_comparison(request, config)

    return guarded(run)


def tradeoff(arguments: Sequence[str] | None = None) -> int:
    """``crossrec tradeoff CONFIG [key=value …]``."""
    parser = _config_parser(
        "tradeoff",
        "Sweeps rerankers over trained runs, picks on validation, reports on test.",
    )
    add_trust(parser)
    parsed = parser.parse_args(arguments)

    def run() -> None:
        from crossrec.config import load_config
        from crossrec.studies.tradeoff.config import TradeoffConfig

        config = load_config(TradeoffConfig, parsed.config, parsed.overrides)
        from crossrec.studies.tradeoff.study import run_tradeoff

        run_tradeoff(config, trust_code=parsed.trust_code)

    return guarded(run)


def large_model(arguments: Sequence[str] | None = None) -> int:
    """``crossrec large-model CONFIG [key=value …]``."""
    parsed = _config_parser(
        "large-model",
        "Trains a small and a large model as a pair and compares their diversity.",
    ).parse_args(arguments)

    def run() -> None:
        from crossrec.config import load_config
        from crossrec.studies.large_model import LargeModelConfig

        config = load_config(LargeModelConfig, parsed.config, parsed.overrides)
        from crossrec.studies.large_model import run_large_model

        run_large_model(config)

    return guarded(run)


def _config_parser(command: str, description: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"crossrec {command}", description=description)
    parser.add_argument("config", type=Path, help="a YAML file, such as those in configs/studies")
    parser.add_argument("overrides", nargs="*", help="such as out=runs/another_study")
    return parser


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())

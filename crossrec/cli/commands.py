"""The command ``crossrec``: a table of subcommands, each with its own command line."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

from crossrec.version import __version__


@dataclass(frozen=True)
class Command:
    """One subcommand, imported when it runs.

    Args:
        target: ``module:function``; the function takes the arguments after the subcommand's name and returns
            the exit status.
        help: one-line description.
    """

    target: str
    help: str

    @property
    def run(self) -> Callable[[Sequence[str] | None], int]:
        """Import and return the function."""
        module, _, name = self.target.partition(":")
        return cast(Callable[[Sequence[str] | None], int], getattr(importlib.import_module(module), name))


COMMANDS: dict[str, Command] = {
    "train": Command("crossrec.cli.runs:train", "train a recommender and measure it beside the baselines"),
    "init": Command("crossrec.cli.init:init", "write a first configuration for a folder of data"),
    "evaluate": Command("crossrec.cli.runs:evaluate", "measure a run, or a file of predictions"),
    "recommend": Command(
        "crossrec.cli.runs:recommend", "recommend with a trained recommender, for one user or for all"
    ),
    "serve": Command(
        "crossrec.cli.runs:serve", "serve a trained recommender: a page with pictures, and an API"
    ),
    "compare": Command(
        "crossrec.cli.studies:compare", "compare runs: differences, intervals, tests, the front"
    ),
    "ablate": Command("crossrec.cli.studies:ablate", "run a grid or a search over any keys and seeds"),
    "tradeoff": Command(
        "crossrec.cli.studies:tradeoff", "sweep accuracy against diversity over rerankers, strengths and runs"
    ),
    "ensemble": Command(
        "crossrec.cli.studies:ensemble",
        "learn weights of runs and baselines on validation, measure the ensemble",
    ),
    "cascade": Command(
        "crossrec.cli.studies:cascade", "score a cheap retriever's candidates only: what it keeps and saves"
    ),
    "off-policy": Command(
        "crossrec.cli.runs:off_policy", "estimate another policy's value from logged lists with propensities"
    ),
    "large-model": Command(
        "crossrec.cli.studies:large_model",
        "measure the effect of a large model on diversity, beside a small one",
    ),
    "synthesis": Command(
        "crossrec.cli.studies:synthesis", "train generators of features and pictures, and measure them"
    ),
    "simulate": Command(
        "crossrec.cli.studies:simulate", "simulate policies with users in a feedback loop, round after round"
    ),
    "weights": Command("crossrec.cli.weights:weights", "list or install packages of pretrained weights"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """``crossrec COMMAND …``."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    lines = [f"  {name:<12} {command.help}" for name, command in COMMANDS.items()]
    parser = argparse.ArgumentParser(
        prog="crossrec",
        description="Cross-modal recommenders: train, measure, compare.",
        epilog="commands:\n" + "\n".join(lines) + "\n\nRun 'crossrec COMMAND --help' for its options.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "command", choices=tuple(COMMANDS), metavar="COMMAND", help="a command of the list below"
    )
    parser.add_argument("--version", action="version", version=f"crossrec {__version__}")
    # All arguments after the name belong to the subcommand, including --help.
    name = parser.parse_args(given[:1]).command
    return COMMANDS[name].run(given[1:])


if __name__ == "__main__":
    raise SystemExit(main())

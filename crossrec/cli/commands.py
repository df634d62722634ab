"""The command ``crossrec``: a table of subcommands, each with a command line of its own."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast


@dataclass(frozen=True)
class Command:
    """One subcommand, imported when it runs.

    Args:
        target: ``module:function``; the function takes the arguments after the subcommand's name and returns
            the exit status.
        help: one line.
    """

    target: str
    help: str

    @property
    def run(self) -> Callable[[Sequence[str] | None], int]:
        """The function."""
        module, _, name = self.target.partition(":")
        return cast(Callable[[Sequence[str] | None], int], getattr(importlib.import_module(module), name))


COMMANDS: dict[str, Command] = {
    "train": Command("crossrec.cli.runs:train", "train a recommender and measure it beside the baselines"),
    "evaluate": Command("crossrec.cli.runs:evaluate", "measure a run, or a file of predictions"),
    "recommend": Command(
        "crossrec.cli.runs:recommend", "lists of a trained recommender, for one user or for all"
    ),
    "serve": Command("crossrec.cli.runs:serve", "a page with pictures and an API on a trained recommender"),
    "compare": Command(
        "crossrec.cli.studies:compare", "compare runs: differences, intervals, tests, the front"
    ),
    "ablate": Command(
        "crossrec.cli.studies:ablate", "a grid or a search over any keys and seeds, as one table"
    ),
    "tradeoff": Command(
        "crossrec.cli.studies:tradeoff", "accuracy against diversity over rerankers, strengths and runs"
    ),
    "ensemble": Command(
        "crossrec.cli.studies:ensemble", "weigh runs and baselines on validation, measure them together"
    ),
    "large-model": Command(
        "crossrec.cli.studies:large_model", "effect of a large model on diversity, beside a small one"
    ),
    "synthesis": Command(
        "crossrec.cli.studies:synthesis", "train generators of features and pictures and measure them"
    ),
    "simulate": Command(
        "crossrec.cli.studies:simulate", "policies against simulated users, round after round"
    ),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """``crossrec COMMAND …``."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    lines = [f"  {name:<12} {command.help}" for name, command in COMMANDS.items()]
    parser = argparse.ArgumentParser(
        prog="crossrec",
        description="Cross-modal recommenders: train, measure, compare.",
        epilog="commands:\n" + "\n".join(lines) + "\n\ncrossrec COMMAND --help says more.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", choices=tuple(COMMANDS), metavar="COMMAND", help="one of those below")
    # What follows the name belongs to the subcommand, --help included.
    name = parser.parse_args(given[:1]).command
    return COMMANDS[name].run(given[1:])


if __name__ == "__main__":
    raise SystemExit(main())

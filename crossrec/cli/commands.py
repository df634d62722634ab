"""The command ``crossrec``: a table of subcommands, each with a command line of its own."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from crossrec.cli import ablation, ensemble, experiment, server, serving, simulation, study, synthesis


@dataclass(frozen=True)
class Command:
    """One subcommand.

    Args:
        run: takes the arguments after the subcommand's name, returns the exit status.
        help: one line.
    """

    run: Callable[[Sequence[str] | None], int]
    help: str


COMMANDS: dict[str, Command] = {
    "train": Command(experiment.train, "train a recommender and measure it beside the baselines"),
    "evaluate": Command(experiment.evaluate, "measure a run, or a file of predictions"),
    "recommend": Command(serving.recommend, "lists of a trained recommender, for one user or for all"),
    "serve": Command(server.serve, "a page with pictures and an API on a trained recommender"),
    "compare": Command(study.compare, "compare runs: differences, intervals, tests, the front"),
    "ablate": Command(ablation.ablate, "a grid or a search over any keys and seeds, as one table"),
    "tradeoff": Command(study.tradeoff, "accuracy against diversity over rerankers, strengths and runs"),
    "ensemble": Command(ensemble.ensemble, "weigh runs and baselines on validation, measure them together"),
    "large-model": Command(study.large_model, "what a large model does to diversity, beside a small one"),
    "synthesis": Command(synthesis.synthesis, "train generators of features and pictures and measure them"),
    "simulate": Command(simulation.simulate, "policies against simulated users, round after round"),
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

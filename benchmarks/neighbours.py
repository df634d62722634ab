"""Parts of item-kNN in the model, taken away one by one from trained runs; nothing is trained again.

    python benchmarks/neighbours.py RUN [RUN …] [--part valid]

Each row chooses what is left on the run's validation queries, as after a training, and measures the whole
split. Differences from the whole are paired by user, with Student's 95 % interval.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from crossrec.evaluation.bootstrap import estimate_difference
from crossrec.evaluation.evaluate import evaluate_lists, rank_queries
from crossrec.evaluation.results import Evaluation
from crossrec.experiment.config import NeighboursConfig
from crossrec.experiment.evaluate import load_recommender
from crossrec.experiment.neighbours import NeighbourChoice
from crossrec.experiment.prepared import PreparedExperiment
from crossrec.experiment.results import SplitPart
from crossrec.experiment.run_folder import read_run
from crossrec.model.recommender import NeuralRecommender

WHOLE, ALONE = "whole", "network alone"
VARIANTS: dict[str, Mapping[str, Any]] = {
    WHOLE: {},
    "without shrinkage": {"shrinkage": 0},
    "without the bonus": {"cold_bonus": 0},
    "without both": {"shrinkage": 0, "cold_bonus": 0},
    "shrinkage without item-kNN": {"weight": 0},
}


def measure(prepared: PreparedExperiment, model: NeuralRecommender, part: SplitPart) -> Evaluation:
    """Return the accuracy of a model on a split."""
    config, split = prepared.config.evaluation, prepared.data.split
    config = config.model_copy(update={"metrics": ("ndcg", "recall", "coverage"), "n_bootstrap": 0})
    queries = split.queries(part)
    lists = rank_queries(model, split, queries, max(config.ks), config.exclude_seen, config.batch)
    return evaluate_lists(lists, queries, split.histories(queries), prepared.items, config)


def table_of(run: Path, part: SplitPart) -> Table:
    """Return the table of one run."""
    prepared = PreparedExperiment.of(read_run(run, []))
    base = prepared.config.neighbours or NeighboursConfig()
    model = load_recommender(prepared)
    table = Table(title=f"{run.name}, {part}")
    for column in ("neighbours", "weight", "bonus", "ndcg@10", "difference", "recall@10", "coverage@10"):
        table.add_column(column, justify="left" if column == "neighbours" else "right")
    whole_U = np.zeros(0)
    for name in (*VARIANTS, ALONE):
        model.network.neighbours = None
        model.refresh()
        weight = bonus = ""
        if name != ALONE:
            choice, scores = NeighbourChoice(prepared, model, base.model_copy(update=VARIANTS[name])).best()
            model.network.neighbours = scores
            model.refresh()
            weight, bonus = f"{choice.weight:g}", f"{choice.cold_bonus:+.2f}"
        found = measure(prepared, model, part)
        values_U = found.per_user.sort("user")["ndcg@10"].to_numpy()
        if name == WHOLE:
            whole_U = values_U
        difference = estimate_difference(values_U - whole_U)
        low, high = difference["ci95"]
        shown = "" if name == WHOLE else f"{difference['value']:+.4f} [{low:+.4f}, {high:+.4f}]"
        values = [f"{found.metrics[m]['value']:.4f}" for m in ("ndcg@10", "recall@10", "coverage@10")]
        table.add_row(name, weight, bonus, values[0], shown, *values[1:])
    return table


def main() -> None:
    """Measures every run."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("runs", type=Path, nargs="+", help="run folders")
    parser.add_argument("--part", choices=("valid", "test"), default="test")
    args = parser.parse_args()
    for run in args.runs:
        Console(width=120).print(table_of(run, args.part))


if __name__ == "__main__":
    main()

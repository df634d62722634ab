"""Trains variants of one configuration over several seeds and prints one table; used by the benchmarks."""

from __future__ import annotations

import argparse
import json
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from crossrec.config import load_config
from crossrec.evaluation.bootstrap import estimate_means
from crossrec.evaluation.report.glossary import format_range
from crossrec.evaluation.results import METRICS_FILE, Evaluation
from crossrec.experiment.config import ExperimentConfig
from crossrec.experiment.prepared import PreparedExperiment
from crossrec.experiment.run_folder import check_run
from crossrec.serving.training import run_training
from crossrec.training.tracking import read_log
from crossrec.types import Recommender

SHOWN = ("ndcg@10", "recall@10", "coverage@10", "gini@10", "ild@10")
WITH_INTERVAL = ("ndcg@10", "recall@10")
SLICES = {"cold_items": "cold recall@10", "tail_items": "tail recall@10"}
SPEED_FILE = "ranking_speed.json"
TIMED_QUERIES = 2_000


@dataclass(frozen=True)
class Table:
    """One table: variants that share data, protocol and baselines.

    Args:
        changes: overrides of the configuration for the whole table.
        variants: name to overrides, in which ``RUN/NAME`` is the folder of that variant's run with the same
            seed.
        needs_gpu: whether the table is left out unless it is named.
        config: configuration that its runs start from; that of the comparison when None.
    """

    changes: Sequence[str]
    variants: Mapping[str, Sequence[str]]
    needs_gpu: bool = False
    config: Path | None = None


@dataclass(frozen=True)
class Comparison:
    """Tables of runs, each kept in a folder of its own, so that what is finished is not repeated.

    Args:
        config: configuration that everything starts from.
        tables: name to table.
        seeds: of every variant.
        root: folder of the data; None for data that need none.
        runs_dir: where runs are kept.
        changes: overrides of every run.
    """

    config: Path
    tables: Mapping[str, Table]
    seeds: Sequence[int]
    root: Path | None
    runs_dir: Path
    changes: Sequence[str] = ()

    def runs(self) -> Iterator[ExperimentConfig]:
        """Every run, seed by seed; the first of each table also tunes and measures the baselines."""
        for name, table in self.tables.items():
            for seed in self.seeds:
                for variant, overrides in table.variants.items():
                    first = variant == next(iter(table.variants)) and seed == self.seeds[0]
                    yield load_config(
                        ExperimentConfig,
                        table.config or self.config,
                        [
                            *table.changes,
                            *(self._with_runs(text, name, seed) for text in overrides),
                            *([] if self.root is None else [f"data.root={self.root}"]),
                            f"runs_dir={self.runs_dir}",
                            f"name={name}.{variant}.{seed}",
                            f"seed={seed}",
                            *([] if first else ["baselines=[]"]),
                            *self.changes,
                        ],
                    )

    def _with_runs(self, override: str, table: str, seed: int) -> str:
        return re.sub(r"RUN/([\w-]+)", lambda found: f"{self.runs_dir}/{table}.{found[1]}.{seed}", override)

    def train(self, only: str) -> None:
        """Trains what is missing among the runs whose name contains ``only``.

        Raises:
            ConfigError: the folder of a run holds one with another configuration.
        """
        wanted = [config for config in self.runs() if only in config.name]
        for config in wanted:
            check_run(config)
        for config in wanted:
            if not (config.run_folder / "eval" / "test" / METRICS_FILE).exists():
                model = run_training(config)
                _time_ranking(config, model.recommender)

    def measured(self, name: str) -> Iterator[tuple[str, list[Path]]]:
        """Name and folders of results (one a seed) of everything that a table has so far."""
        variants = self.tables[name].variants
        first = self._folder(name, next(iter(variants)), self.seeds[0])
        for folder in sorted((first / "baselines").glob("*")):
            yield folder.name, [folder]
        for variant in variants:
            folders = [self._folder(name, variant, seed) for seed in self.seeds]
            if done := [folder for folder in folders if (folder / METRICS_FILE).exists()]:
                yield variant, done

    def _folder(self, table: str, variant: str, seed: int) -> Path:
        return self.runs_dir / f"{table}.{variant}.{seed}" / "eval" / "test"

    def markdown(self) -> str:
        """All tables."""
        lines = []
        for name in self.tables:
            rows = [_row(recommender, folders) for recommender, folders in self.measured(name)]
            if rows:
                head = ["recommender", "seeds", *SHOWN, *SLICES.values(), "training s", "µs per user"]
                lines += [f"\n### {name}\n", "| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
                lines += ["| " + " | ".join(cells) + " |" for cells in rows]
        return "\n".join(lines)


def _row(name: str, folders: list[Path]) -> list[str]:
    evaluations = [Evaluation.load(folder) for folder in folders]
    cells = [name, str(len(evaluations))]
    for metric in SHOWN:
        found = [e.metrics.get(metric) for e in evaluations]
        values = [float(f["value"]) for f in found if f is not None]
        if not values:
            cells.append("not measured")
        elif metric in WITH_INTERVAL:
            per_user = [e.per_user.sort("user")[metric] for e in evaluations]
            mean_U = pl.DataFrame({str(i): s for i, s in enumerate(per_user)}).mean_horizontal().to_numpy()
            ends = format_range(estimate_means({metric: mean_U}, 1000, 0)[metric]["ci95"], sign="")
            spread = f" ± {np.std(values, ddof=1):.4f}" if len(values) > 1 else ""
            cells.append(f"{np.mean(values):.4f}{spread} [{ends}]")
        else:
            cells.append(f"{np.mean(values):.3f}")
    for part in SLICES:
        parts = [e.slices[part] for e in evaluations if e.slices[part]["n_queries"]]
        cells.append(f"{np.mean([p['recall@10']['value'] for p in parts]):.3f}" if parts else "none")
    return [*cells, *_costs([folder.parents[1] for folder in folders])]


def _costs(runs: Sequence[Path]) -> list[str]:
    """Seconds of training steps and microseconds per ranked user, means over runs; empty for baselines."""
    logs = [read_log(run / "log.jsonl") for run in runs if (run / "log.jsonl").exists()]
    training = [sum(line.get("seconds", 0.0) for line in log) for log in logs]
    ranking = [json.loads((run / SPEED_FILE).read_text()) for run in runs if (run / SPEED_FILE).exists()]
    return [
        f"{np.mean(training):,.0f}" if training else "",
        f"{np.mean([1e6 * r['seconds'] / r['queries'] for r in ranking]):,.0f}" if ranking else "",
    ]


def _time_ranking(config: ExperimentConfig, recommender: Recommender) -> None:
    """Write the time of the lists of up to 2,000 test queries, seen items excluded, the second of two."""
    split = PreparedExperiment.of(config).data.split
    queries = split.queries("test")
    histories = split.histories(queries).take(np.arange(min(TIMED_QUERIES, len(queries))))
    seconds = 0.0
    for _ in range(2):
        started = time.perf_counter()
        recommender.recommend(histories, 10, histories)
        seconds = time.perf_counter() - started
    found = {"queries": len(histories), "seconds": seconds}
    (config.run_folder / SPEED_FILE).write_text(json.dumps(found) + "\n", encoding="utf-8")


def main(
    description: str,
    config: Path,
    tables: Mapping[str, Table],
    seeds: Sequence[int],
    runs_dir: Path | None = None,
    *,
    needs_root: bool = True,
) -> None:
    """The command line of a benchmark: trains what is missing, then prints the tables.

    Args:
        description: of the benchmark.
        config: configuration that everything starts from.
        tables: name to table.
        seeds: of every variant.
        runs_dir: default folder of the runs; ``runs/`` and the configuration's name when None.
        needs_root: whether the data are in a folder rather than generated.
    """
    parser = argparse.ArgumentParser(description=description)
    if needs_root:
        parser.add_argument("--root", type=Path, required=True, help="folder of the data")
    parser.add_argument("--runs-dir", type=Path, default=runs_dir or Path("runs") / config.stem)
    by_default = [name for name, table in tables.items() if not table.needs_gpu]
    parser.add_argument(
        "--tables", nargs="+", choices=tables, default=by_default, help="all but those of GPUs"
    )
    parser.add_argument("--only", default="", help="train only runs whose name contains this")
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help="change every run")
    parser.add_argument("--table", action="store_true", help="print what is there; train nothing")
    args = parser.parse_args()
    root = args.root if needs_root else None
    wanted = {name: tables[name] for name in args.tables}
    comparison = Comparison(config, wanted, seeds, root, args.runs_dir, args.set)
    if not args.table:
        comparison.train(args.only)
    print(comparison.markdown())  # noqa: T201

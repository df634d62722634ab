"""Trains variants of one configuration over several seeds and prints one table; used by the benchmarks."""

from __future__ import annotations

import argparse
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
from crossrec.experiment.run_folder import check_run
from crossrec.serving.training import run_training

SHOWN = ("ndcg@10", "recall@10", "coverage@10", "gini@10", "ild@10")
WITH_INTERVAL = ("ndcg@10", "recall@10")


@dataclass(frozen=True)
class Table:
    """One table: variants that share data, protocol and baselines.

    Args:
        changes: overrides of the configuration for the whole table.
        variants: name to overrides.
    """

    changes: Sequence[str]
    variants: Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Comparison:
    """Tables of runs, each kept in a folder of its own, so that what is finished is not repeated.

    Args:
        config: configuration that everything starts from.
        tables: name to table.
        seeds: of every variant.
        root: folder of the data; None for data that need none.
        runs_dir: where runs are kept.
    """

    config: Path
    tables: Mapping[str, Table]
    seeds: Sequence[int]
    root: Path | None
    runs_dir: Path

    def runs(self) -> Iterator[ExperimentConfig]:
        """Every run, seed by seed; the first of each table also tunes and measures the baselines."""
        for name, table in self.tables.items():
            for seed in self.seeds:
                for variant, overrides in table.variants.items():
                    first = variant == next(iter(table.variants)) and seed == self.seeds[0]
                    yield load_config(
                        ExperimentConfig,
                        self.config,
                        [
                            *table.changes,
                            *overrides,
                            *([] if self.root is None else [f"data.root={self.root}"]),
                            f"runs_dir={self.runs_dir}",
                            f"name={name}.{variant}.{seed}",
                            f"seed={seed}",
                            *([] if first else ["baselines=[]"]),
                        ],
                    )

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
                run_training(config)

    def measured(self, name: str) -> Iterator[tuple[str, list[Evaluation]]]:
        """Name and evaluations (one a seed) of everything that a table has so far."""
        variants = self.tables[name].variants
        first = self._folder(name, next(iter(variants)), self.seeds[0])
        for folder in sorted((first / "baselines").glob("*")):
            yield folder.name, [Evaluation.load(folder)]
        for variant in variants:
            folders = [self._folder(name, variant, seed) for seed in self.seeds]
            done = [Evaluation.load(folder) for folder in folders if (folder / METRICS_FILE).exists()]
            if done:
                yield variant, done

    def _folder(self, table: str, variant: str, seed: int) -> Path:
        return self.runs_dir / f"{table}.{variant}.{seed}" / "eval" / "test"

    def markdown(self) -> str:
        """All tables."""
        lines = []
        for name in self.tables:
            rows = [_row(recommender, evaluations) for recommender, evaluations in self.measured(name)]
            if rows:
                head = ["recommender", "seeds", *SHOWN, "cold recall@10"]
                lines += [f"\n### {name}\n", "| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
                lines += ["| " + " | ".join(cells) + " |" for cells in rows]
        return "\n".join(lines)


def _row(name: str, evaluations: list[Evaluation]) -> list[str]:
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
    cold = [e.slices["cold_items"] for e in evaluations]
    values = [c["recall@10"]["value"] for c in cold if c["n_queries"]]
    return [*cells, f"{np.mean(values):.3f}" if values else "none"]


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
    parser.add_argument("--only", default="", help="train only runs whose name contains this")
    parser.add_argument("--table", action="store_true", help="print what is there; train nothing")
    args = parser.parse_args()
    root = args.root if needs_root else None
    comparison = Comparison(config, tables, seeds, root, args.runs_dir)
    if not args.table:
        comparison.train(args.only)
    print(comparison.markdown())  # noqa: T201

"""Modalities, fusions and the LLM on MovieLens latest-small: trains every variant and prints one table.

    python benchmarks/movielens_small.py --root PATH/TO/ml-latest-small [--only TEXT] [--table]

All variants have the same data, loss, budget and seeds; nothing is chosen on test. Finished runs are not
repeated, so the command may be stopped and started again, and several may share the work through ``--only``.
Intervals are 95 % bootstraps over users of the mean over seeds; coverage and gini are means over seeds.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl

from crossrec.config import load_config
from crossrec.evaluation.bootstrap import estimate_means
from crossrec.evaluation.results import METRICS_FILE, Evaluation
from crossrec.experiment.config import ExperimentConfig
from crossrec.experiment.train import run_training

CONFIG = Path(__file__).parents[1] / "configs" / "movielens_small.yaml"
SEEDS = (0, 1, 2)
NO_TEXT, NO_IMAGE, NO_ID = "model.text=null", "model.image=null", "model.item_id=false"
LLM = [
    "model.sequence.type=llm",
    "model.sequence.layers=1",
    "model.sequence.max_length=50",
    "trainer.epochs=10",
    "trainer.lr=0.003",
    "trainer.encoder_lr=0.001",
    "trainer.eval_every=5",
]
BASELINES = "baselines"

VARIANTS: dict[str, list[str]] = {
    "sasrec-id": [NO_TEXT, NO_IMAGE],
    "sasrec-text": [NO_ID, NO_IMAGE],
    "sasrec-image": [NO_ID, NO_TEXT],
    "sasrec-text-image-concat": [NO_ID, "model.fusion.type=concat"],
    "sasrec-text-image-weighted": [NO_ID, "model.fusion.type=weighted"],
    "sasrec-text-image-attention": [NO_ID, "model.fusion.type=attention"],
    "sasrec-text-image-gated": [NO_ID, "model.fusion.type=gated"],
    "sasrec-id-text-image": [],
    "llm-lora-id-text-image": LLM,
}
PROTOCOLS: dict[str, tuple[list[str], list[str]]] = {
    "last5": ([], list(VARIANTS)),
    "last1": (["data.split.n_last=1"], list(VARIANTS)),
    # Without a least number of clicks for films, some are clicked for the first time in the test part.
    "last5-all-films": (
        ["data.cleaning.k_items=1"],
        ["sasrec-id", "sasrec-text-image-gated", "sasrec-id-text-image"],
    ),
}
SHOWN = ("ndcg@10", "recall@10", "coverage@10", "gini@10", "ild@10")


def runs(root: Path, runs_dir: Path) -> Iterator[ExperimentConfig]:
    """Every run of the table; the first of each protocol also tunes and measures the baselines."""
    for protocol, (changes, variants) in PROTOCOLS.items():
        for variant in variants:
            for seed in SEEDS:
                first = variant == variants[0] and seed == SEEDS[0]
                yield load_config(
                    ExperimentConfig,
                    CONFIG,
                    [
                        *changes,
                        *VARIANTS[variant],
                        f"data.root={root}",
                        f"runs_dir={runs_dir}",
                        f"name={protocol}.{variant}.{seed}",
                        f"seed={seed}",
                        *([] if first else ["baselines=[]"]),
                    ],
                )


def recommenders(protocol: str, runs_dir: Path) -> Iterator[tuple[str, list[Evaluation]]]:
    """Name and evaluations (one a seed) of every recommender measured so far."""
    first = runs_dir / f"{protocol}.{next(iter(VARIANTS))}.{SEEDS[0]}" / "eval" / "test" / BASELINES
    for folder in sorted(first.glob("*")):
        yield folder.name, [Evaluation.load(folder)]
    for variant in VARIANTS:
        folders = [runs_dir / f"{protocol}.{variant}.{seed}" / "eval" / "test" for seed in SEEDS]
        done = [Evaluation.load(folder) for folder in folders if (folder / METRICS_FILE).exists()]
        if done:
            yield variant, done


def row(name: str, evaluations: list[Evaluation]) -> list[str]:
    """One line of the table."""
    cells = [name, str(len(evaluations))]
    for metric in SHOWN:
        value = float(np.mean([e.metrics[metric]["value"] for e in evaluations]))
        per_user = [e.per_user.sort("user")[metric] for e in evaluations if metric in e.per_user.columns]
        if per_user and metric in SHOWN[:2]:
            mean_U = pl.DataFrame({str(i): s for i, s in enumerate(per_user)}).mean_horizontal().to_numpy()
            low, high = estimate_means({metric: mean_U}, 1000, 0)[metric]["ci95"]
            cells.append(f"{value:.4f} [{low:.4f}, {high:.4f}]")
        else:
            cells.append(f"{value:.3f}")
    cold = [e.slices["cold_items"] for e in evaluations]
    values = [c["recall@10"]["value"] for c in cold]
    cells.append(f"{np.mean(values):.3f}" if cold[0]["n_queries"] else "none")
    return cells


def table(runs_dir: Path) -> str:
    """All protocols as Markdown."""
    lines = []
    for protocol in PROTOCOLS:
        rows = [row(name, evaluations) for name, evaluations in recommenders(protocol, runs_dir)]
        if rows:
            head = ["recommender", "seeds", *SHOWN, "cold recall@10"]
            lines += [f"\n### {protocol}\n", "| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
            lines += ["| " + " | ".join(cells) + " |" for cells in rows]
    return "\n".join(lines)


def main() -> None:
    """Trains what is missing, then prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--root", type=Path, required=True, help="folder of ml-latest-small")
    parser.add_argument("--runs-dir", type=Path, default=Path("runs/movielens_small"))
    parser.add_argument("--only", default="", help="train only runs whose name contains this")
    parser.add_argument(
        "--table", action="store_true", help="print the table of what is there; train nothing"
    )
    parsed = parser.parse_args()
    for config in runs(parsed.root, parsed.runs_dir):
        finished = (config.run_folder / "eval" / "test" / METRICS_FILE).exists()
        if not parsed.table and not finished and parsed.only in config.name:
            run_training(config)
    print(table(parsed.runs_dir))  # noqa: T201


if __name__ == "__main__":
    main()

"""Each augmenter alone, and mixes, against none: a cross-modal SASRec, three seeds, paired tests.

    python benchmarks/augmentation.py --data demo [--only TEXT] [--table] [--split valid]
    python benchmarks/augmentation.py --data movielens --root PATH/TO/ml-latest-small [...]

All else is equal: data, seeds, epochs, learning rate and model. Copies and synthetic users make epochs
longer; ``none-longer`` trains as many steps as half a copy of each row brings. Finished runs are not
repeated; views, features and generators are cached under ``data.cache_dir``. Every loss is shown beside
every gain; ``--split valid`` is for picking a variant. p is that of Fisher's randomisation test on users'
means over the seeds, of coverage that of a paired bootstrap over users; a star marks p < .05 after Holm's
correction over the variants, where all seeds agree in sign. Paraphrases take hours: ``--slow`` trains them.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from augmentation_tests import METRICS, NONE, Outcome, is_measured, outcomes, read_runs
from augmentation_variants import SLOW, VARIANTS
from comparison import Table

from crossrec.config import load_config
from crossrec.experiment.config import ExperimentConfig
from crossrec.experiment.evaluate import run_evaluation
from crossrec.experiment.results import SplitPart
from crossrec.experiment.run_folder import check_run
from crossrec.serving.training import run_training

CONFIGS = Path(__file__).parents[1] / "configs"
SHORT = [
    "model.text.max_tokens=64",
    "model.image.image_size=96",
    # Linear maps of more dimensions would learn each of a few hundred products by heart.
    "model.whiten=64",
    "model.sequence.type=sasrec",
    "baselines=[]",
    "spaces.text=null",
    "spaces.image=null",
    "evaluation.n_bootstrap=0",
    "evaluation.metrics=[ndcg,recall,coverage]",
]
TABLES = {
    "demo": Table(
        [
            *SHORT,
            "data.source.n_products=500",
            "data.source.n_shoppers=1500",
            # Without ids everything that is known of a product is what the augmenters change.
            "model.item_id=false",
            "model.fusion.type=concat",
            "model.similarity=dot",
            "model.sequence.max_length=20",
            "objective.type=full_softmax",
            "trainer.epochs=10",
            "trainer.eval_every=5",
            "trainer.lr=0.003",
        ],
        VARIANTS["demo"],
    ),
    "movielens": Table(
        [
            *SHORT,
            # With films of few ratings there are films without a training click: the cold items.
            "data.cleaning.k_items=1",
            "model.sequence.max_length=50",
            "model.sequence.layers=1",
            "trainer.batch_size=16",
            "trainer.epochs=12",
            "trainer.eval_every=4",
        ],
        VARIANTS["movielens"],
    ),
}
BASES = {"demo": "demo.yaml", "movielens": "movielens_small.yaml"}


@dataclass(frozen=True)
class Study:
    """The runs of one data set.

    Args:
        data: its name.
        root: of its files; None for the demo, which is generated.
        runs_dir: where runs are kept.
        seeds: of every variant.
        part: of the split that is measured.
    """

    data: str
    root: Path | None
    runs_dir: Path
    seeds: tuple[int, ...]
    part: SplitPart

    def config(self, variant: str, seed: int, more: tuple[str, ...] = ()) -> ExperimentConfig:
        """One run's configuration."""
        table = TABLES[self.data]
        root = [] if self.root is None else [f"data.root={self.root}"]
        name = [f"name={variant}.{seed}", f"seed={seed}", f"runs_dir={self.runs_dir}"]
        overrides = [*table.changes, *table.variants[variant], *root, *name, *more]
        return load_config(ExperimentConfig, CONFIGS / BASES[self.data], overrides)

    def train(self, only: str, slow: bool, more: tuple[str, ...]) -> None:
        """Trains and measures what is missing among the variants whose name contains ``only``."""
        for config in self._wanted(only, slow, more):
            check_run(config)
            if not is_measured(config, "test"):
                run_training(config)
            if not is_measured(config, self.part):
                run_evaluation(config, self.part, report=False)

    def _wanted(self, only: str, slow: bool, more: tuple[str, ...]) -> Iterator[ExperimentConfig]:
        for seed in self.seeds:
            for variant in TABLES[self.data].variants:
                if only in variant and (slow or variant not in SLOW):
                    yield self.config(variant, seed, more)

    def markdown(self, more: tuple[str, ...]) -> str:
        """The table of what is there, with differences from ``none``."""
        found = {
            variant: read_runs([self.config(variant, seed, more) for seed in self.seeds], self.part)
            for variant in TABLES[self.data].variants
        }
        found = {variant: runs for variant, runs in found.items() if runs.configs}
        if NONE not in found:
            return "no run of the variant 'none' yet: everything is compared with it"
        rows = outcomes(found)
        head = ["variant", "seeds", *METRICS]
        title = f"\n### {self.data}, {self.part}\n"
        lines = [title, "| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
        for variant, cells in rows.items():
            shown = [_cell(cells[metric]) for metric in METRICS]
            lines.append("| " + " | ".join([variant, str(len(found[variant].configs)), *shown]) + " |")
        return "\n".join(lines)


def _cell(outcome: Outcome) -> str:
    if not np.isfinite(outcome.value):
        return "none"
    spread = f" ± {outcome.spread:.4f}" if np.isfinite(outcome.spread) else ""
    cell = f"{outcome.value:.4f}{spread}"
    if not np.isfinite(outcome.difference):
        return cell
    change = f"{outcome.relative:+.1%}" if np.isfinite(outcome.relative) else f"{outcome.difference:+.4f}"
    return f"{cell} ({change}, p {outcome.p:.3f}){'*' if outcome.settled else ''}"


def main() -> None:
    """Trains what is missing, then prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", choices=sorted(TABLES), required=True)
    parser.add_argument("--root", type=Path, help="folder of the data; the demo is generated")
    parser.add_argument("--runs-dir", type=Path, help="default: runs/augmentation-DATA")
    parser.add_argument("--only", default="", help="train only variants whose name contains this")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--slow", action="store_true", help="also variants that take hours")
    parser.add_argument("--split", choices=("valid", "test"), default="test", help="the part to measure")
    parser.add_argument("--table", action="store_true", help="print what is there; train nothing")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="the same in every run")
    args = parser.parse_args()
    if (args.data == "demo") != (args.root is None):
        parser.error("--root goes with --data movielens, and only with it")
    runs_dir = args.runs_dir or Path("runs") / f"augmentation-{args.data}"
    study = Study(args.data, args.root, runs_dir, tuple(args.seeds), args.split)
    if not args.table:
        study.train(args.only, args.slow, tuple(args.set))
    print(study.markdown(tuple(args.set)))  # noqa: T201


if __name__ == "__main__":
    main()

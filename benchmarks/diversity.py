"""Diversity on MovieLens latest-small: trained for, reranked for, and both, on one front.

    python benchmarks/diversity.py --root PATH/TO/ml-latest-small [--runs-dir runs/diversity]

Trains the cross-modal model with and without diversity terms (3 seeds each, the same data, loss, budget and
validation), then sweeps rerankers over all of them: strengths are chosen on validation, fronts, picked points
and hypervolumes reported on test. Finished runs and measured points are not repeated.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from comparison import Comparison, Table

from crossrec.config import validate
from crossrec.studies.tradeoff.config import TradeoffConfig
from crossrec.studies.tradeoff.study import run_tradeoff

CONFIG = Path(__file__).parents[1] / "configs" / "movielens_small.yaml"
SEEDS = (0, 1, 2)
CANDIDATES = 200
GRID = (0.0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5)
MMR = {"type": "mmr", "space": "category"}
DPP = {"type": "dpp", "space": "category"}
MAX_SUM = {"type": "max_sum", "space": "category", "order": "score"}
QUOTA = {"type": "quota"}
POPULARITY = {"type": "popularity"}


def terms(weight: float) -> list[str]:
    """Category similarity within lists, and entropy of exposure over them, both with this weight."""
    return [
        "diversity.type=terms",
        # Soft lists out of 1,000 films and for 64 positions a step: both only bound the cost.
        "diversity.items=1000",
        "diversity.rows=64",
        "diversity.terms.category.type=similarity",
        "diversity.terms.category.space=category",
        f"diversity.terms.category.weight={weight}",
        "diversity.terms.exposure.type=entropy",
        f"diversity.terms.exposure.weight={weight}",
    ]


VARIANTS = {"plain": [], **{f"terms-{weight:g}": terms(weight) for weight in (0.3, 1, 3)}}


def study(comparison: Comparison, out: Path) -> TradeoffConfig:
    """Rerankers over the trained models."""
    runs = {
        name: [str(comparison.runs_dir / f"last5.{name}.{seed}") for seed in comparison.seeds]
        for name in VARIANTS
    }
    content = {
        "out": str(out),
        "runs": runs,
        "grid": list(GRID),
        "rerankers": {
            "mmr": {"stages": [MMR], "candidates": CANDIDATES},
            "dpp": {"stages": [DPP], "candidates": CANDIDATES},
            "mmr by score": {"stages": [{**MMR, "order": "score"}], "candidates": CANDIDATES},
            "max_sum": {"stages": [MAX_SUM], "candidates": CANDIDATES},
            "quota": {"stages": [QUOTA], "candidates": CANDIDATES},
            "max_sum + quota": {
                "stages": [MAX_SUM, QUOTA],
                "grids": [list(GRID[1:]), [0.25, 0.5, 1.0]],
                "candidates": CANDIDATES,
            },
            "popularity + mmr": {
                "stages": [POPULARITY, MMR],
                "grids": [[0.05, 0.1, 0.2], list(GRID[1:])],
                "candidates": CANDIDATES,
            },
        },
    }
    return validate(TradeoffConfig, content, __file__)


def main() -> None:
    """Trains what is missing, then runs the study."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--root", type=Path, required=True, help="folder of the data")
    parser.add_argument("--runs-dir", type=Path, default=Path("runs/diversity"))
    args = parser.parse_args()
    comparison = Comparison(CONFIG, {"last5": Table([], VARIANTS)}, SEEDS, args.root, args.runs_dir)
    comparison.train("")
    run_tradeoff(study(comparison, args.runs_dir / "tradeoff"))


if __name__ == "__main__":
    main()

"""Tunes every baseline on validation within a stated budget, and prints one table of what it does on test.

    python benchmarks/baselines.py --data movielens_small --root PATH/TO/ml-latest-small
    python benchmarks/baselines.py --data amazon_beauty --root PATH/TO/amazon-beauty
        [--only bpr,ease] [--trials 12] [--seconds 300] [--out FOLDER]

The budget is one baseline's: at most so many settings, drawn from its grid by seed, and none begun after so
many seconds. Trials are kept, so the command may be stopped and started again. Nothing is chosen on test.
A baseline that needs what the data lacks is named below the table. Intervals are 95 % bootstraps over users.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from crossrec.baselines import BASELINES, BaselineOptions
from crossrec.baselines.als import ALS
from crossrec.baselines.base import TunableOptions
from crossrec.baselines.bpr import BPRMF
from crossrec.baselines.content import ContentBased
from crossrec.baselines.ease import EASE
from crossrec.baselines.feature_model import FeatureModel
from crossrec.baselines.item_knn import ItemKNN
from crossrec.baselines.neural.lightgcn import LightGCN
from crossrec.baselines.neural.ngcf import NGCF
from crossrec.baselines.neural.two_tower import TwoTower
from crossrec.baselines.neural.vbpr import VBPR
from crossrec.baselines.popularity import Popularity, RecentPopularity
from crossrec.baselines.tuning import TuningBudget, TuningTrial, tune
from crossrec.baselines.user_knn import UserKNN
from crossrec.config import load_config
from crossrec.data.item_table import ItemTable
from crossrec.evaluation.results import no_interval
from crossrec.experiment.config import ExperimentConfig
from crossrec.experiment.prepared import PreparedExperiment
from crossrec.experiment.results import evaluate_recommenders
from crossrec.experiment.validation import validation_value
from crossrec.runtime.files import write_text
from crossrec.studies.folder import key_of
from crossrec.types import InputError

CONFIGS = Path(__file__).parents[1] / "configs"
COMPARED: dict[str, TunableOptions] = {
    "popularity": Popularity.Options(),
    "recent_popularity": RecentPopularity.Options(),
    "item_knn_cosine": ItemKNN.Options(similarity="cosine"),
    "item_knn_pearson": ItemKNN.Options(similarity="pearson"),
    "item_knn_bm25": ItemKNN.Options(similarity="bm25"),
    "user_knn_cosine": UserKNN.Options(similarity="cosine"),
    "user_knn_pearson": UserKNN.Options(similarity="pearson"),
    "content_tfidf": ContentBased.Options(space="tfidf"),
    "content_bm25": ContentBased.Options(space="bm25"),
    "content_text": ContentBased.Options(space="text"),
    "content_image": ContentBased.Options(space="image"),
    "content_categories": ContentBased.Options(space="categories"),
    "logistic": FeatureModel.Options(loss="logistic"),
    "linear": FeatureModel.Options(loss="squared"),
    "als": ALS.Options(),
    "bpr": BPRMF.Options(),
    "ease": EASE.Options(),
    "two_tower": TwoTower.Options(modalities=("text", "image")),
    "vbpr": VBPR.Options(),
    "ngcf": NGCF.Options(),
    "lightgcn": LightGCN.Options(),
}
PUBLISHED: dict[str, dict[str, tuple[float, float]]] = {
    # Leave-one-out on the 5-core Beauty log of 22,363 users, full ranking.
    "amazon_beauty": {"lightgcn": (0.0479, 0.0241)},
}
COLUMNS = ("recall@10", "ndcg@10", "coverage@10", "gini@10")


def main() -> None:
    """Reads the arguments, tunes, tests and prints."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", choices=("movielens_small", "amazon_beauty"), required=True)
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--only", default="", help="names of baselines, separated by commas; all by default")
    parser.add_argument("--trials", type=int, default=12, help="settings tried for each baseline at most")
    parser.add_argument("--seconds", type=float, default=300.0, help="none is begun after so long")
    parser.add_argument("--seed", type=int, default=0, help="of the draw from the grids")
    parser.add_argument("--out", type=Path, default=Path("runs/baselines"))
    args = parser.parse_args()
    names = args.only.split(",") if args.only else list(COMPARED)
    unknown = [name for name in names if name not in COMPARED]
    if unknown:
        parser.error(f"no baseline is called {', '.join(unknown)}; there are {', '.join(COMPARED)}")
    config = load_config(ExperimentConfig, CONFIGS / f"{args.data}.yaml", [f"data.root={args.root}"])
    prepared = PreparedExperiment.of(config)
    items = prepared.items
    budget = TuningBudget(trials=args.trials, seconds=args.seconds, seed=args.seed)
    lacking = {}
    _say(f"{args.data}; {prepared.data.split.protocol}")
    _say(f"budget for each: {args.trials} settings, {args.seconds:g} s; {torch.get_num_threads()} threads\n")
    _say("| baseline | " + " | ".join(COLUMNS) + " | published recall, ndcg | trials | tuning s | fit s |")
    _say("|---" * (len(COLUMNS) + 5) + "|")
    for name in names:
        try:
            _say(_row(name, prepared, items, budget, args.out / args.data))
        except InputError as error:
            lacking[name] = str(error)
    for name, reason in lacking.items():
        _say(f"\n{name} is left out: {reason}")


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _row(name: str, prepared: PreparedExperiment, items: ItemTable, budget: TuningBudget, out: Path) -> str:
    chosen, trials = _tuned(name, prepared, items, budget, out)
    started = time.monotonic()
    fitted = chosen.build(items).fit(prepared.data.split.train)
    fit_seconds = time.monotonic() - started
    (measured,) = evaluate_recommenders(prepared, [fitted], "test")
    metrics = measured.evaluation.metrics
    _write(out / f"{name}.result.json", {"config": BASELINES.dump(chosen), "metrics": _plain(metrics)})
    values = [_cell(metrics[column]) if column in metrics else "" for column in COLUMNS]
    published = PUBLISHED.get(out.name, {}).get(name)
    shown = "" if published is None else " / ".join(f"{value:.4f}" for value in published)
    seconds = sum(trial.seconds for trial in trials)
    cells = [fitted.name, *values, shown, str(len(trials)), f"{seconds:.0f}", f"{fit_seconds:.1f}"]
    return "| " + " | ".join(cells) + " |"


def _tuned(
    name: str, prepared: PreparedExperiment, items: ItemTable, budget: TuningBudget, out: Path
) -> tuple[BaselineOptions, list[TuningTrial]]:
    """The best setting and all trials, of which those made before are read from the folder."""
    path = out / f"{name}.{_validated_on(prepared.config)}.trials.json"
    kept = _stored(path)

    def keep(trial: TuningTrial) -> None:
        kept.append(trial)
        rows = [{**vars(t), "config": BASELINES.dump(t.config)} for t in kept]
        _write(path, rows)

    train = prepared.data.split.train
    grid = COMPARED[name].grid()
    return tune(grid, items, train, lambda r: validation_value(prepared, r), budget, list(kept), keep)


def _validated_on(config: ExperimentConfig) -> str:
    """A key of all that decides a trial's value but the setting that was tried."""
    include = {"data", "spaces", "evaluation"}
    made_from = config.model_dump(mode="json", include=include, exclude={"data": {"cache_dir"}})
    return key_of({**made_from, "metric": config.trainer.metric})


def _stored(path: Path) -> list[TuningTrial]:
    if not path.exists():
        return []
    rows = json.loads(path.read_text(encoding="utf-8"))
    return [TuningTrial(**{**row, "config": BASELINES.parse(row["config"])}) for row in rows]


def _cell(estimate: Mapping[str, Any]) -> str:
    interval = estimate.get("ci95")
    bounds = "" if interval is None or no_interval(interval) else f" [{interval[0]:.4f}, {interval[1]:.4f}]"
    return f"{estimate['value']:.4f}{bounds}"


def _plain(metrics: Mapping[str, Any]) -> dict[str, Any]:
    return {name: dict(estimate) for name, estimate in metrics.items()}


def _write(path: Path, content: Any) -> None:
    write_text(path, json.dumps(content, indent=1))


if __name__ == "__main__":
    main()

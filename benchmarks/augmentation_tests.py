"""What benchmarks/augmentation.py measures of runs: values over seeds, and paired tests against none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from crossrec.data.prepare import DataConfig, PreparedData, prepare
from crossrec.evaluation.comparison.compare import compare_systems
from crossrec.evaluation.comparison.systems import Measurement, System
from crossrec.evaluation.config import ComparisonConfig
from crossrec.evaluation.facts import ItemFacts, lay_against
from crossrec.evaluation.metrics import ACCURACY
from crossrec.evaluation.predictions import load_predictions
from crossrec.evaluation.results import METRICS_FILE
from crossrec.evaluation.significance import holm, p_values
from crossrec.evaluation.slices import make_slices
from crossrec.evaluation.users import UserGroups
from crossrec.experiment.config import ExperimentConfig

K = 10
PERMUTATIONS = 10_000
COVERAGE = f"coverage@{K}"
SLICES = {f"tail recall@{K}": "tail_items", f"cold recall@{K}": "cold_items"}
METRICS = (f"ndcg@{K}", *SLICES, COVERAGE)


@dataclass(frozen=True)
class Runs:
    """What is there of one variant.

    Args:
        configs: of the finished runs, one a seed.
        folders: of their evaluations.
    """

    configs: Sequence[ExperimentConfig]
    folders: Sequence[Path]


@dataclass(frozen=True)
class Outcome:
    """One variant's value of one metric; NaN for what doesn't exist.

    Args:
        value: mean over seeds.
        spread: standard deviation over seeds.
        relative: difference from none, divided by none's value.
        p, p_holm: of the difference, plain and corrected over the variants.
    """

    value: float
    spread: float
    relative: float
    p: float
    p_holm: float


def read_runs(configs: Sequence[ExperimentConfig]) -> Runs:
    """The finished ones among the runs of a variant."""
    done = [config for config in configs if (config.run_folder / "eval" / "test" / METRICS_FILE).exists()]
    return Runs(done, [config.run_folder / "eval" / "test" for config in done])


def outcomes(found: Mapping[str, Runs]) -> dict[str, dict[str, Outcome]]:
    """Variant -> metric -> outcome; each variant is paired with the seeds of ``none`` that it has too."""
    values = {variant: [_values(c, f) for c, f in _pairs(runs)] for variant, runs in found.items()}
    rows: dict[str, dict[str, Outcome]] = {variant: {} for variant in found}
    others = [variant for variant in found if variant != "none"]
    for metric in METRICS:
        plain = _mean(values["none"], metric)
        p_of = np.array([_p(found, values, variant, metric) for variant in others])
        corrected = dict(zip(others, holm(p_of), strict=True))
        for variant in found:
            seeds = [float(np.nanmean(seed[metric])) for seed in values[variant]]
            spread = float(np.std(seeds, ddof=1)) if len(seeds) > 1 else np.nan
            mean, base = float(np.mean(seeds)), float(np.nanmean(plain))
            relative = mean / base - 1 if variant in corrected and base > 0 else np.nan
            p = p_of[others.index(variant)] if variant in corrected else np.nan
            rows[variant][metric] = Outcome(mean, spread, relative, p, corrected.get(variant, np.nan))
    return rows


def _p(
    found: Mapping[str, Runs], values: Mapping[str, list[dict[str, np.ndarray]]], variant: str, metric: str
) -> float:
    if metric == COVERAGE:
        systems = [
            System(name, [Measurement.read(folder) for folder in found[name].folders])
            for name in ("none", variant)
        ]
        n_items = len(_data(found["none"].configs[0]).catalog)
        compared = compare_systems(systems, n_items, ComparisonConfig(metrics=(COVERAGE,)))
        difference = compared.entry(variant, COVERAGE).difference
        return np.nan if difference is None else difference.p
    difference_U = _mean(values[variant], metric) - _mean(values["none"], metric)
    return float(p_values("randomisation", difference_U[:, None], PERMUTATIONS, 0)[0])


def _pairs(runs: Runs) -> list[tuple[ExperimentConfig, Path]]:
    return list(zip(runs.configs, runs.folders, strict=True))


def _mean(seeds: Sequence[dict[str, np.ndarray]], metric: str) -> np.ndarray:
    """(U,) each user's mean over seeds."""
    return np.mean([seed[metric] for seed in seeds], axis=0)


def _values(config: ExperimentConfig, folder: Path) -> dict[str, np.ndarray]:
    """Metric -> (U,) a value a user, NaN for one without such a target; coverage as a single number."""
    data = _data(config)
    split, queries = data.split, data.split.test
    user_ids = data.clicks.user_ids[queries.users]
    lists = load_predictions(folder / "recommendations.parquet", user_ids, data.catalog.item_ids, K)
    histories, n_items = split.histories(queries), len(data.catalog)
    facts = ItemFacts(split.train_counts, data.catalog.category_matrix, {}, {})
    groups = UserGroups.of(queries.users)

    def per_user(rows: np.ndarray, targets: object, name: str) -> np.ndarray:
        ranked = lay_against(lists.ids[rows], targets, histories.take(rows), n_items)  # type: ignore[arg-type]
        values_Q = np.full(len(queries), np.nan)
        values_Q[rows] = ACCURACY[name](ranked.hits_QK, ranked.n_targets_Q, K)
        return groups.mean(values_Q)

    everything = np.arange(len(queries))
    found = {f"ndcg@{K}": per_user(everything, queries.targets, "ndcg")}
    parts = make_slices(queries, histories, facts, config.evaluation)
    for metric, name in SLICES.items():
        found[metric] = per_user(parts[name].rows, parts[name].targets, "recall")
    shown = lists.ids[lists.ids >= 0]
    found[COVERAGE] = np.array([len(np.unique(shown)) / n_items])
    return found


def _data(config: ExperimentConfig) -> PreparedData:
    return _prepared(config.data.model_dump_json())


@lru_cache(maxsize=2)
def _prepared(content: str) -> PreparedData:
    return prepare(DataConfig.model_validate_json(content))

"""What benchmarks/augmentation.py measures of runs: values over seeds, and paired tests against none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from crossrec.data.dataset import Dataset
from crossrec.data.item_table import ItemTable
from crossrec.data.prepare import DataConfig, PreparedData
from crossrec.evaluation.comparison.compare import compare_systems
from crossrec.evaluation.comparison.systems import Measurement, System
from crossrec.evaluation.config import ComparisonConfig
from crossrec.evaluation.matching import match_targets
from crossrec.evaluation.metrics import ACCURACY
from crossrec.evaluation.predictions import load_predictions
from crossrec.evaluation.results import METRICS_FILE
from crossrec.evaluation.significance import holm, p_values
from crossrec.evaluation.slices import UserGroups, make_slices
from crossrec.experiment.config import ExperimentConfig
from crossrec.experiment.results import SplitPart
from crossrec.experiment.run_folder import check_run

K = 10
NONE = "none"
ALPHA = 0.05
PERMUTATIONS = 10_000
COVERAGE = f"coverage@{K}"
SLICES = {f"tail recall@{K}": "tail_items", f"cold recall@{K}": "cold_items"}
METRICS = (f"ndcg@{K}", *SLICES, COVERAGE)

SeedValues = Mapping[int, Mapping[str, np.ndarray]]
"""Seed -> metric -> (U,) values."""


@dataclass(frozen=True)
class Runs:
    """What is there of one variant.

    Args:
        configs: of the finished runs, one a seed.
        part: of the split that was measured.
    """

    configs: Sequence[ExperimentConfig]
    part: SplitPart


@dataclass(frozen=True)
class Outcome:
    """One variant's value of one metric; NaN for what doesn't exist.

    Args:
        value: mean over seeds.
        spread: standard deviation over seeds.
        difference: mean difference from none in the seeds that both have.
        relative: the same, divided by none's value in them; NaN where that is 0.
        p, p_holm: of the difference over users, plain and corrected over the variants.
        agrees: whether each seed's difference has the same sign.
    """

    value: float
    spread: float
    difference: float
    relative: float
    p: float
    p_holm: float
    agrees: bool

    @property
    def settled(self) -> bool:
        """More than chance over users, and the same in every training."""
        return self.p_holm < ALPHA and self.agrees


def evaluation_folder(config: ExperimentConfig, part: SplitPart) -> Path:
    """Where a run's lists and figures of one part are."""
    return config.run_folder / "eval" / part


def is_measured(config: ExperimentConfig, part: SplitPart) -> bool:
    """Whether a run was trained and evaluated on one part."""
    return (evaluation_folder(config, part) / METRICS_FILE).exists()


def read_runs(configs: Sequence[ExperimentConfig], part: SplitPart) -> Runs:
    """Those among the runs of a variant that were measured.

    Raises:
        ConfigError: a run's folder holds one with another configuration.
    """
    done = [config for config in configs if is_measured(config, part)]
    for config in done:
        check_run(config)
    return Runs(done, part)


def outcomes(found: Mapping[str, Runs]) -> dict[str, dict[str, Outcome]]:
    """Variant -> metric -> outcome; each variant is compared with ``none`` in the seeds that both have."""
    values = {
        variant: {config.seed: _values(config, runs.part) for config in runs.configs}
        for variant, runs in found.items()
    }
    others = [variant for variant in found if variant != NONE]
    rows: dict[str, dict[str, Outcome]] = {variant: {} for variant in found}
    for metric in METRICS:
        p_of = np.array([_p(found, values, variant, metric) for variant in others])
        corrected = dict(zip(others, zip(p_of, holm(p_of), strict=True), strict=True))
        for variant in found:
            p, p_holm = corrected.get(variant, (np.nan, np.nan))
            rows[variant][metric] = _outcome(values, variant, metric, p, p_holm)
    return rows


def _outcome(values: Mapping[str, SeedValues], variant: str, metric: str, p: float, p_holm: float) -> Outcome:
    by_seed = {seed: float(np.nanmean(found[metric])) for seed, found in values[variant].items()}
    plain = {seed: float(np.nanmean(found[metric])) for seed, found in values[NONE].items()}
    seeds = list(by_seed.values())
    spread = float(np.std(seeds, ddof=1)) if len(seeds) > 1 else np.nan
    differences = [value - plain[seed] for seed, value in by_seed.items() if seed in plain]
    base = float(np.mean([plain[seed] for seed in by_seed if seed in plain] or [np.nan]))
    difference = float(np.mean(differences)) if differences and variant != NONE else np.nan
    relative = difference / base if base > 0 else np.nan
    agrees = len({np.sign(d) for d in differences}) == 1
    return Outcome(float(np.mean(seeds)), spread, difference, relative, p, p_holm, agrees)


def _p(found: Mapping[str, Runs], values: Mapping[str, SeedValues], variant: str, metric: str) -> float:
    both = values[variant].keys() & values[NONE].keys()
    if not both:
        return np.nan
    if metric == COVERAGE:
        systems = [
            System(name, [_measurement(c, found[name].part) for c in found[name].configs if c.seed in both])
            for name in (NONE, variant)
        ]
        n_items = len(_data(found[NONE].configs[0]).catalog)
        compared = compare_systems(systems, n_items, ComparisonConfig(metrics=(COVERAGE,)))
        difference = compared.entry(variant, COVERAGE).difference
        return np.nan if difference is None else difference.p
    difference_U = np.mean([values[variant][s][metric] - values[NONE][s][metric] for s in both], axis=0)
    return float(p_values("randomisation", difference_U[:, None], PERMUTATIONS, 0)[0])


def _measurement(config: ExperimentConfig, part: SplitPart) -> Measurement:
    return Measurement.read(evaluation_folder(config, part))


def _values(config: ExperimentConfig, part: SplitPart) -> dict[str, np.ndarray]:
    """Metric -> (U,) a value a user, NaN for one without such a target; coverage as a single number."""
    data = _data(config)
    split, queries = data.split, data.split.queries(part)
    user_ids = data.clicks.user_ids[queries.users]
    path = evaluation_folder(config, part) / "recommendations.parquet"
    lists = load_predictions(path, user_ids, data.catalog.item_ids, K)
    histories, n_items = split.histories(queries), len(data.catalog)
    facts = ItemTable(split.train_counts, data.catalog.category_matrix)
    groups = UserGroups.of(queries.users)

    def per_user(rows: np.ndarray, targets: object, name: str) -> np.ndarray:
        ranked = match_targets(lists.ids[rows], targets, histories.take(rows), n_items)  # type: ignore[arg-type]
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
    return Dataset.from_config(DataConfig.model_validate_json(content)).split()

"""Comparison of systems: values, differences from the first system, tests."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from crossrec.evaluation import jackknife
from crossrec.evaluation.bootstrap import estimate_difference, estimate_means, exposure_values
from crossrec.evaluation.comparison.exposure import check_resamples, swap_test
from crossrec.evaluation.comparison.systems import System, check_comparable, check_metrics
from crossrec.evaluation.config import ComparisonConfig, MetricName
from crossrec.evaluation.metrics import AGGREGATE
from crossrec.evaluation.metrics.exposure import UserLists
from crossrec.evaluation.results import to_plain
from crossrec.evaluation.significance import ROUNDING, EffectSize, effect_size, holm, p_values
from crossrec.types import InputError

USUAL: tuple[MetricName, ...] = (
    "ndcg",
    "recall",
    "ild_category",
    "ild",
    "ild_behaviour",
    "coverage",
    "gini",
    "personalization",
)
"""Metrics compared by default, as far as all systems have them."""


@dataclass(frozen=True)
class Difference:
    """A system's metric minus the reference's.

    Args:
        value: mean over the users who have a value with both; for exposure metrics that of all lists.
        ci95: Student's interval over users; with the jackknife's standard error for exposure metrics.
        p: p-value of the comparison's test; of the swap test for exposure metrics.
        p_holm: p corrected for all comparisons of the study.
        n_users: number of users.
        effect: effect size; None for exposure metrics.
    """

    value: float
    ci95: tuple[float, float]
    p: float
    p_holm: float
    n_users: int
    effect: EffectSize | None


@dataclass(frozen=True)
class ComparedMetric:
    """One metric of one system; ``difference`` is None for the reference.

    Args:
        system: name of the system.
        metric: name such as ``ndcg@10``.
        value: mean over the system's seeds.
        ci95: interval over users, without the variation of training, which ``seeds`` shows.
        seeds: value of each seed.
        difference: difference from the reference.
    """

    system: str
    metric: str
    value: float
    ci95: tuple[float, float]
    seeds: list[float]
    difference: Difference | None

    @property
    def spread(self) -> float:
        """Standard deviation over seeds; NaN with one."""
        return float(np.std(self.seeds, ddof=1)) if len(self.seeds) > 1 else math.nan


@dataclass(frozen=True)
class Comparison:
    """Result of a comparison; ``systems[0]`` is the reference, entries are ordered by metric."""

    systems: list[str]
    metrics: list[str]
    entries: list[ComparedMetric]
    protocol: str
    n_users: int
    config: ComparisonConfig

    def entry(self, system: str, metric: str) -> ComparedMetric:
        """Return one of the entries."""
        return next(e for e in self.entries if e.system == system and e.metric == metric)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, NaN as None: the content of ``comparison.json``."""
        content = {
            "reference": self.systems[0],
            "systems": self.systems,
            "protocol": self.protocol,
            "n_users": self.n_users,
            "settings": {**self.config.model_dump(mode="json"), "metrics": self.metrics},
            "entries": [{**asdict(entry), "seed_spread": entry.spread} for entry in self.entries],
        }
        return {key: to_plain(value) for key, value in content.items()}


def compare_systems(systems: Sequence[System], n_items: int, config: ComparisonConfig) -> Comparison:
    """Compare every system with the first.

    Per-user metrics: each user's values are averaged over a system's seeds, then paired over users.
    Exposure metrics: averaged over seeds, with the jackknife over users and the swap test. The trained
    models are fixed: intervals and p are over users. All p are corrected together.

    Args:
        systems: systems, the reference first.
        n_items: N, size of the catalogue.
        config: options of the comparison.

    Raises:
        InputError: if systems were not measured alike or lack a metric, or there are too few resamples for
            so many comparisons.
    """
    check_comparable(systems)
    metrics = chosen_metrics(systems, config)
    exposed = [metric for metric in metrics if split_name(metric)[0] in AGGREGATE]
    check_resamples(exposed, (len(systems) - 1) * len(metrics), config.n_bootstrap)
    exposure = _compare_exposures(systems, metrics, n_items, config)
    entries: list[ComparedMetric] = []
    for metric in metrics:
        entries += exposure[metric] if metric in exposure else _compare_users(systems, metric, config)
    names = [system.name for system in systems]
    first = systems[0].seeds[0].evaluation
    protocol = "; ".join(first.how_measured)
    return Comparison(names, metrics, _corrected(entries), protocol, first.n_users, config)


def chosen_metrics(systems: Sequence[System], config: ComparisonConfig) -> list[str]:
    """Return the metrics to compare, including those to plot.

    Raises:
        InputError: if a requested metric is missing, or there is none to choose.
    """
    check_metrics(systems, [*config.metrics, *config.diversity])
    if config.metrics:
        return list(dict.fromkeys([*config.metrics, *config.diversity]))
    shared = [set(seed.evaluation.metrics) for system in systems for seed in system.seeds]
    there = [name for name in systems[0].seeds[0].evaluation.metrics if all(name in one for one in shared)]
    k = max((split_name(name)[1] for name in there), default=0)
    usual = [f"{base}@{k}" for base in USUAL if f"{base}@{k}" in there]
    if not usual:
        raise InputError(f"the systems share none of the usual metrics; name some of {there} by --metrics")
    return list(dict.fromkeys([*usual, *config.diversity]))


def split_name(metric: str) -> tuple[MetricName, int]:
    """Split ``ndcg@10`` into name and length."""
    base, _, k = metric.partition("@")
    return base, int(k)


def _compare_users(systems: Sequence[System], metric: str, config: ComparisonConfig) -> list[ComparedMetric]:
    values = [system.values(metric) for system in systems]
    difference_US = np.stack([value_U - values[0] for value_U in values], axis=1)
    # Means over seeds in another order differ by rounding, which must not count as a changed user.
    scale_US = np.stack([np.abs(value_U) + np.abs(values[0]) for value_U in values], axis=1)
    difference_US[np.abs(difference_US) <= ROUNDING * scale_US] = 0.0
    names = [str(place) for place in range(len(systems))]
    own = estimate_means(dict(zip(names, values, strict=True)), config.n_bootstrap, config.seed)
    p_S = p_values(config.test, difference_US, config.n_permutations, config.seed)
    entries = []
    for place, (system, name) in enumerate(zip(systems, names, strict=True)):
        found = estimate_difference(difference_US[:, place])
        difference = Difference(
            found["value"],
            (found["ci95"][0], found["ci95"][1]),
            float(p_S[place]),
            math.nan,
            found["n_users"],
            effect_size(difference_US[:, place]),
        )
        value, ci95 = own[name]["value"], (own[name]["ci95"][0], own[name]["ci95"][1])
        entries.append(
            ComparedMetric(
                system.name, metric, value, ci95, system.seed_values(metric), difference if place else None
            )
        )
    return entries


def _compare_exposures(
    systems: Sequence[System], metrics: Sequence[str], n_items: int, config: ComparisonConfig
) -> dict[str, list[ComparedMetric]]:
    """Return the entries of the aggregate metrics, each the mean over a system's seeds."""
    by_length: dict[int, list[MetricName]] = {}
    for metric in metrics:
        base, k = split_name(metric)
        if base in AGGREGATE:
            by_length.setdefault(k, []).append(base)
    result: dict[str, list[ComparedMetric]] = {}
    for k, bases in by_length.items():
        first, *_ = shown = [[seed.shown(k) for seed in system.seeds] for system in systems]
        own = [_Exposed.of(lists, bases, n_items, k) for lists in shown]
        p_S = [
            swap_test(first, lists, bases, n_items, k, config.n_bootstrap, config.seed) if place else {}
            for place, lists in enumerate(shown)
        ]
        for base in bases:
            result[f"{base}@{k}"] = [
                _exposure_entry(system, f"{base}@{k}", own[0], own[place], p_S[place].get(base), n_items)
                for place, system in enumerate(systems)
            ]
    return result


@dataclass(frozen=True)
class _Exposed:
    """Exposure metrics of one system and the influence of each user on them, means over seeds."""

    values: dict[MetricName, float]
    influences: dict[MetricName, np.ndarray]

    @classmethod
    def of(cls, seeds: Sequence[UserLists], metrics: Sequence[MetricName], n_items: int, k: int) -> _Exposed:
        values = [exposure_values(lists, metrics, n_items, k) for lists in seeds]
        found = [jackknife.influences(lists, metrics, n_items, k) for lists in seeds]
        return cls(
            {name: float(np.mean([one[name] for one in values])) for name in metrics},
            {name: np.mean([one[name] for one in found], axis=0) for name in metrics},
        )


def _exposure_entry(
    system: System, metric: str, reference: _Exposed, own: _Exposed, p: float | None, n_items: int
) -> ComparedMetric:
    """Return an entry; ``p`` is None for the reference itself."""
    name = split_name(metric)[0]
    value, influence_U = own.values[name], own.influences[name]
    difference = None
    if p is not None:
        apart = value - reference.values[name]
        ci95 = jackknife.interval(apart, influence_U - reference.influences[name])
        difference = Difference(apart, ci95, p, math.nan, len(influence_U), None)
    ci95 = jackknife.interval(value, influence_U, 0.0, AGGREGATE[name].upper(n_items))
    return ComparedMetric(system.name, metric, value, ci95, system.seed_values(metric), difference)


def _corrected(entries: Sequence[ComparedMetric]) -> list[ComparedMetric]:
    """Return the same entries with Holm's correction over all of them."""
    p_M = np.array([math.nan if e.difference is None else e.difference.p for e in entries])
    return [
        entry
        if entry.difference is None
        else replace(entry, difference=replace(entry.difference, p_holm=float(p)))
        for entry, p in zip(entries, holm(p_M), strict=True)
    ]

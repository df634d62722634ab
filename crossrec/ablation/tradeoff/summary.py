"""The content of ``picked.json``: picked points on test, hypervolumes and their differences."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from crossrec.ablation.tradeoff.config import TradeoffConfig
from crossrec.ablation.tradeoff.outcome import (
    Chosen,
    Hypervolumes,
    difference,
    hypervolumes,
    seed_interval,
    spread,
)
from crossrec.ablation.tradeoff.sweep import Table
from crossrec.evaluation.bootstrap import interval


def summarise(
    config: TradeoffConfig, valid: Table, test: Table, chosen: Chosen, methods: Mapping[str, list[int]]
) -> dict[str, Any]:
    """Everything that the study says, as plain values; NaN becomes null."""
    content = {
        "k": config.k,
        "accuracy": config.accuracy,
        "hypervolume_loss": config.hypervolume_loss,
        "seeds": len(test.seeds),
        "chosen_on": "validation, on the mean over seeds; test values are of what was chosen there",
        "reference": _point(valid, test, 0),
        "goals": [_goal(config, valid, test, chosen, methods, title) for title in config.goals],
        "fronts": [_front(config, valid, test, chosen, m, n) for m in config.diversity for n in methods],
        "differences": [
            d
            for measure in config.diversity
            for d in _differences(config, valid, test, chosen, methods, measure)
        ],
    }
    return _plain(content)


def _point(valid: Table, test: Table, row: int) -> dict[str, Any]:
    variant = test.variants[row]
    return {
        "label": variant.label,
        "model": variant.model,
        "reranker": variant.reranker,
        "space": variant.space,
        "diversity": list(variant.strengths),
        "overrides": variant.overrides,
        "valid": {m: _values(valid, m, row) for m in valid.values},
        "test": {m: {**_values(test, m, row), **_intervals(test, m, row)} for m in test.values},
    }


def _values(table: Table, metric: str, row: int) -> dict[str, Any]:
    values_S, gains_S = table.values[metric][row], table.gains(metric)[row]
    return {
        "value": float(values_S.mean()),
        "sd": spread(values_S),
        "seeds": values_S.tolist(),
        "gain": float(gains_S.mean()),
        "gain_seeds": gains_S.tolist(),
    }


def _intervals(test: Table, metric: str, row: int) -> dict[str, Any]:
    values_R = np.mean([test.resampled[row, seed][metric] for seed in test.seeds], axis=0)
    low, high = (0.0, test.upper[metric]) if metric in test.upper else (-np.inf, np.inf)
    return {
        "ci95_users": interval(values_R, low, high),
        "gain_ci95_users": interval(test.resampled_gains(metric, row)),
        "gain_ci95_seeds": seed_interval(test.gains(metric)[row]),
    }


def _goal(
    config: TradeoffConfig,
    valid: Table,
    test: Table,
    chosen: Chosen,
    methods: Mapping[str, list[int]],
    title: str,
) -> dict[str, Any]:
    goal = config.goals[title]
    picks: dict[str, Any] = {}
    for name in methods:
        row = chosen.picks[title, name]
        if row is None:
            picks[name] = None
            continue
        point = _point(valid, test, row)
        reached = {m: point["test"][m]["gain"] >= wanted for m, wanted in goal.gains.items()}
        kept = point["test"][config.accuracy]["gain"] >= -goal.budget
        picks[name] = {**point, "kept_on_test": {config.accuracy: kept, **reached}}
    return {
        "goal": title,
        "budget": goal.budget,
        "wanted": dict(goal.gains),
        "best_method": chosen.best_method[title],
        "picks": picks,
    }


def _front(
    config: TradeoffConfig, valid: Table, test: Table, chosen: Chosen, measure: str, method: str
) -> dict[str, Any]:
    front = chosen.fronts[measure, method]
    return {
        "measure": measure,
        "method": method,
        "points": [test.variants[row].label for row in front],
        "hypervolume_valid": hypervolumes(config, valid, measure, front).summary(),
        "hypervolume_test": hypervolumes(config, test, measure, front).summary(),
    }


def _differences(
    config: TradeoffConfig,
    valid: Table,
    test: Table,
    chosen: Chosen,
    methods: Mapping[str, list[int]],
    measure: str,
) -> list[dict[str, Any]]:
    """The method that is best on validation against every other, on test."""
    on_valid = {
        n: float(hypervolumes(config, valid, measure, chosen.fronts[measure, n]).per_seed_S.mean())
        for n in methods
    }
    best = max(on_valid, key=lambda n: on_valid[n])
    on_test: dict[str, Hypervolumes] = {
        n: hypervolumes(config, test, measure, chosen.fronts[measure, n]) for n in methods
    }
    return [
        {"measure": measure, "best_on_valid": best, "other": n, "test": difference(on_test[best], on_test[n])}
        for n in methods
        if n != best
    ]


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value

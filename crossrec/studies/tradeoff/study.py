"""Trade-off study of accuracy against diversity: sweep, choose on validation, report on test."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from crossrec.evaluation.bootstrap import interval
from crossrec.experiment.results import console, show
from crossrec.runtime import distributed
from crossrec.studies.folder import write_config, write_json
from crossrec.studies.statistics import seed_interval, seed_spread
from crossrec.studies.tradeoff.config import TradeoffConfig, all_variants, members
from crossrec.studies.tradeoff.fronts import (
    Chosen,
    Hypervolumes,
    choose,
    difference,
    hypervolumes,
)
from crossrec.studies.tradeoff.report import show_picks, write_report
from crossrec.studies.tradeoff.runs import PointStore, Study, open_study
from crossrec.studies.tradeoff.sweep import PointTable, Tick, sweep


def summarise(
    config: TradeoffConfig,
    valid: PointTable,
    test: PointTable,
    chosen: Chosen,
    methods: Mapping[str, list[int]],
) -> dict[str, Any]:
    """Return all results of the study as plain values; NaN becomes null."""
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


def _point(valid: PointTable, test: PointTable, row: int) -> dict[str, Any]:
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


def _values(table: PointTable, metric: str, row: int) -> dict[str, Any]:
    values_S, gains_S = table.values[metric][row], table.gains(metric)[row]
    return {
        "value": float(values_S.mean()),
        "sd": seed_spread(values_S),
        "seeds": values_S.tolist(),
        "gain": float(gains_S.mean()),
        "gain_seeds": gains_S.tolist(),
    }


def _intervals(test: PointTable, metric: str, row: int) -> dict[str, Any]:
    values_R = np.mean([test.resampled[row, seed][metric] for seed in test.seeds], axis=0)
    low, high = (0.0, test.upper[metric]) if metric in test.upper else (-np.inf, np.inf)
    return {
        "ci95_users": interval(values_R, low, high),
        "gain_ci95_users": interval(test.resampled_gains(metric, row)),
        "gain_ci95_seeds": seed_interval(test.gains(metric)[row]),
    }


def _goal(
    config: TradeoffConfig,
    valid: PointTable,
    test: PointTable,
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
    config: TradeoffConfig, valid: PointTable, test: PointTable, chosen: Chosen, measure: str, method: str
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
    valid: PointTable,
    test: PointTable,
    chosen: Chosen,
    methods: Mapping[str, list[int]],
    measure: str,
) -> list[dict[str, Any]]:
    """Compare, on test, the method that is best on validation with every other."""
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


PICKED_FILE, PAGE_FILE = "picked.json", "tradeoff.html"


def run_tradeoff(config: TradeoffConfig, *, trust_code: bool = False) -> None:
    """Measure every point on validation, pick there, and report fronts and picks on test.

    Writes ``config.yaml``, ``points.parquet``, ``picked.json`` and ``tradeoff.html`` into ``config.out``. A
    restarted study measures only the missing points.

    Args:
        config: configuration of the study.
        trust_code: import classes outside the project that the runs name.

    Raises:
        InputError: if runs can't be compared, a reranker lacks an input, or there are several processes.
    """
    distributed.require_one_process("a trade-off study")
    variants = all_variants(config)
    study = open_study(config, trust_code=trust_code)
    methods = {name: members(method, variants) for name, method in config.all_methods.items()}
    store = PointStore(config.out)
    everything = range(len(variants))
    with _progress("validation", len(variants) * study.n_seeds) as tick:
        valid, keys = sweep(study, variants, everything, "valid", store, tick, intervals=False)
    chosen = choose(config, valid, methods)
    with _progress("test", len(chosen.needed()) * study.n_seeds) as tick:
        test, test_keys = sweep(study, variants, chosen.needed(), "test", store, tick, intervals=True)
    store.keep_only(keys | test_keys)
    found = {**_about(study), **summarise(config, valid, test, chosen, methods)}
    text = write_config(config.out, config)
    write_json(config.out / PICKED_FILE, found)
    write_report(config.out / PAGE_FILE, config, found, valid, test, chosen, methods, text)
    show_picks(found)
    show(f"Fronts, and all numbers: {config.out / PAGE_FILE}, {config.out / PICKED_FILE}")


def _about(study: Study) -> dict[str, Any]:
    """Return data, protocol and runs as plain values."""
    data, evaluation = study.shared.data, study.shared.config.evaluation
    seen = "excluded" if evaluation.exclude_seen else "allowed"
    return {
        "data": data.name,
        "note": data.note,
        "protocol": f"{data.split.protocol}; full ranking of {len(data.catalog):,} items, seen items {seen}; "
        f"{study.config.n_bootstrap:,} resamples of the users, seed {study.config.seed}",
        "runs": {label: [run.config.name for run in runs] for label, runs in study.runs.items()},
    }


@contextmanager
def _progress(what: str, total: int) -> Iterator[Tick]:
    """Show a progress bar with the point measured last."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.fields[what]}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, TextColumn("{task.description}"), console=console()) as bar:
        task = bar.add_task("", total=total, what=what)
        yield lambda label: bar.update(task, advance=1, description=label)

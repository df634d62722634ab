"""A whole study: members, weights from validation, one look at test, files and page."""

from __future__ import annotations

import json
import math
from typing import Any

import yaml

from crossrec.ablation.ensemble.choice import Choice, choose
from crossrec.ablation.ensemble.config import EnsembleStudyConfig
from crossrec.ablation.ensemble.members import STUDY_NAME, Opened, open_members
from crossrec.ablation.ensemble.page import write_page
from crossrec.ensemble.config import EnsembleConfig
from crossrec.ensemble.recommender import Ensemble
from crossrec.evaluation.comparison.compare import USUAL, Comparison, compare_systems
from crossrec.evaluation.comparison.systems import Measurement, System
from crossrec.evaluation.report.glossary import format_range
from crossrec.evaluation.results import to_plain
from crossrec.experiment.measure import Measured, NamedRecommender, measure, save_results, slug
from crossrec.experiment.tables import show, show_results
from crossrec.runtime import distributed
from crossrec.runtime.files import write_text

CONFIG_FILE, FOUND_FILE, PAGE_FILE = "config.yaml", "ensemble.json", "ensemble.html"
EQUAL = "equal weights"


def run_ensemble(config: EnsembleStudyConfig, *, trust_code: bool = False) -> dict[str, Any]:
    """Learns an ensemble on validation and measures it, with its members, once on test.

    Writes ``config.yaml``, ``ensemble.json``, ``ensemble.html``, and ``eval/test/`` as a run has it, the
    ensemble's files in the folder itself and its members' under ``baselines/``.

    Args:
        config: of the study.
        trust_code: import classes outside the project that the runs name.

    Returns:
        What ``ensemble.json`` holds.

    Raises:
        InputError: members that can't be loaded or don't share data; several processes.
    """
    distributed.require_one_process("a study of an ensemble")
    opened = open_members(config, trust_code=trust_code)
    setting = opened.setting
    choice = choose(
        opened.members, setting.data.split, config, exclude_seen=setting.config.evaluation.exclude_seen
    )
    measured = measure(setting, _to_measure(config, opened, choice), "test")
    folder = config.out / "eval" / "test"
    save_results(setting, measured, folder, "test", config.out / "no-training-log")
    best = list(opened.members)[choice.learned.best_member]
    systems = [
        System(best, [Measurement.read(folder / "baselines" / slug(best))]),
        System(STUDY_NAME, [Measurement.read(folder)]),
    ]
    metrics = [m for m in _compared(config) if m in measured[0].evaluation.metrics]
    comparing = config.comparison.model_copy(update={"metrics": tuple(metrics)})
    comparison = compare_systems(systems, len(setting.data.catalog), comparing)
    found = summarise(config, opened, choice, measured, comparison)
    text = yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    write_text(config.out / CONFIG_FILE, text)
    write_text(config.out / FOUND_FILE, json.dumps(found, indent=2, allow_nan=False) + "\n")
    write_page(config.out / PAGE_FILE, found, measured, comparison, text)
    show_results(setting, measured, "test")
    show(found["verdict"])
    show(f"Weights, tests and plots: {config.out / PAGE_FILE}, {config.out / FOUND_FILE}")
    return found


def _compared(config: EnsembleStudyConfig) -> list[str]:
    """The metric that weights are learned for, then the usual ones."""
    k = config.learning.k
    return list(dict.fromkeys([config.metric_name, *(f"{base}@{k}" for base in USUAL)]))


def _to_measure(config: EnsembleStudyConfig, opened: Opened, choice: Choice) -> list[NamedRecommender]:
    """The ensemble, the same with equal weights, and the members."""
    settings = EnsembleConfig(fusion=choice.fusion, candidates=config.candidates, missing=config.missing)
    weights = dict(zip(opened.members, choice.learned.weights_M.tolist(), strict=True))
    learned: NamedRecommender = Ensemble(opened.members, weights, settings, name=STUDY_NAME)
    equal: NamedRecommender = Ensemble(opened.members, None, settings, name=EQUAL)
    return [learned, equal, *opened.members.values()]


def summarise(
    config: EnsembleStudyConfig,
    opened: Opened,
    choice: Choice,
    measured: list[Measured],
    comparison: Comparison,
) -> dict[str, Any]:
    """Everything that the study says, as plain values."""
    names = list(opened.members)
    learned = choice.learned
    weights = dict(zip(names, learned.weights_M.tolist(), strict=True))
    best = names[learned.best_member]
    data = opened.setting.data
    return {
        "data": data.name,
        "note": data.note,
        "protocol": measured[0].evaluation.protocol,
        "n_users": measured[0].evaluation.n_users,
        "metric": config.metric_name,
        "chosen_on": "validation alone: members' weights, the way of fusing, and the best member",
        "fusion": choice.fusion.model_dump(mode="json"),
        "fusion_label": choice.fusion.label,
        "candidates": config.candidates,
        "missing": config.missing,
        "weights": weights,
        "best_member": best,
        "trials": [_trial(fusion, one, names) for fusion, one in choice.trials],
        "member_validation": dict(zip(names, learned.member_values_M.tolist(), strict=True)),
        "best_member_cross_fitted": learned.best_member_cross_fitted,
        "comparison": comparison.to_dict(),
        "test": {m.name: {n: to_plain(e) for n, e in m.evaluation.metrics.items()} for m in measured},
        "verdict": _verdict(comparison, config.metric_name, best, weights),
    }


def _trial(fusion: Any, learned: Any, names: list[str]) -> dict[str, Any]:
    return {
        "fusion": fusion.model_dump(mode="json"),
        "label": fusion.label,
        "weights": dict(zip(names, learned.weights_M.tolist(), strict=True)),
        "value": learned.value,
        "cross_fitted": learned.cross_fitted,
        "cross_fitted_sd": None if math.isnan(learned.cross_fitted_sd) else learned.cross_fitted_sd,
        "tried": learned.tried,
    }


def _verdict(comparison: Comparison, metric: str, best: str, weights: dict[str, float]) -> str:
    """One sentence on what the ensemble gains over its best member on test."""
    used = [name for name, weight in weights.items() if weight > 0]
    if len(used) == 1:
        return f"Validation chose {used[0]} alone: no weighting of the members was better."
    entry, base = comparison.entry(STUDY_NAME, metric), comparison.entry(best, metric)
    difference = entry.difference
    if difference is None:
        raise ValueError("the ensemble was not compared with its best member")
    relative = f" ({difference.value / base.value:+.1%})" if base.value > 0 else ""
    settled = "more than chance" if difference.p < 0.05 else "no more than chance may bring"
    return (
        f"On test the ensemble has {metric} {entry.value:.4f}, its best member on validation, {best}, "
        f"{base.value:.4f}: {difference.value:+.4f}{relative}, 95 % interval "
        f"{format_range(difference.ci95)}, p = {difference.p:.4f} of the paired "
        f"{comparison.config.test} test, {settled}."
    )

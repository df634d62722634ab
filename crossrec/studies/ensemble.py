"""Study of an ensemble: weights learned on validation, one evaluation on test."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field, field_validator

from crossrec.baselines import BASELINES
from crossrec.config import Config, trusting
from crossrec.data.identity import VALID
from crossrec.data.splits.base import Queries, Split
from crossrec.ensemble import LIST_FUSIONS, ListFusionOptions
from crossrec.ensemble.base import Missing
from crossrec.ensemble.candidates import union_of_lists
from crossrec.ensemble.learning import (
    Answered,
    Learned,
    LearningConfig,
    WeightObjective,
    answered,
    learn_weights,
)
from crossrec.ensemble.list_fusion import ALL_FUSIONS
from crossrec.ensemble.recommender import Ensemble, EnsembleConfig
from crossrec.evaluation.comparison.compare import USUAL, Comparison, compare_systems
from crossrec.evaluation.comparison.systems import Measurement, System
from crossrec.evaluation.config import ComparisonConfig, MetricName
from crossrec.evaluation.matching import distinct
from crossrec.evaluation.metrics import ACCURACY
from crossrec.evaluation.report.glossary import format_range
from crossrec.evaluation.results import to_plain
from crossrec.experiment.baselines import BASELINES_FILE, fitted_baselines
from crossrec.experiment.evaluate import load_recommender
from crossrec.experiment.prepared import PreparedExperiment
from crossrec.experiment.results import (
    MeasuredRecommender,
    NamedRecommender,
    evaluate_recommenders,
    save_results,
    show,
    show_results,
    slug,
)
from crossrec.experiment.run_folder import CONFIG_FILE, read_run
from crossrec.runtime import distributed
from crossrec.runtime.device import pick_device
from crossrec.studies.ensemble_report import write_report
from crossrec.studies.folder import check_same_data, key_of, write_config, write_json
from crossrec.types import InputError, Recommender


class EnsembleStudyConfig(Config):
    """Ensemble of finished runs and baselines.

    Args:
        members: run folders, ``name=folder``, or types of baselines such as ``item_knn``; a baseline uses
            the settings in a run's ``baselines.json``, else its defaults.
        out: folder of the results.
        metric: accuracy metric to optimize.
        learning: budget, length of the lists, halves, seed.
        fusions: fusion rules to try; the one with the best cross-fitted value is chosen.
        candidates: number of best items of each member that are fused.
        missing: meaning of a member's -inf.
        tune: whether to tune, on validation, baselines for which no run has settings.
        comparison: test and intervals of the ensemble against its best member.
        device: device of the models.
    """

    members: tuple[str, ...] = Field(min_length=1)
    out: Path
    metric: MetricName = "ndcg"
    learning: LearningConfig = LearningConfig()
    fusions: tuple[ListFusionOptions, ...] = Field(ALL_FUSIONS, min_length=1)
    candidates: int = Field(200, ge=1, le=100_000)
    missing: Missing = "lowest"
    tune: bool = False
    comparison: ComparisonConfig = ComparisonConfig()
    device: str = "auto"

    @field_validator("metric")
    @classmethod
    def _of_accuracy(cls, metric: MetricName) -> MetricName:
        if metric not in ACCURACY:
            raise ValueError(f"weights are learned for an accuracy metric, one of {', '.join(ACCURACY)}")
        return metric

    @property
    def metric_name(self) -> str:
        """Metric with cutoff, such as ``ndcg@10``."""
        return f"{self.metric}@{self.learning.k}"


STUDY_NAME = "ensemble"


@dataclass(frozen=True)
class Opened:
    """Members on their common data.

    Args:
        setting: experiment of the first run, with the study's list lengths; its protocol measures all.
        members: name -> fitted recommender, named alike.
    """

    setting: PreparedExperiment
    members: dict[str, NamedRecommender]


def open_members(config: EnsembleStudyConfig, *, trust_code: bool = False) -> Opened:
    """Load runs and fit baselines.

    Args:
        config: configuration of the study.
        trust_code: whether to import classes outside the project that the runs name.

    Raises:
        InputError: if a member is neither a run nor a type of baseline, none is a run, two have one name, or
            runs differ in data or in whether seen items are left out.
    """
    runs, kinds = _sorted_out(config.members)
    configs = {name: read_run(folder, [], trust_code=trust_code) for name, folder in runs.items()}
    first = next(iter(configs.values()))
    for other in configs.values():
        check_same_data(first, other, spaces=False)
    ks = tuple(sorted({*first.evaluation.ks, config.learning.k}))
    evaluation = first.evaluation.model_copy(update={"ks": ks, "n_bootstrap": config.comparison.n_bootstrap})
    data = PreparedExperiment.of(first)
    named = first.model_copy(update={"name": STUDY_NAME, "evaluation": evaluation})
    setting = PreparedExperiment(named, data.data, data.content)
    device = pick_device(config.device)
    members: dict[str, NamedRecommender] = {}
    for name, run in configs.items():
        recommender = load_recommender(PreparedExperiment(run, setting.data, setting.content))
        recommender.network.to(device)
        recommender.name = name
        members[name] = recommender
    for kind in kinds:
        baseline = _baseline(kind, list(runs.values()), setting, config)
        members[baseline.name] = baseline
    if len({slug(name) for name in [STUDY_NAME, *members]}) <= len(runs) + len(kinds):
        raise InputError(f"members need different names; got {list(members)}: name a run by name=RUN")
    return Opened(setting, members)


def _sorted_out(given: tuple[str, ...]) -> tuple[dict[str, Path], list[str]]:
    """Return run folders by name, and types of baselines."""
    known = [*BASELINES]
    runs: dict[str, Path] = {}
    kinds: list[str] = []
    for text in given:
        name, _, folder = text.partition("=")
        path = Path(folder) if folder and not Path(text).exists() else Path(text)
        label = name if folder and path != Path(text) else path.resolve().name
        if (path / CONFIG_FILE).exists():
            if label in runs:
                raise InputError(f"two members are called '{label}'; name them: first=RUN second=RUN")
            runs[label] = path
        elif text in known and text not in kinds:
            kinds.append(text)
        else:
            why = "it is repeated" if text in kinds else f"{path} holds no {CONFIG_FILE}"
            raise InputError(f"'{text}': {why}; give run folders and types of baselines, {', '.join(known)}")
    if not runs:
        raise InputError("an ensemble study needs at least one run folder: its data are the study's")
    return runs, kinds


def _baseline(
    kind: str, folders: list[Path], setting: PreparedExperiment, config: EnsembleStudyConfig
) -> NamedRecommender:
    """Return a fitted baseline with the settings of the first run that has settings for it."""
    stored = next((s for s in (_stored(folder, kind) for folder in folders) if s is not None), None)
    with trusting(False):
        chosen: Any = BASELINES.parse(stored or {"type": kind})
    update = {"baselines": (chosen,), "tune_baselines": config.tune and stored is None}
    own = PreparedExperiment(setting.config.model_copy(update=update), setting.data, setting.content)
    folder = config.out / "members" / f"{slug(kind)}-{_chosen_from(own)}"
    (baseline,) = fitted_baselines(own, folder)
    return baseline


def _chosen_from(setting: PreparedExperiment) -> str:
    """Return a key of all inputs of a baseline's tuning, so that another study's settings are not reused."""
    config = setting.config
    include = {"data", "spaces", "baselines", "tune_baselines", "tuning"}
    made_from = config.model_dump(mode="json", include=include, exclude={"data": {"cache_dir"}})
    repeats = {"repeats": True} if config.evaluation.repeats else {}
    chosen_on = setting.data.identity.of_part(VALID)
    return key_of({**made_from, **repeats, "metric": config.trainer.metric, "identity": chosen_on})


def _stored(folder: Path, kind: str) -> Mapping[str, Any] | None:
    path = folder / BASELINES_FILE
    entries = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    alike = [entry for entry in entries if entry["config"]["type"] == kind]
    return max(alike, key=_validated, default={"config": None})["config"]


def _validated(entry: Mapping[str, Any]) -> float:
    """Return the best value of an entry's trials; what was never tried comes last."""
    return max((trial["value"] for trial in entry["trials"]), default=-math.inf)


SCORES_AT_ONCE = 1 << 24
MOST_ROWS = 1024
"""Maximum number of queries whose scores are gathered at a time."""


@dataclass(frozen=True)
class Choice:
    """Choice made on validation.

    Args:
        fusion: fusion rule with the best cross-fitted value.
        learned: weights learned for this rule.
        trials: (rule, learned weights) of all rules.
    """

    fusion: Any
    learned: Learned
    trials: list[tuple[Any, Learned]]


def choose(
    members: Mapping[str, Recommender], split: Split, config: EnsembleStudyConfig, *, exclude_seen: bool
) -> Choice:
    """Learn weights on validation for every fusion rule, and choose the best cross-fitted one."""
    queries = split.valid
    n_targets_Q = distinct(queries.targets, split.n_items).lengths
    gathered: dict[bool, list[Answered]] = {}
    trials: list[tuple[Any, Learned]] = []
    for fusion in config.fusions:
        ask = fusion.scores_unlisted
        if ask not in gathered:
            gathered[ask] = gather(
                list(members.values()),
                split,
                queries,
                config.candidates,
                exclude_seen=exclude_seen,
                ask_beyond=ask,
            )
        rule = fusion.build(min(config.candidates, split.n_items))
        evidence = WeightObjective(
            gathered[ask], rule, config.missing, queries.users, n_targets_Q, len(members)
        )
        trials.append((fusion, learn_weights(evidence, ACCURACY[config.metric], config.learning)))
    fusion, learned = max(trials, key=lambda trial: trial[1].cross_fitted)
    return Choice(fusion, learned, trials)


def gather(
    members: Sequence[Recommender],
    split: Split,
    queries: Queries,
    places: int,
    *,
    exclude_seen: bool,
    ask_beyond: bool,
) -> list[Answered]:
    """Gather members' candidates of the queries that have a target among them.

    Args:
        members: fitted members.
        split: split of the queries' clicks.
        queries: Q queries.
        places: C, length of each member's list.
        exclude_seen: whether to omit items of a query's history.
        ask_beyond: whether members score the others' candidates.
    """
    step = max(min(SCORES_AT_ONCE // split.n_items, MOST_ROWS), 1)
    parts = []
    for start in range(0, len(queries), step):
        rows = np.arange(start, min(start + step, len(queries)))
        histories = split.clicks.take(queries.users[rows], queries.ends[rows])
        excluded = histories if exclude_seen else None
        found = union_of_lists(members, histories, excluded, places, ask_beyond=ask_beyond)
        parts.append(answered(found, queries.targets.take(rows), start))
    return parts


FOUND_FILE, PAGE_FILE = "ensemble.json", "ensemble.html"
EQUAL = "equal weights"


def run_ensemble(config: EnsembleStudyConfig, *, trust_code: bool = False) -> dict[str, Any]:
    """Learn an ensemble on validation and measure it, with its members, once on test.

    Writes ``config.yaml``, ``ensemble.json``, ``ensemble.html``, and ``eval/test/`` as in a run folder, with
    the ensemble's files in the folder itself and its members' under ``baselines/``.

    Args:
        config: configuration of the study.
        trust_code: whether to import classes outside the project that the runs name.

    Returns:
        The content of ``ensemble.json``.

    Raises:
        InputError: if members can't be loaded or don't share data, or there are several processes.
    """
    distributed.require_one_process("a study of an ensemble")
    opened = open_members(config, trust_code=trust_code)
    setting = opened.setting
    choice = choose(
        opened.members, setting.data.split, config, exclude_seen=setting.config.evaluation.exclude_seen
    )
    measured = evaluate_recommenders(setting, _to_measure(config, opened, choice), "test")
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
    text = write_config(config.out, config)
    write_json(config.out / FOUND_FILE, found)
    write_report(config.out / PAGE_FILE, found, measured, comparison, text)
    show_results(setting, measured, "test")
    show(found["verdict"])
    show(f"Weights, tests and plots: {config.out / PAGE_FILE}, {config.out / FOUND_FILE}")
    return found


def _compared(config: EnsembleStudyConfig) -> list[str]:
    """Return the metric that the weights optimize, followed by the usual ones."""
    k = config.learning.k
    return list(dict.fromkeys([config.metric_name, *(f"{base}@{k}" for base in USUAL)]))


def _to_measure(config: EnsembleStudyConfig, opened: Opened, choice: Choice) -> list[NamedRecommender]:
    """Return the ensemble, the ensemble with equal weights, and the members."""
    settings = EnsembleConfig(fusion=choice.fusion, candidates=config.candidates, missing=config.missing)
    weights = dict(zip(opened.members, choice.learned.weights_M.tolist(), strict=True))
    learned: NamedRecommender = Ensemble(opened.members, weights, settings, name=STUDY_NAME)
    equal: NamedRecommender = Ensemble(opened.members, None, settings, name=EQUAL)
    return [learned, equal, *opened.members.values()]


def summarise(
    config: EnsembleStudyConfig,
    opened: Opened,
    choice: Choice,
    measured: list[MeasuredRecommender],
    comparison: Comparison,
) -> dict[str, Any]:
    """Return all results of the study as plain values."""
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
        "chosen_on": "validation alone: members' weights, the fusion rule, and the best member",
        "fusion": LIST_FUSIONS.dump(choice.fusion),
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
        "fusion": LIST_FUSIONS.dump(fusion),
        "label": fusion.label,
        "weights": dict(zip(names, learned.weights_M.tolist(), strict=True)),
        "value": learned.value,
        "cross_fitted": learned.cross_fitted,
        "cross_fitted_sd": None if math.isnan(learned.cross_fitted_sd) else learned.cross_fitted_sd,
        "tried": learned.tried,
    }


def _verdict(comparison: Comparison, metric: str, best: str, weights: dict[str, float]) -> str:
    """Return one sentence on what the ensemble gains over its best member on test."""
    used = [name for name, weight in weights.items() if weight > 0]
    if len(used) == 1:
        return f"Validation chose {used[0]} alone: no weighting of the members was better."
    entry, base = comparison.entry(STUDY_NAME, metric), comparison.entry(best, metric)
    difference = entry.difference
    if difference is None:
        raise ValueError("the ensemble was not compared with its best member")
    relative = f" ({difference.value / base.value:+.1%})" if base.value > 0 else ""
    settled = "a significant difference" if difference.p < 0.05 else "not significant"
    return (
        f"On test the ensemble has {metric} {entry.value:.4f}, its best member on validation, {best}, "
        f"{base.value:.4f}: {difference.value:+.4f}{relative}, 95 % interval "
        f"{format_range(difference.ci95)}, p = {difference.p:.4f} of the paired "
        f"{comparison.config.test} test, {settled}."
    )

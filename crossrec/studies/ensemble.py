"""Study of an ensemble: weights learned on validation, one evaluation on test."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

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
from crossrec.evaluation.comparison.compare import Comparison
from crossrec.evaluation.matching import distinct
from crossrec.evaluation.metrics import ACCURACY
from crossrec.evaluation.report.glossary import format_range
from crossrec.evaluation.results import to_plain
from crossrec.experiment.results import (
    MeasuredRecommender,
    NamedRecommender,
    show,
    show_results,
)
from crossrec.runtime import distributed
from crossrec.studies.ensemble_report import write_report
from crossrec.studies.folder import write_config, write_json
from crossrec.studies.members import MeasuredOnTest, MemberStudyConfig, Opened, open_members
from crossrec.types import Recommender

STUDY_NAME = "ensemble"


class EnsembleStudyConfig(MemberStudyConfig):
    """Ensemble of finished runs and baselines.

    Args:
        members: run folders, ``name=folder``, or types of baselines such as ``item_knn``; a baseline uses
            the settings in a run's ``baselines.json``, else its defaults.
        learning: budget, length of the lists, halves, seed.
        fusions: fusion rules to try; the one with the best cross-fitted value is chosen.
        candidates: number of best items of each member that are fused.
        missing: meaning of a member's -inf.
        out, metric, tune, comparison, device: see :class:`MemberStudyConfig`; weights optimize the metric,
            and the comparison is of the ensemble with its best member.
    """

    study: ClassVar[str] = STUDY_NAME

    members: tuple[str, ...] = Field(min_length=1)
    learning: LearningConfig = LearningConfig()
    fusions: tuple[ListFusionOptions, ...] = Field(ALL_FUSIONS, min_length=1)
    candidates: int = Field(200, ge=1, le=100_000)
    missing: Missing = "lowest"

    @property
    def given(self) -> tuple[str, ...]:
        """The members."""
        return self.members

    @property
    def list_length(self) -> int:
        """Length of the lists that weights are learned for."""
        return self.learning.k


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
    prepared = opened.prepared
    choice = choose(
        opened.members, prepared.data.split, config, exclude_seen=prepared.config.evaluation.exclude_seen
    )
    test = MeasuredOnTest.of(config, prepared, _to_measure(config, opened, choice))
    best = list(opened.members)[choice.learned.best_member]
    comparison = test.compare(best, STUDY_NAME)
    found = summarise(config, opened, choice, test.measured, comparison)
    text = write_config(config.out, config)
    write_json(config.out / FOUND_FILE, found)
    write_report(config.out / PAGE_FILE, found, test.measured, comparison, text)
    show_results(prepared, test.measured, "test")
    show(found["verdict"])
    show(f"Weights, tests and plots: {config.out / PAGE_FILE}, {config.out / FOUND_FILE}")
    return found


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
    data = opened.prepared.data
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

"""Study of a large and a small model: train the pair, measure it, report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from pydantic import Field, field_validator
from rich.table import Table

from crossrec.config import Config, parse_overrides
from crossrec.data.item_table import ItemTable
from crossrec.data.splits.base import Queries
from crossrec.evaluation.bootstrap import interval
from crossrec.evaluation.config import EvaluationConfig, MetricName
from crossrec.evaluation.evaluate import evaluate_lists, rank_queries
from crossrec.evaluation.report.glossary import arrow, format_range, format_value, info
from crossrec.experiment.config import ExperimentConfig
from crossrec.experiment.evaluate import load_recommender
from crossrec.experiment.prepared import PreparedExperiment, describe_model
from crossrec.experiment.results import console, show
from crossrec.experiment.text_scorer import text_scored
from crossrec.runtime import distributed
from crossrec.runtime.device import pick_device
from crossrec.runtime.files import atomic_path
from crossrec.studies.folder import write_json, write_page
from crossrec.studies.grid import plan
from crossrec.studies.grid.config import AblationConfig
from crossrec.studies.grid.study import run_ablation
from crossrec.studies.large_model_report import EVERYBODY, SIDES, Effect, Side, by_group, curve, verdict
from crossrec.studies.statistics import measurable_metrics, resampled_metrics
from crossrec.types import InputError, Sequences, TopK


class LargeModelConfig(Config):
    """Matched pair: the same items read by a small sequence model and by a language model.

    Both train on the same data with the same loss and seeds; their differences are set by ``small`` and
    ``large`` and listed in the results. Modalities, history, epochs and rates should be the same for both: a
    difference beyond the sequence model is printed beside every table.

    Args:
        base: configuration file of the experiment.
        changes: overrides for both models.
        small: overrides for the small model.
        large: overrides for the large model.
        seeds: seeds of both models.
        ks: lengths of the lists.
        metrics: names of metrics without ``@k``.
        n_bootstrap: number of resamples of the users for each interval.
        out: folder of the results and of the runs.
        device: device on which trained models rank; training follows the launcher's environment.
    """

    base: Path
    changes: tuple[str, ...] = ()
    small: tuple[str, ...] = ("model.sequence.type=sasrec",)
    large: tuple[str, ...] = ("model.sequence.type=llm",)
    seeds: tuple[int, ...] = Field((0, 1, 2), min_length=1)
    ks: tuple[int, ...] = Field((5, 10, 20, 50), min_length=1)
    metrics: tuple[MetricName, ...] = (
        "ndcg",
        "recall",
        "entropy",
        "gini",
        "coverage",
        "ild_category",
        "ild",
        "ild_behaviour",
        "personalization",
        "tail_share",
    )
    n_bootstrap: int = Field(1000, ge=2, le=1_000_000)
    out: Path
    device: str = "auto"

    @field_validator("ks", "seeds")
    @classmethod
    def _distinct(cls, values: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(values)) < len(values) or min(values, default=1) < 0:
            raise ValueError(f"needs distinct values that are not negative; got {list(values)}")
        return tuple(sorted(values))

    @field_validator("ks")
    @classmethod
    def _at_least_one(cls, ks: tuple[int, ...]) -> tuple[int, ...]:
        if min(ks, default=1) < 1:
            raise ValueError(f"a list has at least one place; got {list(ks)}")
        return ks


def group_queries(
    queries: Queries, histories: Sequences, items: ItemTable, tail_share: float
) -> dict[str, np.ndarray]:
    """Return the queries of each group; a user's group follows from the user's first query.

    Groups halve the users, at the median of clicks in the history and at the median share of clicks on head
    items (which is highest for mainstream tastes). Users at the median belong to the lower half.

    Args:
        queries: Q queries.
        histories: histories, Q rows.
        items: features of the items.
        tail_share: share of the training clicks on tail items.

    Returns:
        Name -> query numbers: all users, few clicks, many clicks, niche taste, mainstream taste. An empty
        group is left out.
    """
    users_U, first_U, user_Q = np.unique(queries.users, return_index=True, return_inverse=True)
    clicks_U = histories.lengths[first_U]
    head_T = ~items.tail(tail_share)[histories.items]
    head_Q = np.bincount(histories.row_of_click, weights=head_T, minlength=len(histories))
    mainstream_U = head_Q[first_U] / np.maximum(clicks_U, 1)
    many_U = clicks_U > np.median(clicks_U)
    head_heavy_U = mainstream_U > np.median(mainstream_U)
    members = {
        EVERYBODY: np.ones(len(users_U), dtype=bool),
        "few clicks": ~many_U,
        "many clicks": many_U,
        "niche taste": ~head_heavy_U,
        "mainstream taste": head_heavy_U,
    }
    rows = {name: np.flatnonzero(member_U[user_Q]) for name, member_U in members.items()}
    return {name: found for name, found in rows.items() if len(found)}


SEQUENCE = "model.sequence."


Model = tuple[Side, int]
"""A side and a seed."""


def as_grid(config: LargeModelConfig) -> AblationConfig:
    """Return the pair as a grid of two variants, ``small`` and ``large``."""
    sides = {"small": config.small, "large": config.large}
    variants = {
        side: {**parse_overrides([*config.changes, *own]), "baselines": []} for side, own in sides.items()
    }
    return AblationConfig(
        base=config.base,
        axes={"model": variants},
        seeds=config.seeds,
        compare=False,
        report=True,
        out=config.out,
    )


def experiment_of(config: LargeModelConfig, side: Side, seed: int) -> ExperimentConfig:
    """Return the run of one side with one seed."""
    pair = as_grid(config)
    return plan.experiment_of(pair, next(v for v in plan.grid(pair) if v.name == side), seed)


def differences(config: LargeModelConfig) -> dict[str, tuple[object, object]]:
    """Return the values of the small and the large model by dotted key, where their configurations differ."""
    first = experiment_of(config, "small", config.seeds[0]).model_dump(mode="json", exclude={"name"})
    second = experiment_of(config, "large", config.seeds[0]).model_dump(mode="json", exclude={"name"})
    return dict(plan.differing_keys(first, second))


def confounders(config: LargeModelConfig) -> dict[str, tuple[object, object]]:
    """Return differences besides the sequence model: dotted key -> values of the small and the large model.

    The length of the history that a sequence model reads (``max_length``) is not part of the model.
    """
    return {
        key: values
        for key, values in differences(config).items()
        if not key.startswith(SEQUENCE) or key == f"{SEQUENCE}max_length"
    }


def confounded(config: LargeModelConfig) -> str:
    """Return one sentence that names what differs besides the sequence model; empty for a matched pair."""
    found = confounders(config)
    if not found:
        return ""
    told = ", ".join(f"{key} ({small} and {large})" for key, (small, large) in found.items())
    return (
        f"The pair differs in more than the sequence model: {told}. A difference between the models may come "
        "from any of these."
    )


def check_matched(config: LargeModelConfig) -> None:
    """Check that both models train on the same data with the same loss and are evaluated alike.

    Raises:
        InputError: if the models differ in data, loss, evaluation or reference encoders.
    """
    for key in differences(config):
        if key.split(".")[0] in ("data", "objective", "evaluation", "spaces"):
            raise InputError(
                f"the two models differ in {key}, so they are no matched pair; set it in 'changes'"
            )


def train_pair(config: LargeModelConfig) -> None:
    """Train the missing models; a killed study is resumed.

    Raises:
        InputError: if the models are not a matched pair, or a training failed.
        ConfigError: if a run's folder holds a run with another configuration, or precisions differ.
    """
    check_matched(config)
    run_ablation(as_grid(config), shown=False)


def measure_pair(config: LargeModelConfig, prepared: PreparedExperiment) -> list[Effect]:
    """Rank the test split with every model and compare them, group by group.

    Args:
        config: configuration of the study, with trained models.
        prepared: prepared experiment of one of its runs; its data and item table are shared by all.
    """
    split, evaluation = prepared.data.split, prepared.config.evaluation
    metrics = measurable_metrics(config.metrics, prepared.items)
    device = pick_device(config.device)
    lists: dict[Model, TopK] = {}
    for seed in config.seeds:
        for side in SIDES:
            own = PreparedExperiment(experiment_of(config, side, seed), prepared.data, prepared.content)
            recommender = load_recommender(own)
            recommender.network.to(device)
            lists[side, seed] = rank_queries(
                text_scored(own, recommender),
                split,
                split.test,
                max(config.ks),
                evaluation.exclude_seen,
                evaluation.batch,
            )
    histories = split.histories(split.test)
    groups = group_queries(split.test, histories, prepared.items, evaluation.tail_share)
    return [
        effect
        for name, rows in groups.items()
        for k in config.ks
        for effect in _effects(config, prepared, lists, metrics, name, rows, k)
    ]


@dataclass(frozen=True)
class _Measured:
    """Metrics of one model's lists: value, and (R,) values under resamples of the users."""

    values: dict[MetricName, float]
    resampled: dict[str, np.ndarray]


def _effects(
    config: LargeModelConfig,
    prepared: PreparedExperiment,
    lists: dict[Model, TopK],
    metrics: tuple[MetricName, ...],
    group: str,
    rows: np.ndarray,
    k: int,
) -> Iterator[Effect]:
    test = prepared.data.split.test
    queries = test.take(rows)
    settings = prepared.config.evaluation.model_copy(
        update={"ks": (k,), "metrics": metrics, "n_bootstrap": 0}
    )
    found = {
        model: _measure(
            TopK(of_all.ids[rows, :k], of_all.scores[rows, :k]),
            queries,
            prepared,
            settings,
            config.n_bootstrap,
        )
        for model, of_all in lists.items()
    }
    for metric in metrics:
        small_S, large_S = (
            np.array([found[side, seed].values[metric] for seed in config.seeds]) for side in SIDES
        )
        gaps_SR = [
            found["large", seed].resampled[metric] - found["small", seed].resampled[metric]
            for seed in config.seeds
        ]
        yield Effect(
            group=group,
            n_users=len(np.unique(queries.users)),
            metric=metric,
            k=k,
            small=float(small_S.mean()),
            large=float(large_S.mean()),
            ci95=interval(np.mean(gaps_SR, axis=0)),
            seeds=(large_S - small_S).tolist(),
        )


def _measure(
    lists: TopK, queries: Queries, prepared: PreparedExperiment, settings: EvaluationConfig, n_resamples: int
) -> _Measured:
    histories = prepared.data.split.histories(queries)
    evaluation = evaluate_lists(lists, queries, histories, prepared.items, settings)
    (k,) = settings.ks
    resampled = resampled_metrics(
        evaluation,
        lists.ids,
        queries.users,
        settings.metrics,
        n_items=prepared.items.n_items,
        k=k,
        n_resamples=n_resamples,
        seed=settings.seed,
    )
    return _Measured({m: evaluation.metrics[f"{m}@{k}"]["value"] for m in settings.metrics}, resampled)


EFFECTS_FILE, ABOUT_FILE, PAGE_FILE = "effects.parquet", "about.json", "large_model.html"
SHOWN_LENGTH = 10


def run_large_model(config: LargeModelConfig) -> None:
    """Train the pair, measure it and write ``effects.parquet``, ``about.json`` and ``large_model.html``.

    Trained models are not trained again.

    Raises:
        InputError: if the models are not a matched pair, an override doesn't fit, or several processes run.
    """
    distributed.require_one_process("the study of a large model")
    pick_device(config.device)
    if warning := confounded(config):
        show(f"Warning: {warning}")
    train_pair(config)
    prepared = PreparedExperiment.of(experiment_of(config, "large", config.seeds[0]))
    effects = measure_pair(config, prepared)
    about = _about(config, prepared)
    with atomic_path(config.out / EFFECTS_FILE) as temporary:
        pl.DataFrame([effect.row() for effect in effects]).write_parquet(temporary)
    write_json(config.out / ABOUT_FILE, about)
    content = _content(effects, about, config)
    write_page(config.out / PAGE_FILE, "large_model", content)
    told = " ".join(part for part in (content["verdict"], about["confounded"]) if part)
    console().print(_table(effects, shown_length(config), told))
    show(f"Curves and groups of users: {config.out / PAGE_FILE}")


def shown_length(config: LargeModelConfig) -> int:
    """Return the list length that tables show: 10 where it is measured, else the shortest."""
    return SHOWN_LENGTH if SHOWN_LENGTH in config.ks else config.ks[0]


def _about(config: LargeModelConfig, prepared: PreparedExperiment) -> dict[str, Any]:
    small = experiment_of(config, "small", config.seeds[0])
    return {
        "data": prepared.data.name,
        "note": prepared.data.note,
        "protocol": f"{prepared.data.split.protocol}; full ranking of {prepared.items.n_items:,} items; "
        f"{config.n_bootstrap:,} resamples of the users",
        "names": {"small": describe_model(small), "large": describe_model(prepared.config)},
        "seeds": list(config.seeds),
        "confounded": confounded(config),
        "differing": {key: [str(v) for v in values] for key, values in differences(config).items()},
    }


def _content(effects: Sequence[Effect], about: Mapping[str, Any], config: LargeModelConfig) -> dict[str, Any]:
    k = shown_length(config)
    metrics = list(dict.fromkeys(effect.metric for effect in effects))
    groups = list(dict.fromkeys(effect.group for effect in effects))
    return {
        **about,
        "k": k,
        "verdict": verdict(effects, k),
        "groups": [_group([e for e in effects if e.group == name and e.k == k]) for name in groups],
        "curves": [curve(effects, metric) for metric in metrics],
        "by_group": [by_group(effects, metric, k) for metric in metrics],
    }


def _group(effects: Sequence[Effect]) -> dict[str, Any]:
    rows = [
        {
            "metric": f"{e.metric}@{e.k}",
            "arrow": arrow(e.metric),
            "meaning": info(e.metric).meaning,
            "small": format_value(e.metric, e.small),
            "large": format_value(e.metric, e.large),
            "difference": f"{e.difference:+.4f}",
            "interval": format_range(e.ci95),
            "spread": "" if e.spread != e.spread else f"{e.spread:.4f}",
            "better": e.better if e.settled else None,
        }
        for e in effects
    ]
    return {"name": effects[0].group, "n_users": f"{effects[0].n_users:,}", "rows": rows}


def _table(effects: Sequence[Effect], k: int, told: str) -> Table:
    table = Table(title=f"Large and small model compared, lists of {k}, all users", caption=told)
    for heading in ("metric", "small", "large", "large - small", "95 % over users", "sd over seeds"):
        table.add_column(heading, justify="left" if heading == "metric" else "right")
    for effect in effects:
        if effect.group == EVERYBODY and effect.k == k:
            mark = "* " if effect.settled else ""
            table.add_row(
                f"{effect.metric}@{k}",
                f"{effect.small:.4f}",
                f"{effect.large:.4f}",
                f"{mark}{effect.difference:+.4f}",
                format_range(effect.ci95),
                "" if effect.spread != effect.spread else f"{effect.spread:.4f}",
            )
    return table

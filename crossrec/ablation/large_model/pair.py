"""A matched pair of models: trained on the same ground, measured by list length and by group of users."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from crossrec.ablation.large_model.config import LargeModelConfig
from crossrec.ablation.large_model.effect import SIDES, Effect, Side
from crossrec.ablation.large_model.user_groups import group_queries
from crossrec.ablation.measurable import measurable_metrics
from crossrec.ablation.resample import resampled_metrics
from crossrec.data.splits import Queries
from crossrec.evaluation.bootstrap import interval
from crossrec.evaluation.config import EvaluationConfig, MetricName
from crossrec.evaluation.evaluate import evaluate_lists
from crossrec.evaluation.ranking import rank_queries
from crossrec.evaluation.results import METRICS_FILE
from crossrec.experiment.assembly import Setting
from crossrec.experiment.config import ExperimentConfig
from crossrec.experiment.evaluate import load_recommender
from crossrec.experiment.run_folder import check_run, load_experiment
from crossrec.experiment.train import run_training
from crossrec.runtime.device import pick_device
from crossrec.types import InputError, TopK

SEQUENCE = "model.sequence."
Model = tuple[Side, int]
"""A side and a seed."""


def experiment_of(config: LargeModelConfig, side: Side, seed: int) -> ExperimentConfig:
    """The run of one side with one seed."""
    own = config.small if side == "small" else config.large
    names = [f"seed={seed}", f"name={side}.{seed}", f"runs_dir={config.out / 'runs'}", "baselines=[]"]
    return load_experiment(config.base, [*config.changes, *own, *names])


def differences(config: LargeModelConfig) -> dict[str, tuple[object, object]]:
    """Dotted key -> values of the small and the large model, wherever their configurations differ."""
    first = experiment_of(config, "small", config.seeds[0]).model_dump(mode="json")
    second = experiment_of(config, "large", config.seeds[0]).model_dump(mode="json")
    first.pop("name"), second.pop("name")
    return dict(_differing(first, second, ""))


def _differing(first: object, second: object, key: str) -> Iterator[tuple[str, tuple[object, object]]]:
    if isinstance(first, dict) and isinstance(second, dict):
        for name in dict.fromkeys([*first, *second]):
            yield from _differing(first.get(name), second.get(name), f"{key}.{name}" if key else name)
    elif first != second:
        yield key, (first, second)


def confounders(config: LargeModelConfig) -> dict[str, tuple[object, object]]:
    """Differences besides the sequence model: dotted key -> values of the small and the large model.

    How much of a history a sequence model reads (``max_length``) is no part of the model.
    """
    return {
        key: values
        for key, values in differences(config).items()
        if not key.startswith(SEQUENCE) or key == f"{SEQUENCE}max_length"
    }


def confounded(config: LargeModelConfig) -> str:
    """One sentence that names what differs besides the sequence model; empty for a matched pair."""
    found = confounders(config)
    if not found:
        return ""
    told = ", ".join(f"{key} ({small} and {large})" for key, (small, large) in found.items())
    return (
        f"The pair differs in more than the sequence model: {told}. A difference between the models may come "
        "from any of these."
    )


def check_matched(config: LargeModelConfig) -> None:
    """Refuses a pair that would be measured or trained on different ground.

    Raises:
        InputError: the models differ in data, loss, evaluation or the spaces of measures, or in the
            precision, of which one process has one.
    """
    for key in differences(config):
        if key == "trainer.precision":
            raise InputError(
                f"the two models differ in {key}, but both train in one process, which has one precision; "
                "say it in 'changes'"
            )
        if key.split(".")[0] in ("data", "objective", "evaluation", "spaces"):
            raise InputError(
                f"the two models differ in {key}, so they are no matched pair; say it in 'changes'"
            )


def train_pair(config: LargeModelConfig) -> None:
    """Trains what is not trained yet; a killed study goes on where it was.

    Raises:
        InputError: the two models are no matched pair.
        ConfigError: the folder of a run holds one with another configuration.
    """
    check_matched(config)
    experiments = [experiment_of(config, side, seed) for seed in config.seeds for side in SIDES]
    for experiment in experiments:
        check_run(experiment)
    for experiment in experiments:
        if not (experiment.run_folder / "eval" / "test" / METRICS_FILE).exists():
            run_training(experiment)


def measure_pair(config: LargeModelConfig, setting: Setting) -> list[Effect]:
    """Ranks the test part with every model and compares them, group by group.

    Args:
        config: of the study, whose models are trained.
        setting: of one of its runs; its data and facts serve all.
    """
    split, evaluation = setting.data.split, setting.config.evaluation
    metrics = measurable_metrics(config.metrics, setting.facts)
    device = pick_device(config.device)
    lists: dict[Model, TopK] = {}
    for seed in config.seeds:
        for side in SIDES:
            own = Setting(experiment_of(config, side, seed), setting.data, setting.content)
            recommender = load_recommender(own)
            recommender.network.to(device)
            lists[side, seed] = rank_queries(
                recommender,
                split,
                split.test,
                max(config.ks),
                evaluation.exclude_seen,
                evaluation.batch,
            )
    histories = split.histories(split.test)
    groups = group_queries(split.test, histories, setting.facts, evaluation.tail_share)
    return [
        effect
        for name, rows in groups.items()
        for k in config.ks
        for effect in _effects(config, setting, lists, metrics, name, rows, k)
    ]


@dataclass(frozen=True)
class _Measured:
    """Metric -> the value of one model's lists, and (R,) values under resamples of the users."""

    values: dict[MetricName, float]
    resampled: dict[str, np.ndarray]


def _effects(
    config: LargeModelConfig,
    setting: Setting,
    lists: dict[Model, TopK],
    metrics: tuple[MetricName, ...],
    group: str,
    rows: np.ndarray,
    k: int,
) -> Iterator[Effect]:
    test = setting.data.split.test
    queries = Queries(test.users[rows], test.ends[rows], test.targets.take(rows))
    settings = setting.config.evaluation.model_copy(update={"ks": (k,), "metrics": metrics, "n_bootstrap": 0})
    found = {
        model: _measure(
            TopK(of_all.ids[rows, :k], of_all.scores[rows, :k]),
            queries,
            setting,
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
    lists: TopK, queries: Queries, setting: Setting, settings: EvaluationConfig, n_resamples: int
) -> _Measured:
    histories = setting.data.split.histories(queries)
    evaluation = evaluate_lists(lists, queries, histories, setting.facts, settings)
    (k,) = settings.ks
    resampled = resampled_metrics(
        evaluation,
        lists.ids,
        queries.users,
        settings.metrics,
        n_items=setting.facts.n_items,
        k=k,
        n_resamples=n_resamples,
        seed=settings.seed,
    )
    return _Measured({m: evaluation.metrics[f"{m}@{k}"]["value"] for m in settings.metrics}, resampled)

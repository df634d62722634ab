"""A matched pair of models: trained on the same ground, measured by list length and by group of users."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np

from crossrec.ablation.large_model.config import LargeModelConfig
from crossrec.ablation.large_model.user_groups import group_queries
from crossrec.ablation.resample import interval, resampled_metrics
from crossrec.config import load_config
from crossrec.data.splits import Queries
from crossrec.evaluation.config import EvaluationConfig, MetricName
from crossrec.evaluation.evaluate import evaluate_lists
from crossrec.evaluation.metrics import missing_for
from crossrec.evaluation.ranking import rank_queries
from crossrec.evaluation.results import METRICS_FILE
from crossrec.experiment.assembly import Setting
from crossrec.experiment.config import ExperimentConfig
from crossrec.experiment.evaluate import load_recommender
from crossrec.experiment.train import run_training
from crossrec.types import InputError, TopK

Side = Literal["small", "large"]
SIDES: tuple[Side, Side] = ("small", "large")
Model = tuple[Side, int]
"""A side and a seed."""


@dataclass(frozen=True)
class Effect:
    """One measure of both models in one group of users at one list length, means over seeds.

    Args:
        group: of users.
        n_users: in the group.
        metric: name without ``@k``.
        k: length of the lists.
        small, large: values.
        difference: large less small.
        ci95: of the difference, over users; the same resamples for both models and all seeds.
        spread: standard deviation of the difference over seeds; NaN with one seed.
    """

    group: str
    n_users: int
    metric: MetricName
    k: int
    small: float
    large: float
    difference: float
    ci95: list[float]
    spread: float

    @property
    def settled(self) -> bool:
        """Whether the interval leaves out 0."""
        return self.ci95[0] > 0 or self.ci95[1] < 0

    def row(self) -> dict[str, object]:
        """As one row of a table."""
        low, high = self.ci95
        fields = {name: value for name, value in asdict(self).items() if name != "ci95"}
        return {**fields, "low": low, "high": high}


def experiment_of(config: LargeModelConfig, side: Side, seed: int) -> ExperimentConfig:
    """The run of one side with one seed."""
    own = config.small if side == "small" else config.large
    names = [f"seed={seed}", f"name={side}.{seed}", f"runs_dir={config.out / 'runs'}", "baselines=[]"]
    return load_config(ExperimentConfig, config.base, [*config.changes, *own, *names])


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


def check_matched(config: LargeModelConfig) -> None:
    """Refuses a pair that would be measured or trained on different ground.

    Raises:
        InputError: the models differ in data, loss, evaluation or the spaces of measures.
    """
    for key in differences(config):
        if key.split(".")[0] in ("data", "objective", "evaluation", "spaces"):
            raise InputError(
                f"the two models differ in {key}, so they are no matched pair; say it in 'changes'"
            )


def train_pair(config: LargeModelConfig) -> None:
    """Trains what is not trained yet; a killed study goes on where it was."""
    check_matched(config)
    for seed in config.seeds:
        for side in SIDES:
            experiment = experiment_of(config, side, seed)
            if not (experiment.run_folder / "eval" / "test" / METRICS_FILE).exists():
                run_training(experiment)


def measure_pair(config: LargeModelConfig, setting: Setting) -> list[Effect]:
    """Ranks the test part with every model and compares them, group by group.

    Args:
        config: of the study, whose models are trained.
        setting: of one of its runs; its data and facts serve all.
    """
    split, evaluation = setting.data.split, setting.config.evaluation
    lists: dict[Model, TopK] = {}
    for seed in config.seeds:
        for side in SIDES:
            own = Setting(experiment_of(config, side, seed), setting.data, setting.content)
            lists[side, seed] = rank_queries(
                load_recommender(own),
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
        for effect in _effects(config, setting, lists, name, rows, k)
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
    group: str,
    rows: np.ndarray,
    k: int,
) -> Iterator[Effect]:
    test = setting.data.split.test
    queries = Queries(test.users[rows], test.ends[rows], test.targets.take(rows))
    metrics = tuple(m for m in config.metrics if missing_for(m, setting.facts) is None)
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
            difference=float((large_S - small_S).mean()),
            ci95=interval(np.mean(gaps_SR, axis=0)),
            spread=float((large_S - small_S).std(ddof=1)) if len(config.seeds) > 1 else float("nan"),
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

"""What is refused before the first training: measures that can't be had, comparisons that can't be made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, get_args

from crossrec.ablation.grid.config import AblationConfig
from crossrec.ablation.grid.plan import Trial, Variant
from crossrec.config import ConfigError
from crossrec.evaluation.comparison.compare import USUAL
from crossrec.evaluation.comparison.exposure import needed_resamples
from crossrec.evaluation.config import MetricName
from crossrec.experiment.config import ExperimentConfig
from crossrec.experiment.run_folder import check_run

SLICE_MARK = ":"
SLICES = ("cold_items", "tail_items", "short_histories")
SLICE_METRICS: tuple[MetricName, ...] = ("recall", "ndcg", "mrr", "hit", "map")
PLACE_OF_DATA = ("root", "cache_dir")
"""Keys that say where data lies, not which it is."""


def check_trials(config: AblationConfig, trials: Sequence[Trial]) -> None:
    """Refuses a study whose end would be an error.

    Raises:
        ConfigError: the reference, or a metric, doesn't exist; variants that are to be compared have other
            data, spaces or protocols; precisions differ; a run's folder holds another run; too few
            resamples for so many comparisons.
    """
    for trial in trials:
        check_run(trial.config)
    _one_precision(trials)
    for metric in wanted_metrics(config):
        _check_metric(metric, trials)
    if config.search is None:
        _check_comparison(config, trials)


def wanted_metrics(config: AblationConfig) -> list[str]:
    """All metrics that the configuration names."""
    objective = [] if config.search is None else [config.search.objective]
    return list(dict.fromkeys([*config.comparison.metrics, *config.comparison.diversity, *objective]))


def reference_of(config: AblationConfig, variants: Sequence[Variant]) -> str:
    """The name of the variant that all others are compared with.

    Raises:
        ConfigError: there is no such variant.
    """
    names = [variant.name for variant in variants]
    if config.reference and config.reference not in names:
        raise ConfigError(f"reference: '{config.reference}' is not among the variants {', '.join(names)}")
    return config.reference or names[0]


def split_slice(metric: str) -> tuple[str, str]:
    """``cold_items:recall@10`` as slice and metric; the slice of a plain metric is empty."""
    part, mark, name = metric.rpartition(SLICE_MARK)
    return (part, name) if mark else ("", metric)


def _check_metric(metric: str, trials: Sequence[Trial]) -> None:
    part, name = split_slice(metric)
    base, at, k = name.partition("@")
    known = SLICE_METRICS if part else get_args(MetricName)
    if base not in known or not at or not k.isdecimal():
        raise ConfigError(f"metric '{metric}': say NAME@LENGTH such as ndcg@10; names are {', '.join(known)}")
    if part and part not in SLICES:
        raise ConfigError(f"metric '{metric}': '{part}' is not among the slices {', '.join(SLICES)}")
    for trial in trials:
        evaluation = trial.config.evaluation
        if int(k) not in evaluation.ks or base not in evaluation.metrics:
            raise ConfigError(
                f"metric '{metric}' is not measured by variant '{trial.variant.name}': its evaluation has ks "
                f"{list(evaluation.ks)} and metrics {', '.join(evaluation.metrics)}"
            )


def _one_precision(trials: Sequence[Trial]) -> None:
    found = list(dict.fromkeys(trial.config.trainer.precision for trial in trials))
    if len(found) > 1:
        raise ConfigError(
            f"variants differ in trainer.precision ({', '.join(found)}), of which a process has one; say it "
            "in 'changes' and make a study of each"
        )


def _check_comparison(config: AblationConfig, trials: Sequence[Trial]) -> None:
    variants = list({trial.variant.name: trial.variant for trial in trials}.values())
    reference = reference_of(config, variants)
    if not config.compare:
        return
    first = next(trial for trial in trials if trial.variant.name == reference)
    for trial in trials:
        key = _difference(_ground(first.config), _ground(trial.config))
        if key is not None:
            raise ConfigError(
                f"'{trial.variant.name}' and '{reference}' differ in {key}, so they are not measured on the "
                "same queries in the same way: say compare: false, or change it for all in 'changes'"
            )
    n_metrics = len(config.comparison.metrics) or len(USUAL)
    needed = needed_resamples(n_metrics * (len(variants) - 1))
    if config.comparison.n_bootstrap < needed:
        raise ConfigError(
            f"comparison.n_bootstrap: {config.comparison.n_bootstrap} resamples are too few for "
            f"{len(variants) - 1} variants and {n_metrics} metrics, whose p Holm corrects together; "
            f"ask for {needed} or more, or name fewer comparison.metrics"
        )


def _ground(config: ExperimentConfig) -> dict[str, Any]:
    data = config.data.model_dump(mode="json", exclude=set(PLACE_OF_DATA))
    spaces = config.spaces.model_dump(mode="json")
    evaluation = config.evaluation.model_dump(mode="json", exclude={"batch"})
    return {"data": data, "spaces": spaces, "evaluation": evaluation}


def _difference(first: Any, second: Any, key: str = "") -> str | None:
    """The first dotted key that differs."""
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        for name in dict.fromkeys([*first, *second]):
            found = _difference(first.get(name), second.get(name), f"{key}.{name}" if key else name)
            if found is not None:
                return found
        return None
    return None if first == second else key

"""Plan of an ablation: variants, trials, and all checks before the first training."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from crossrec.config import read_yaml, validate
from crossrec.evaluation.comparison.compare import USUAL
from crossrec.evaluation.comparison.exposure import needed_resamples
from crossrec.evaluation.config import MetricName
from crossrec.evaluation.metrics import METRICS
from crossrec.experiment.config import ExperimentConfig
from crossrec.experiment.run_folder import check_run, without_provenance
from crossrec.studies.grid.config import AblationConfig, Labels, label_of, lay, named_choices, nested
from crossrec.types import ConfigError

RUNS_FOLDER = "runs"


@dataclass(frozen=True)
class Variant:
    """One combination of values.

    Args:
        name: unique name in the study; its runs are called ``name.seed``.
        labels: axis -> name of the value.
        overrides: overrides applied in order after the study's changes.
    """

    name: str
    labels: Mapping[str, str]
    overrides: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True)
class StudyTrial:
    """A variant with a seed: one run.

    Args:
        variant: variant of the trial.
        config: configuration of the run.
    """

    variant: Variant
    config: ExperimentConfig

    @property
    def name(self) -> str:
        """The run's name."""
        return self.config.name


def grid(config: AblationConfig) -> list[Variant]:
    """Return all combinations of the axes, without those excluded, with those included.

    Raises:
        ConfigError: if two combinations have the same name, an entry of ``exclude`` matches none, or one
            of ``include`` lacks an axis or names an unknown value.
    """
    axes = {axis: named_choices(axis, values) for axis, values in config.axes.items()}
    for axis, values in config.axes.items():
        if len(axes[axis]) < len(values):
            raise ConfigError(f"axes.{axis}: a value is repeated; give values by name")
    found = [dict(zip(axes, labels, strict=True)) for labels in itertools.product(*axes.values())]
    for entry in config.exclude:
        kept = [combination for combination in found if not _matches(combination, entry)]
        if len(kept) == len(found):
            raise ConfigError(f"exclude: no combination has {entry}")
        found = kept
    for entry in config.include:
        found.append(_included(config, axes, entry))
    variants = [_variant(axes, combination) for combination in found]
    _check_names(variants)
    return variants


def _matches(combination: Mapping[str, str], entry: Labels) -> bool:
    wanted = {axis: label if isinstance(label, (list, tuple)) else [label] for axis, label in entry.items()}
    return all(combination[axis] in [label_of(label) for label in labels] for axis, labels in wanted.items())


def _included(
    config: AblationConfig, axes: dict[str, dict[str, dict[str, Any]]], entry: Labels
) -> dict[str, str]:
    missing = [axis for axis in axes if axis not in entry]
    if missing:
        raise ConfigError(f"include: {entry} lacks the axis '{missing[0]}'")
    combination = {}
    for axis in axes:
        label = label_of(entry[axis])
        if label not in axes[axis]:
            if isinstance(config.axes[axis], Mapping):
                raise ConfigError(f"include: '{label}' is not among axes.{axis}: {', '.join(axes[axis])}")
            axes[axis][label] = {axis: entry[axis]}
        combination[axis] = label
    return combination


def _variant(axes: Mapping[str, Mapping[str, Mapping[str, Any]]], labels: Mapping[str, str]) -> Variant:
    overrides = tuple(axes[axis][label] for axis, label in labels.items())
    return Variant(variant_name(labels), dict(labels), overrides)


def variant_name(labels: Mapping[str, str]) -> str:
    """Return the joined names of the values; that of a key's value begins with the key's last part."""
    parts = [f"{axis.rsplit('.', 1)[-1]}-{label}" if "." in axis else label for axis, label in labels.items()]
    return re.sub(r"[^\w.-]+", "-", "-".join(parts)).strip("-.") or "variant"


def _check_names(variants: Sequence[Variant]) -> None:
    by_name: dict[str, Variant] = {}
    for variant in variants:
        other = by_name.setdefault(variant.name, variant)
        if other is not variant:
            raise ConfigError(
                f"{dict(other.labels)} and {dict(variant.labels)} would both be called '{variant.name}'; "
                "rename their values"
            )
    if not variants:
        raise ConfigError("axes: exclude leaves no combination")


def trials_of(config: AblationConfig, variants: Sequence[Variant]) -> list[StudyTrial]:
    """Return every variant with every seed, seed by seed, so that all variants are measured early.

    Raises:
        ConfigError: if any variant has an unknown key or an invalid value.
    """
    return [StudyTrial(v, experiment_of(config, v, seed)) for seed in config.seeds for v in variants]


def experiment_of(config: AblationConfig, variant: Variant, seed: int) -> ExperimentConfig:
    """Return the run of a variant with a seed."""
    own = {"seed": seed, "name": f"{variant.name}.{seed}", "runs_dir": str(config.out / RUNS_FOLDER)}
    for where, layer in (("changes", config.changes), *((variant.name, o) for o in variant.overrides)):
        taken = [key for key in own if key in nested(layer)]
        if taken:
            raise ConfigError(f"{where}: '{taken[0]}' is set by the study: seeds and out decide it")
    content = lay(without_provenance(read_yaml(config.base)), [config.changes, *variant.overrides, own])
    return validate(ExperimentConfig, content, f"{config.base}, variant '{variant.name}'", trust_code=True)


def search_corners(config: AblationConfig) -> Iterator[Variant]:
    """Return settings that together contain every key, bound and choice of a search's space, to validate."""
    if config.search is None:
        return
    ends: dict[str, dict[str, dict[str, Any]]] = {}
    for name, dimension in config.search.space.items():
        values = getattr(dimension, "values", None)
        bounds = (getattr(dimension, "low", None), getattr(dimension, "high", None))
        ends[name] = named_choices(name, bounds if values is None else values)
    first = {name: next(iter(choices)) for name, choices in ends.items()}
    yield _variant(ends, first)
    for name, choices in ends.items():
        for label in itertools.islice(choices, 1, None):
            yield _variant(ends, {**first, name: label})


SLICE_MARK = ":"
SLICES = ("cold_items", "tail_items", "short_histories")


SLICE_METRICS: tuple[MetricName, ...] = ("recall", "ndcg", "mrr", "hit", "map")


PLACE_OF_DATA = ("root", "cache_dir")
"""Keys of the location of data, not of their content."""


def check_trials(config: AblationConfig, trials: Sequence[StudyTrial]) -> None:
    """Check for errors that would otherwise occur at the end of the study.

    Raises:
        ConfigError: if the reference or a metric doesn't exist, compared variants differ in data, spaces or
            protocols, precisions differ, a run's folder contains another run, or resamples are too few for
            so many comparisons.
    """
    for trial in trials:
        check_run(trial.config)
    _one_precision(trials)
    for metric in wanted_metrics(config):
        _check_metric(metric, trials)
    if config.search is None:
        _check_comparison(config, trials)


def wanted_metrics(config: AblationConfig) -> list[str]:
    """Return all metrics that the configuration names."""
    objective = [] if config.search is None else [config.search.objective]
    return list(dict.fromkeys([*config.comparison.metrics, *config.comparison.diversity, *objective]))


def reference_of(config: AblationConfig, variants: Sequence[Variant]) -> str:
    """Return the name of the variant with which all others are compared.

    Raises:
        ConfigError: if there is no such variant.
    """
    names = [variant.name for variant in variants]
    if config.reference and config.reference not in names:
        raise ConfigError(f"reference: '{config.reference}' is not among the variants {', '.join(names)}")
    return config.reference or names[0]


def split_slice(metric: str) -> tuple[str, str]:
    """Split ``cold_items:recall@10`` into slice and metric; the slice of a plain metric is empty."""
    part, mark, name = metric.rpartition(SLICE_MARK)
    return (part, name) if mark else ("", metric)


def _check_metric(metric: str, trials: Sequence[StudyTrial]) -> None:
    part, name = split_slice(metric)
    base, at, k = name.partition("@")
    known = SLICE_METRICS if part else tuple(METRICS)
    if base not in known or not at or not k.isdecimal():
        raise ConfigError(f"metric '{metric}': use NAME@LENGTH such as ndcg@10; names are {', '.join(known)}")
    if part and part not in SLICES:
        raise ConfigError(f"metric '{metric}': '{part}' is not among the slices {', '.join(SLICES)}")
    for trial in trials:
        evaluation = trial.config.evaluation
        if int(k) not in evaluation.ks or base not in evaluation.metrics:
            raise ConfigError(
                f"metric '{metric}' is not measured by variant '{trial.variant.name}': its evaluation has ks "
                f"{list(evaluation.ks)} and metrics {', '.join(evaluation.metrics)}"
            )


def _one_precision(trials: Sequence[StudyTrial]) -> None:
    found = list(dict.fromkeys(trial.config.trainer.precision for trial in trials))
    if len(found) > 1:
        raise ConfigError(
            f"variants differ in trainer.precision ({', '.join(found)}), of which a process has one; say it "
            "in 'changes' and make a study of each"
        )


def _check_comparison(config: AblationConfig, trials: Sequence[StudyTrial]) -> None:
    variants = list({trial.variant.name: trial.variant for trial in trials}.values())
    reference = reference_of(config, variants)
    if not config.compare:
        return
    first = next(trial for trial in trials if trial.variant.name == reference)
    for trial in trials:
        for key, _ in differing_keys(_protocol(first.config), _protocol(trial.config)):
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
            f"set {needed} or more, or name fewer comparison.metrics"
        )


def _protocol(config: ExperimentConfig) -> dict[str, Any]:
    data = config.data.model_dump(mode="json", exclude=set(PLACE_OF_DATA))
    spaces = config.spaces.model_dump(mode="json")
    evaluation = config.evaluation.model_dump(mode="json", exclude={"batch"})
    return {"data": data, "spaces": spaces, "evaluation": evaluation}


def differing_keys(first: Any, second: Any, key: str = "") -> Iterator[tuple[str, tuple[Any, Any]]]:
    """Yield dotted keys at which two nested mappings differ, each with its two values."""
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        for name in dict.fromkeys([*first, *second]):
            yield from differing_keys(first.get(name), second.get(name), f"{key}.{name}" if key else name)
    elif first != second:
        yield key, (first, second)

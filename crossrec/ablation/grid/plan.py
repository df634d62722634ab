"""What an ablation will do: its variants, their trials, and everything that can be refused beforehand."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from crossrec.ablation.grid.config import AblationConfig, Labels
from crossrec.ablation.grid.overrides import label_of, lay, named_choices, nested
from crossrec.config import ConfigError, read_yaml, validate
from crossrec.experiment.config import ExperimentConfig
from crossrec.experiment.run_folder import without_provenance

RUNS_FOLDER = "runs"


@dataclass(frozen=True)
class Variant:
    """One combination of values.

    Args:
        name: unique in the study; its runs are called ``name.seed``.
        labels: axis -> name of the value.
        overrides: laid on the base after the study's changes, one after the other.
    """

    name: str
    labels: Mapping[str, str]
    overrides: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True)
class Trial:
    """A variant with a seed: one run.

    Args:
        variant: that it belongs to.
        config: of the run.
    """

    variant: Variant
    config: ExperimentConfig

    @property
    def name(self) -> str:
        """The run's name."""
        return self.config.name


def grid(config: AblationConfig) -> list[Variant]:
    """All combinations of the axes, without those excluded, with those included.

    Raises:
        ConfigError: two combinations would have the same name, an entry of ``exclude`` matches none, or one
            of ``include`` lacks an axis or names an unknown value.
    """
    axes = {axis: named_choices(axis, values) for axis, values in config.axes.items()}
    for axis, values in config.axes.items():
        if len(axes[axis]) < len(values):
            raise ConfigError(f"axes.{axis}: a value stands there twice; give values by name")
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
        raise ConfigError(f"include: {entry} says nothing of the axis '{missing[0]}'")
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
    """Names of the values one after the other; that of a key's value begins with the key's last part."""
    parts = [f"{axis.rsplit('.', 1)[-1]}-{label}" if "." in axis else label for axis, label in labels.items()]
    return re.sub(r"[^\w.-]+", "-", "-".join(parts)).strip("-.") or "variant"


def _check_names(variants: Sequence[Variant]) -> None:
    by_name: dict[str, Variant] = {}
    for variant in variants:
        other = by_name.setdefault(variant.name, variant)
        if other is not variant:
            raise ConfigError(
                f"{dict(other.labels)} and {dict(variant.labels)} would both be called '{variant.name}'; "
                "give their values by other names"
            )
    if not variants:
        raise ConfigError("axes: exclude leaves no combination")


def trials_of(config: AblationConfig, variants: Sequence[Variant]) -> list[Trial]:
    """Every variant with every seed, seed by seed, so that all are seen early.

    Raises:
        ConfigError: a key that an experiment doesn't know, or a value that it refuses, in any variant.
    """
    return [Trial(v, experiment_of(config, v, seed)) for seed in config.seeds for v in variants]


def experiment_of(config: AblationConfig, variant: Variant, seed: int) -> ExperimentConfig:
    """The run of a variant with a seed."""
    own = {"seed": seed, "name": f"{variant.name}.{seed}", "runs_dir": str(config.out / RUNS_FOLDER)}
    for where, layer in (("changes", config.changes), *((variant.name, o) for o in variant.overrides)):
        taken = [key for key in own if key in nested(layer)]
        if taken:
            raise ConfigError(f"{where}: '{taken[0]}' is set by the study: seeds and out decide it")
    content = lay(without_provenance(read_yaml(config.base)), [config.changes, *variant.overrides, own])
    return validate(ExperimentConfig, content, f"{config.base}, variant '{variant.name}'", trust_code=True)


def search_corners(config: AblationConfig) -> Iterator[Variant]:
    """Settings that together hold every key, bound and choice of a search's space, to be validated."""
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

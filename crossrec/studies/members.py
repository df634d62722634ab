"""Finished runs and baselines on their common data: the members of ensembles and cascades."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from pydantic import field_validator

from crossrec.baselines import BASELINES
from crossrec.config import Config, trusting
from crossrec.data.identity import VALID
from crossrec.evaluation.comparison.compare import USUAL, Comparison, compare_systems
from crossrec.evaluation.comparison.systems import Measurement, System
from crossrec.evaluation.config import ComparisonConfig, MetricName
from crossrec.evaluation.metrics import ACCURACY
from crossrec.experiment.baselines import BASELINES_FILE, fitted_baselines
from crossrec.experiment.evaluate import load_recommender
from crossrec.experiment.prepared import PreparedExperiment
from crossrec.experiment.results import (
    MeasuredRecommender,
    NamedRecommender,
    evaluate_recommenders,
    save_results,
    slug,
)
from crossrec.experiment.run_folder import CONFIG_FILE, read_run
from crossrec.experiment.text_scorer import text_scored
from crossrec.runtime.device import pick_device
from crossrec.studies.folder import check_same_data, key_of
from crossrec.types import InputError


class MemberStudyConfig(Config):
    """Base of the options of studies over finished runs and baselines.

    Args:
        out: folder of the results.
        metric: accuracy metric of the verdict.
        tune: whether to tune, on validation, baselines for which no run has settings.
        comparison: test and intervals.
        device: device of the models.
    """

    study: ClassVar[str]
    """Name of the study, and of the command that runs it."""

    out: Path
    metric: MetricName = "ndcg"
    tune: bool = False
    comparison: ComparisonConfig = ComparisonConfig()
    device: str = "auto"

    @field_validator("metric")
    @classmethod
    def _of_accuracy(cls, metric: MetricName) -> MetricName:
        if metric not in ACCURACY:
            raise ValueError(f"choose an accuracy metric, one of {', '.join(ACCURACY)}")
        return metric

    @property
    def given(self) -> tuple[str, ...]:
        """Members: run folders, ``name=folder``, or types of baselines such as ``item_knn``."""
        raise NotImplementedError("a study over members lists them")

    @property
    def list_length(self) -> int:
        """Length of the lists that members are compared by."""
        raise NotImplementedError("a study over members has a length of lists")

    @property
    def metric_name(self) -> str:
        """Metric with cutoff, such as ``ndcg@10``."""
        return f"{self.metric}@{self.list_length}"

    def check_lists(self, longest: int) -> None:
        """Check the options against the longest list that is measured, before members are loaded.

        Raises:
            InputError: if such lists can't be made.
        """

    @property
    def own_names(self) -> tuple[str, ...]:
        """Names in tables that no member may have."""
        return (self.study,)


@dataclass(frozen=True)
class Opened:
    """Members on their common data.

    Args:
        prepared: experiment of the first run, with the study's list lengths; its protocol measures all.
        members: name -> fitted recommender, named alike; runs first.
        names: member as given -> its name.
    """

    prepared: PreparedExperiment
    members: dict[str, NamedRecommender]
    names: dict[str, str]


def open_members(config: MemberStudyConfig, *, trust_code: bool = False) -> Opened:
    """Load runs and fit baselines.

    Args:
        config: configuration of the study.
        trust_code: whether to import classes outside the project that the runs name.

    Raises:
        InputError: if a member is neither a run nor a type of baseline, none is a run, two have one name, or
            runs differ in data or in whether seen items are left out.
    """
    runs, kinds, names = _sorted_out(config)
    configs = {name: read_run(folder, [], trust_code=trust_code) for name, folder in runs.items()}
    first = next(iter(configs.values()))
    for other in configs.values():
        check_same_data(first, other, spaces=False)
    ks = tuple(sorted({*first.evaluation.ks, config.list_length}))
    config.check_lists(max(ks))
    evaluation = first.evaluation.model_copy(update={"ks": ks, "n_bootstrap": config.comparison.n_bootstrap})
    data = PreparedExperiment.of(first)
    named = first.model_copy(update={"name": config.study, "evaluation": evaluation})
    prepared = PreparedExperiment(named, data.data, data.content)
    device = pick_device(config.device)
    members: dict[str, NamedRecommender] = {}
    for name, run in configs.items():
        own_run = PreparedExperiment(run, prepared.data, prepared.content)
        recommender = load_recommender(own_run)
        recommender.network.to(device)
        recommender.name = name
        members[name] = text_scored(own_run, recommender)
        members[name].name = name
    for kind in kinds:
        baseline = _baseline(kind, list(runs.values()), prepared, config)
        members[baseline.name] = baseline
        names[kind] = baseline.name
    own = config.own_names
    if len({slug(name) for name in [*own, *members]}) < len(own) + len(runs) + len(kinds):
        raise InputError(f"members need different names; got {list(members)}: name a run by name=RUN")
    return Opened(prepared, members, names)


@dataclass(frozen=True)
class MeasuredOnTest:
    """Recommenders measured once on test, their files saved as a run has them.

    Args:
        config: configuration of the study.
        prepared: experiment whose protocol measured them.
        measured: recommenders; the first one's files are in ``eval/test/``, the others' under ``baselines/``.
    """

    config: MemberStudyConfig
    prepared: PreparedExperiment
    measured: list[MeasuredRecommender]

    @classmethod
    def of(
        cls,
        config: MemberStudyConfig,
        prepared: PreparedExperiment,
        recommenders: Sequence[NamedRecommender],
    ) -> MeasuredOnTest:
        """Measure recommenders and save their files."""
        measured = evaluate_recommenders(prepared, recommenders, "test")
        own = cls(config, prepared, measured)
        save_results(prepared, measured, own.folder, "test", config.out / "no-training-log")
        return own

    @property
    def folder(self) -> Path:
        """Folder of the results."""
        return self.config.out / "eval" / "test"

    def compare(self, *names: str) -> Comparison:
        """Compare the first recommender with the others by the study's metric and the usual ones."""
        length = self.config.list_length
        wanted = [self.config.metric_name, *(f"{base}@{length}" for base in USUAL)]
        metrics = tuple(m for m in dict.fromkeys(wanted) if m in self.measured[0].evaluation.metrics)
        systems = [System(name, [Measurement.read(self._folder_of(name))]) for name in names]
        config = self.config.comparison.model_copy(update={"metrics": metrics})
        return compare_systems(systems, len(self.prepared.data.catalog), config)

    def _folder_of(self, name: str) -> Path:
        first = name == self.measured[0].name
        return self.folder if first else self.folder / "baselines" / slug(name)


def _sorted_out(config: MemberStudyConfig) -> tuple[dict[str, Path], list[str], dict[str, str]]:
    """Run folders by name, types of baselines, and the runs' names as given."""
    known = [*BASELINES]
    runs: dict[str, Path] = {}
    kinds: list[str] = []
    names: dict[str, str] = {}
    for text in config.given:
        name, _, folder = text.partition("=")
        path = Path(folder) if folder and not Path(text).exists() else Path(text)
        label = name if folder and path != Path(text) else path.resolve().name
        if (path / CONFIG_FILE).exists():
            if label in runs:
                raise InputError(f"two members are called '{label}'; name them: first=RUN second=RUN")
            runs[label] = path
            names[text] = label
        elif text in known and text not in kinds:
            kinds.append(text)
        else:
            why = "it is repeated" if text in kinds else f"{path} holds no {CONFIG_FILE}"
            raise InputError(f"'{text}': {why}; give run folders and types of baselines, {', '.join(known)}")
    if not runs:
        raise InputError(f"crossrec {config.study} needs at least one run folder: its data are the study's")
    return runs, kinds, names


def _baseline(
    kind: str, folders: list[Path], prepared: PreparedExperiment, config: MemberStudyConfig
) -> NamedRecommender:
    """Return a fitted baseline with the settings of the first run that has settings for it."""
    stored = next((s for s in (_stored(folder, kind) for folder in folders) if s is not None), None)
    with trusting(False):
        chosen: Any = BASELINES.parse(stored or {"type": kind})
    update = {"baselines": (chosen,), "tune_baselines": config.tune and stored is None}
    own = PreparedExperiment(prepared.config.model_copy(update=update), prepared.data, prepared.content)
    folder = config.out / "members" / f"{slug(kind)}-{_chosen_from(own)}"
    (baseline,) = fitted_baselines(own, folder)
    return baseline


def _chosen_from(prepared: PreparedExperiment) -> str:
    """Return a key of all inputs of a baseline's tuning, so that another study's settings are not reused."""
    config = prepared.config
    include = {"data", "spaces", "baselines", "tune_baselines", "tuning"}
    # No baseline reads co-clicks as a space.
    exclude = {"data": {"cache_dir"}, "spaces": {"behaviour"}}
    made_from = config.model_dump(mode="json", include=include, exclude=exclude)
    repeats = {"repeats": True} if config.evaluation.repeats else {}
    chosen_on = prepared.data.identity.of_part(VALID)
    return key_of({**made_from, **repeats, "metric": config.trainer.metric, "identity": chosen_on})


def _stored(folder: Path, kind: str) -> Mapping[str, Any] | None:
    path = folder / BASELINES_FILE
    entries = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    alike = [entry for entry in entries if entry["config"]["type"] == kind]
    return max(alike, key=_validated, default={"config": None})["config"]


def _validated(entry: Mapping[str, Any]) -> float:
    """Return the best value of an entry's trials; what was never tried comes last."""
    return max((trial["value"] for trial in entry["trials"]), default=-math.inf)

"""The members of a study's ensemble: trained runs and fitted baselines on the same data."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from pydantic import TypeAdapter

from crossrec.ablation.ensemble.config import EnsembleStudyConfig
from crossrec.ablation.tradeoff.store import key_of
from crossrec.baselines.config import BaselineConfig
from crossrec.config import trusting
from crossrec.data.identity import VALID
from crossrec.experiment.assembly import Setting
from crossrec.experiment.config import ExperimentConfig
from crossrec.experiment.evaluate import load_recommender
from crossrec.experiment.measure import NamedRecommender, slug
from crossrec.experiment.rivals import BASELINES_FILE, fitted_baselines
from crossrec.experiment.run_folder import CONFIG_FILE, read_run
from crossrec.runtime.device import pick_device
from crossrec.types import InputError

STUDY_NAME = "ensemble"


@dataclass(frozen=True)
class Opened:
    """Members on their common data.

    Args:
        setting: of the first run, with the study's lengths of lists; its protocol measures all.
        members: name -> fitted recommender, named alike.
    """

    setting: Setting
    members: dict[str, NamedRecommender]


def open_members(config: EnsembleStudyConfig, *, trust_code: bool = False) -> Opened:
    """Loads runs and fits baselines.

    Args:
        config: of the study.
        trust_code: import classes outside the project that the runs name.

    Raises:
        InputError: a member is neither a run nor a type of baseline, none is a run, two have one name, or
            runs differ in data or in whether seen items are left out.
    """
    runs, kinds = _sorted_out(config.members)
    configs = {name: read_run(folder, [], trust_code=trust_code) for name, folder in runs.items()}
    first = next(iter(configs.values()))
    for other in configs.values():
        _same_ground(first, other)
    ks = tuple(sorted({*first.evaluation.ks, config.learning.k}))
    evaluation = first.evaluation.model_copy(update={"ks": ks, "n_bootstrap": config.comparison.n_bootstrap})
    data = Setting.of(first)
    named = first.model_copy(update={"name": STUDY_NAME, "evaluation": evaluation})
    setting = Setting(named, data.data, data.content)
    device = pick_device(config.device)
    members: dict[str, NamedRecommender] = {}
    for name, run in configs.items():
        recommender = load_recommender(Setting(run, setting.data, setting.content))
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
    """Run folders by name, and types of baselines."""
    known = [member.model_fields["type"].default for member in get_args(get_args(BaselineConfig)[0])]
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
            why = "it stands twice" if text in kinds else f"{path} holds no {CONFIG_FILE}"
            raise InputError(f"'{text}': {why}; give run folders and types of baselines, {', '.join(known)}")
    if not runs:
        raise InputError("an ensemble study needs at least one run folder: its data are the study's")
    return runs, kinds


def _same_ground(first: ExperimentConfig, other: ExperimentConfig) -> None:
    differing = {
        "data": first.data.model_copy(update={"cache_dir": Path()})
        != other.data.model_copy(update={"cache_dir": Path()}),
        "evaluation.exclude_seen": first.evaluation.exclude_seen != other.evaluation.exclude_seen,
    }
    for name, differs in differing.items():
        if differs:
            raise InputError(
                f"{other.run_folder} and {first.run_folder} differ in {name}; members share their data"
            )


def _baseline(
    kind: str, folders: list[Path], setting: Setting, config: EnsembleStudyConfig
) -> NamedRecommender:
    """A fitted baseline, with the settings of the first run that has some."""
    stored = next((s for s in (_stored(folder, kind) for folder in folders) if s is not None), None)
    with trusting(False):
        chosen: Any = TypeAdapter(BaselineConfig).validate_python(stored or {"type": kind})
    update = {"baselines": (chosen,), "tune_baselines": config.tune and stored is None}
    own = Setting(setting.config.model_copy(update=update), setting.data, setting.content)
    folder = config.out / "members" / f"{slug(kind)}-{_chosen_from(own)}"
    (baseline,) = fitted_baselines(own, folder)
    return baseline


def _chosen_from(setting: Setting) -> str:
    """A key of all that decides a baseline's settings, so that those of another study are not taken."""
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
    """The best value of an entry's trials; what was never tried comes last."""
    return max((trial["value"] for trial in entry["trials"]), default=-math.inf)

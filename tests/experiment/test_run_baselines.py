"""The baselines beside a model: what is kept, when it is used again, and with several processes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from crossrec.baselines import BASELINES
from crossrec.config import validate
from crossrec.experiment.baselines import BASELINES_FILE, fitted_baselines
from crossrec.experiment.config import ExperimentConfig
from crossrec.experiment.prepared import PreparedExperiment
from crossrec.runtime import distributed
from crossrec.types import InputError

KNN, POPULAR = {"type": "item_knn", "similarity": "cosine"}, {"type": "popularity"}


@pytest.fixture(scope="module")
def prepared(id_shop: dict[str, Any]) -> PreparedExperiment:
    return PreparedExperiment.of(validate(ExperimentConfig, {**id_shop, "baselines": [KNN]}, "test"))


def changed(prepared: PreparedExperiment, **changes: Any) -> PreparedExperiment:
    config = validate(ExperimentConfig, {**prepared.config.model_dump(mode="json"), **changes}, "test")
    return PreparedExperiment(config, prepared.data, prepared.content)


def test_tuned_settings_are_kept_and_used_again(prepared: PreparedExperiment, tmp_path: Path) -> None:
    tuned = changed(prepared, tune_baselines=True, tuning={"trials": 3})
    fitted_baselines(tuned, tmp_path)
    path = tmp_path / BASELINES_FILE
    (entry,) = json.loads(path.read_text())
    assert entry["asked"]["neighbours"] == 100
    assert entry["tuned"]
    assert len(entry["trials"]) == 3
    before = path.read_bytes()
    fitted_baselines(tuned, tmp_path)
    assert path.read_bytes() == before
    with pytest.raises(InputError, match=r"baselines\.json holds .*tune_baselines.*remove that file"):
        fitted_baselines(prepared, tmp_path)


@pytest.mark.parametrize("asked", [[POPULAR], [KNN, POPULAR], [{**KNN, "neighbours": 7}], []])
def test_other_baselines_than_are_kept_are_refused(
    prepared: PreparedExperiment, tmp_path: Path, asked: list[dict[str, Any]]
) -> None:
    fitted_baselines(prepared, tmp_path)
    with pytest.raises(InputError, match=r"baselines\.json.*as when it was written"):
        fitted_baselines(changed(prepared, baselines=asked), tmp_path)


def test_untuned_entries_without_what_was_asked_are_understood(
    prepared: PreparedExperiment, tmp_path: Path
) -> None:
    (tmp_path / BASELINES_FILE).write_text(json.dumps([{"config": KNN, "trials": []}]))
    (fitted,) = fitted_baselines(prepared, tmp_path)
    assert fitted.name == "item-kNN cosine"


def test_processes_go_by_what_the_main_one_finds(
    prepared: PreparedExperiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that finds the file already written must meet the others at the same collectives."""
    calls: list[Any] = []

    def gathered(value: Any) -> list[Any]:
        calls.append(value)
        return [None, value]

    tuned: list[PreparedExperiment] = []
    (tmp_path / BASELINES_FILE).write_text(json.dumps([{"config": POPULAR, "trials": []}]))
    monkeypatch.setattr(distributed, "gather_objects", gathered)
    monkeypatch.setattr(distributed, "is_main", lambda: False)
    monkeypatch.setattr(
        "crossrec.experiment.baselines._choose",
        lambda s, c: tuned.append(s) or {"config": BASELINES.dump(c), "trials": []},
    )
    (fitted,) = fitted_baselines(prepared, tmp_path)
    assert fitted.name == "item-kNN cosine"
    assert len(calls) == len(tuned) == 1
    # Nor does it write.
    assert json.loads((tmp_path / BASELINES_FILE).read_text())[0]["config"] == POPULAR


def test_baselines_of_one_kind_have_names_of_their_own(prepared: PreparedExperiment, tmp_path: Path) -> None:
    asked = [KNN, {**KNN, "neighbours": 7}, POPULAR]
    fitted = fitted_baselines(changed(prepared, baselines=asked), tmp_path)
    assert [baseline.name for baseline in fitted] == ["item-kNN cosine", "item-kNN cosine 2", "popularity"]
